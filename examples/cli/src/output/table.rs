//! Tables: columns as wide as their widest cell, two spaces between them.

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Color, Padding, Style};

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

    /// The table's lines, each ended by a newline. Columns that are empty in every row are left out.
    pub(crate) fn render(&self, styles: Styles) -> String {
        let has_text = |i: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(i));
            self.rows.is_empty() || cells.any(|cell| !cell.text.is_empty())
        };
        let used: Vec<usize> = (0..self.columns.len()).filter(|&i| has_text(i)).collect();
        let heads = self.columns.iter();
        let head: Vec<Cell> = heads.map(|(name, _)| Cell::new(name, Tone::Heading)).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&head).chain(&self.rows).collect();
        let mut builder = Builder::with_capacity(lines.len(), used.len());
        for line in &lines {
            builder.push_record(used.iter().map(|&i| line.get(i).map_or("", |cell| &cell.text)));
        }
        let mut table = builder.build();
        table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
        for (x, &i) in used.iter().enumerate() {
            if self.columns[i].1 == Align::Right {
                table.modify(Columns::one(x), Alignment::right());
            }
            for (y, line) in lines.iter().enumerate() {
                let cell = line.get(i).filter(|cell| !cell.text.is_empty());
                if let Some(style) = cell.and_then(|cell| styles.style(cell.tone)) {
                    table.modify((y, x), Color::new(style.to_string(), format!("{style:#}")));
                }
            }
        }
        let text = table.to_string();
        text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
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
        let expected = "node     copies  status\nnode-1        7  active\nnode-10    1234  failed\n";
        assert_eq!(sample().render(Styles::new(false)), expected);
    }

    #[test]
    fn colour_changes_no_alignment() {
        let coloured = sample().render(Styles::new(true));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, sample().render(Styles::new(false)));
    }

    #[test]
    fn a_tone_paints_the_text_and_nothing_beside_it() {
        let mut table = Table::new(&[("a", Align::Right), ("b", Align::Left), ("c", Align::Left)]);
        let (good, none) = (Cell::new("x", Tone::Good), Cell::new("", Tone::Bad));
        table.row(vec![good.clone(), none.clone(), "long".into()]);
        table.row(vec!["long".into(), "".into(), good]);
        table.row(vec!["".into(), "y".into(), none]);
        let expected = "   \u{1b}[1ma\u{1b}[0m  \u{1b}[1mb\u{1b}[0m  \u{1b}[1mc\u{1b}[0m
   \u{1b}[32mx\u{1b}[0m     long
long     \u{1b}[32mx\u{1b}[0m
      y
";
        assert_eq!(table.render(Styles::new(true)), expected);
    }

    #[test]
    fn rows_may_end_early_and_there_may_be_none() {
        let mut table = Table::new(&[("a", Align::Left), ("b", Align::Right)]);
        assert_eq!(table.render(Styles::new(false)), "a  b\n");
        table.row(vec!["1".into(), "22".into()]);
        table.row(vec!["333".into()]);
        assert_eq!(table.render(Styles::new(false)), "a     b\n1    22\n333\n");
    }

    #[test]
    fn characters_count_as_wide_as_they_are() {
        let mut table = Table::new(&[("key", Align::Left), ("node", Align::Left)]);
        table.row(vec!["键".into(), "node-1".into()]);
        table.row(vec!["e\u{301}".into(), "node-2".into()]);
        let expected = "key  node\n键   node-1\ne\u{301}    node-2\n";
        assert_eq!(table.render(Styles::new(false)), expected);
    }

    #[test]
    fn a_name_with_an_escape_sequence_cannot_drive_the_terminal() {
        let mut table = Table::new(&[("key", Align::Left)]);
        table.row(vec!["a\u{1b}[2J".into()]);
        assert!(!table.render(Styles::new(false)).contains('\u{1b}'));
    }
}
