//! Bars: how many of something each node has, side by side.

use super::{Styles, Tone, printable, thousands};

/// One row of bars.
pub(crate) struct Bar {
    /// What the row is about.
    pub(crate) label: String,
    /// The length of the solid part.
    pub(crate) solid: u64,
    /// The length of the lighter part that follows it.
    pub(crate) light: u64,
}

/// Eighths of a character cell, so that bars which differ by little differ to the eye.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Rows of `label  solid  light  bar`, laid out for `width` columns. The numbers stand beside the bars, so that
/// nothing is told by a length alone.
pub(crate) fn bars(rows: &[Bar], heads: [&str; 3], styles: Styles, width: usize) -> String {
    let label = rows
        .iter()
        .map(|row| row.label.chars().count())
        .chain([heads[0].len()])
        .max()
        .unwrap_or(0);
    let number = |value: u64| thousands(value).len();
    let solid = rows
        .iter()
        .map(|r| number(r.solid))
        .chain([heads[1].len()])
        .max()
        .unwrap_or(0);
    let light = rows
        .iter()
        .map(|r| number(r.light))
        .chain([heads[2].len()])
        .max()
        .unwrap_or(0);
    let room = width
        .saturating_sub(2 + label + 2 + solid + 2 + light + 2)
        .max(10) as u64;
    let longest = rows
        .iter()
        .map(|row| row.solid + row.light)
        .max()
        .unwrap_or(0)
        .max(1);
    let head = format!("{:label$}  {:>solid$}  {:>light$}", heads[0], heads[1], heads[2]);
    let mut text = format!("  {}\n", styles.paint(Tone::Heading, &head));
    for row in rows {
        let first = bar(row.solid, longest, room);
        let cells = first.chars().count() as u64;
        let total = ((row.solid + row.light) * room).div_ceil(longest).min(room);
        let second = "░".repeat(usize::try_from(total.saturating_sub(cells)).unwrap_or(0));
        let line = format!(
            "  {:label$}  {:>solid$}  {:>light$}  {}{}",
            printable(&row.label),
            thousands(row.solid),
            thousands(row.light),
            styles.paint(Tone::Good, &first),
            styles.paint(Tone::Dim, &second),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A bar of `value` where `longest` fills `room` cells.
fn bar(value: u64, longest: u64, room: u64) -> String {
    let eighths = value * room * 8 / longest;
    let mut bar = "█".repeat(usize::try_from(eighths / 8).unwrap_or(0));
    if let Some(part) = (eighths % 8).checked_sub(1) {
        bar.push(EIGHTHS[part as usize]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_proportional_and_numbers_are_there() {
        let rows = [
            Bar {
                label: "node-1".into(),
                solid: 100,
                light: 100,
            },
            Bar {
                label: "node-10".into(),
                solid: 50,
                light: 25,
            },
            Bar {
                label: "node-2".into(),
                solid: 0,
                light: 0,
            },
        ];
        let text = bars(&rows, ["node", "primary", "replica"], Styles::new(false), 49);
        let expected = "
  node     primary  replica
  node-1       100      100  ██████████░░░░░░░░░░
  node-10       50       25  █████░░░
  node-2         0        0
";
        assert_eq!(format!("\n{text}"), expected);
    }

    #[test]
    fn a_part_of_a_cell_shows() {
        assert_eq!(bar(1, 16, 4), "▎");
        assert_eq!(bar(16, 16, 4), "████");
        assert_eq!(bar(0, 16, 4), "");
    }
}
