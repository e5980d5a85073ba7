//! Keys from a file or from standard input, one a line.

use std::io::{BufRead, BufReader};

use crate::error::{CliError, Result};

/// Reads keys from `source`, a file or `-` for standard input. Empty lines are no keys.
pub(crate) fn read_keys(source: &str) -> Result<Vec<String>> {
    if source == "-" {
        return parse("standard input", std::io::stdin().lock());
    }
    let file = std::fs::File::open(source).map_err(|error| CliError::Usage(format!("{source}: {error}")))?;
    parse(source, BufReader::new(file))
}

/// A key is text, to a byte: it is not trimmed, apart from the end of the line (`\n` or `\r\n`).
fn parse(name: &str, mut input: impl BufRead) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input
            .read_until(b'\n', &mut line)
            .map_err(|error| CliError::io(name, &error))?;
        if read == 0 {
            break;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| CliError::Usage(format!("{name}: line {number} is not UTF-8")))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if !text.is_empty() {
            keys.push(text.to_string());
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_and_their_spaces_belong_to_them() {
        let keys = parse("x", "a\r\n\n b \nlast".as_bytes()).unwrap();
        assert_eq!(keys, ["a", " b ", "last"]);
    }

    #[test]
    fn a_line_that_is_no_text_is_named() {
        let error = parse("keys.txt", b"a\n\xff\n".as_slice()).unwrap_err();
        assert_eq!(error.to_string(), "keys.txt: line 2 is not UTF-8");
    }
}
