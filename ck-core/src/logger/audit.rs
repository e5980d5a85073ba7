//! What was changed, or was to be, and by whom: one line in the log for each call of somebody else.
//!
//! A line is `audit ` and one JSON object. It has names and outcomes, never values, tokens or parameters. It is pure ASCII,
//! so that a name with a line break or a terminal's control codes in it is shown and does nothing.

use std::fmt;

use serde::Serialize;

use super::Logger;

impl Logger {
    /// Writes a call down. The line is an object of texts and numbers. One that says what was changed is not lost among other
    /// messages: places are kept for it.
    pub(crate) fn audit(&self, line: &impl Serialize, has_changed: bool) {
        let line = AsciiJson(line);
        match has_changed {
            true => self.write_audit(format_args!("audit {line}")),
            false => self.info(format_args!("audit {line}")),
        }
    }
}

/// JSON that is only made where somebody reads it.
struct AsciiJson<'a, T>(&'a T);

impl<T: Serialize> fmt::Display for AsciiJson<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Serialising texts and numbers cannot fail.
        f.write_str(&ascii(&serde_json::to_string(self.0).unwrap_or_default()))
    }
}

/// The same JSON in ASCII. Characters beyond it are only in strings, where an escape means the same.
fn ascii(json: &str) -> String {
    use std::fmt::Write;

    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn a_line_is_ascii_and_means_the_same() {
        for text in [
            "plain",
            "\u{9b}31m",
            "\u{202e}",
            "\u{7f}",
            "\u{1f600}",
            "a\nb\"\\",
            "\0\r\u{2028}",
        ] {
            let json = ascii(&serde_json::to_string(text).unwrap());
            assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
