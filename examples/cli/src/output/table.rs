//! Tables: columns as wide as their widest cell, two spaces between them.

use super::{Styles, Tone, printable};

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    pub(crate) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Cell {
            text: printable(text.as_ref()),
            tone,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::new(text, Tone::Plain)
    }
}

/// A table under construction.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing at its end stay empty.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// True when there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table's lines, each ended by a newline, indented by `indent` spaces. Columns that are empty in every
    /// row are left out.
    pub(crate) fn render(&self, styles: Styles, indent: usize) -> String {
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|&i| {
                self.rows.is_empty()
                    || self
                        .rows
                        .iter()
                        .any(|row| row.get(i).is_some_and(|c| !c.text.is_empty()))
            })
            .collect();
        let head: Vec<Cell> = self
            .columns
            .iter()
            .map(|(name, _)| Cell::new(name, Tone::Heading))
            .collect();
        let lines = || std::iter::once(&head).chain(&self.rows);
        let widths: Vec<usize> = used
            .iter()
            .map(|&i| {
                lines()
                    .filter_map(|row| row.get(i))
                    .map(Cell::width)
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in lines() {
            let mut line = " ".repeat(indent);
            for (place, (&i, &width)) in used.iter().zip(&widths).enumerate() {
                if place > 0 {
                    line.push_str("  ");
                }
                let empty = Cell::from("");
                let cell = row.get(i).unwrap_or(&empty);
                let padding = " ".repeat(width - cell.width());
                let painted = styles.paint(cell.tone, &cell.text);
                match self.columns[i].1 {
                    Align::Left => line.extend([painted, padding]),
                    Align::Right => line.extend([padding, painted]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("node", Align::Left),
            ("zone", Align::Left),
            ("copies", Align::Right),
            ("status", Align::Left),
        ]);
        table.row(vec![
            "node-1".into(),
            "".into(),
            "7".into(),
            Cell::new("active", Tone::Good),
        ]);
        table.row(vec![
            "node-10".into(),
            "".into(),
            "1234".into(),
            Cell::new("failed", Tone::Bad),
        ]);
        table
    }

    #[test]
    fn columns_align_and_empty_ones_are_left_out() {
        let expected = "  node     copies  status\n  node-1        7  active\n  node-10    1234  failed\n";
        assert_eq!(sample().render(Styles::new(false), 2), expected);
    }

    #[test]
    fn colour_changes_no_alignment() {
        let coloured = sample().render(Styles::new(true), 2);
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, sample().render(Styles::new(false), 2));
    }

    #[test]
    fn a_name_with_an_escape_sequence_cannot_drive_the_terminal() {
        let mut table = Table::new(&[("key", Align::Left)]);
        table.row(vec!["a\u{1b}[2J".into()]);
        assert!(!table.render(Styles::new(false), 0).contains('\u{1b}'));
    }
}
