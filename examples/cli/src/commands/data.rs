//! `data`: the replicated store.

use std::io::{IsTerminal, Read};

use clusterkit::Expect;
use serde_json::json;

use crate::api::Api;
use crate::args::DataCommand;
use crate::error::{CliError, Result};
use crate::output::{Out, plural, printable};

/// What the store takes; reading one byte more shows that there is more.
const MAX_VALUE: u64 = clusterkit::state::MAX_VALUE_BYTES as u64;

/// Reads or writes.
pub(crate) fn run(command: &DataCommand, api: &mut Api, out: &mut Out) -> Result<()> {
    match command {
        DataCommand::Get { key } => get(key, api, out),
        DataCommand::Set {
            key,
            value,
            if_absent,
            if_revision,
        } => {
            let expect = match (if_absent, if_revision) {
                (true, _) => Expect::Absent,
                (false, Some(revision)) => Expect::Revision(*revision),
                (false, None) => Expect::Any,
            };
            set(key, value, expect, api, out)
        }
        DataCommand::Delete { key } => {
            let answer = api.data_delete(key)?;
            let words = if answer.deleted == Some(false) {
                "there was no"
            } else {
                "deleted"
            };
            if out.json {
                out.json(&answer)
            } else {
                out.line(format!("{words} {}", printable(key)))
            }
        }
        DataCommand::List { prefix } => list(prefix, api, out),
    }
}

/// Prints the bytes as they are, so that `data get k > file` and `data set k - < file` are each other's reverse.
/// JSON knows only text: there other bytes are shown as hexadecimal digits, under another name.
fn get(key: &str, api: &mut Api, out: &mut Out) -> Result<()> {
    let found = api.data_get(key, 0)?;
    if out.json {
        let (name, value) = match String::from_utf8(found.value) {
            Ok(text) => ("value", text),
            Err(error) => (
                "value_hex",
                error
                    .as_bytes()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            ),
        };
        return out.json(&json!({ "key": key, name: value, "revision": found.revision }));
    }
    out.bytes(&found.value)?;
    if std::io::stdout().is_terminal() && !found.value.ends_with(b"\n") {
        out.text("\n")?;
    }
    Ok(())
}

fn set(key: &str, value: &str, expect: Expect, api: &mut Api, out: &mut Out) -> Result<()> {
    let read;
    let value = if value == "-" {
        read = read_value(std::io::stdin().lock())?;
        &read
    } else {
        value.as_bytes()
    };
    let answer = api.data_set(key, value, expect)?;
    if out.json {
        return out.json(&answer);
    }
    out.line(format!(
        "wrote {} at revision {}",
        printable(key),
        answer.revision
    ))
}

fn read_value(input: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = input.take(MAX_VALUE + 1).read_to_end(&mut bytes);
    read.map_err(|error| CliError::io("standard input", &error))?;
    if bytes.len() as u64 > MAX_VALUE {
        return Err(CliError::Usage(format!(
            "the value is longer than {MAX_VALUE} bytes"
        )));
    }
    Ok(bytes)
}

fn list(prefix: &str, api: &mut Api, out: &mut Out) -> Result<()> {
    let keys = api.data_list(prefix)?;
    if out.json {
        let count = keys.len();
        return out.json(&json!({ "keys": keys, "count": count }));
    }
    for key in &keys {
        out.line(printable(key))?;
    }
    if keys.is_empty() {
        let line = format!("{} begin with {prefix:?}", plural(0, "key"));
        out.line(if prefix.is_empty() {
            "no keys".to_string()
        } else {
            line
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_standard_input_are_kept_to_the_byte_and_bounded() {
        assert_eq!(
            read_value([b'a', b'\n', 0xff].as_slice()).unwrap(),
            [b'a', b'\n', 0xff]
        );
        let limit = usize::try_from(MAX_VALUE).unwrap();
        assert!(read_value(vec![b'x'; limit].as_slice()).is_ok());
        assert!(read_value(vec![b'x'; limit + 1].as_slice()).is_err());
    }
}
