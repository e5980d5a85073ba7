//! What commands print: aligned tables for people, JSON for programs.

mod bars;
mod lines;
mod map;
mod style;
mod table;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use bars::{Bar, bars};
pub(crate) use lines::Lines;
pub(crate) use map::map;
pub(crate) use style::{Styles, Tone};
pub(crate) use table::{Align, Cell, Table};

use crate::error::{CliError, Result};

/// The width that tables and maps are laid out for when the output is no terminal.
pub(crate) const DEFAULT_WIDTH: usize = 100;

/// Where a command's answer goes, and in which form.
pub(crate) struct Out {
    sink: Box<dyn Write>,
    /// True when the answer is read by a program.
    pub(crate) json: bool,
    /// Colours, or none.
    pub(crate) styles: Styles,
    /// Columns that there are.
    pub(crate) width: usize,
}

impl Out {
    /// Standard output. Colours only on a terminal, and never where `NO_COLOR` is set.
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = !json && !no_colour && stdout.is_terminal();
        let width = match terminal_size::terminal_size_of(&stdout) {
            Some((terminal_size::Width(columns), _)) if columns >= 40 => usize::from(columns),
            _ => DEFAULT_WIDTH,
        };
        Out {
            sink: Box::new(stdout),
            json,
            styles: Styles::new(colour),
            width,
        }
    }

    /// Writes one line and flushes it, so that a parent that reads through a pipe sees it at once.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        self.text(format!("{}\n", text.as_ref()))
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: impl AsRef<str>) -> Result<()> {
        self.bytes(text.as_ref().as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.sink.write_all(bytes).and_then(|()| self.sink.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
            _ => CliError::io("standard output", &error),
        })
    }

    /// Writes `value` as one JSON document, with indentation for the people who look at it all the same.
    /// An answer as it came, or what it means for people.
    pub(crate) fn answer<T: Serialize + ?Sized>(&mut self, value: &T, line: &str) -> Result<()> {
        if self.json {
            return self.json(value);
        }
        self.line(line)
    }

    pub(crate) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|error| internal(&error))?;
        self.line(text)
    }
}

fn internal(error: &serde_json::Error) -> CliError {
    CliError::failed(
        clusterkit::ErrorCode::Internal,
        format!("cannot write JSON: {error}"),
    )
}

/// A count with thousands separated: 12,345.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 node`, `2 nodes`, `10 processes`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = match count {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", thousands(count as u64))
}

/// Text from elsewhere made safe to print: control characters, which could drive a terminal, are escaped, and so are
/// those that turn the direction of text around or cannot be seen.
pub(crate) fn printable(text: &str) -> String {
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars()
        .flat_map(|c| {
            let escaped = (c.is_control() || is_hidden(c)).then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// The same for text of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(plural(1, "node"), "1 node");
        assert_eq!(plural(1000, "key"), "1,000 keys");
        assert_eq!(plural(10, "process"), "10 processes");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("Schlüssel 键"), "Schlüssel 键");
        // Turns around what follows it.
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        assert_eq!(printable_lines("a\x1b\nb\n"), "a\\u{1b}\nb");
    }
}
