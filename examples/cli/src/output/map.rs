//! The partition table as a picture: a row for each node, a column for each partition.

use std::ops::Range;

use super::{Styles, Tone, printable};
use crate::layout::Layout;

/// Columns come in groups of this many, so that a partition's number can be read off the ruler.
const GROUP: usize = 10;
/// Longer node names are cut, so that the map keeps its room.
const LONGEST_LABEL: usize = 20;

/// The table of `layout`, wrapped to `width` columns. Marks are letters, so that it reads without colour too:
/// `P` primary, `r` replica, `+` pending; with `before`, `N` and `n` are a primary and a replica on a node that did
/// not hold the partition then.
pub(crate) fn map(layout: &Layout, before: Option<&Layout>, styles: Styles, width: usize) -> String {
    let labels: Vec<String> = layout.nodes.iter().map(|id| label(id)).collect();
    let names = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0);
    let count = layout.partitions.len();
    let room = width.saturating_sub(2 + names + 2 + "  prim  repl".len());
    let block = if count <= room {
        count
    } else {
        (room / GROUP).max(1) * GROUP
    };
    let (primaries, copies) = (layout.primaries(), layout.copies());
    let mut text = String::new();
    for start in (0..count).step_by(block.max(1)) {
        let end = (start + block).min(count);
        let last = end == count;
        if start > 0 {
            text.push('\n');
        }
        let head = format!(
            "  {:names$}  {:block$}",
            "",
            ruler(start, end),
            block = end - start
        );
        let sums = if last { "  prim  repl" } else { "" };
        text.push_str(&styles.paint(Tone::Dim, format!("{head}{sums}").trim_end()));
        text.push('\n');
        for (id, label) in layout.nodes.iter().zip(&labels) {
            text.push_str(&format!("  {label:names$}  "));
            text.push_str(&marks(layout, before, id, start..end, styles));
            if last {
                let primary = primaries.get(id.as_str()).copied().unwrap_or(0);
                let all = copies.get(id.as_str()).copied().unwrap_or(0);
                text.push_str(&format!("  {primary:>4}  {:>4}", all - primary));
            }
            text.push('\n');
        }
    }
    text.push_str(&format!(
        "  {:names$}  {}\n",
        "",
        legend(layout, before.is_some(), styles)
    ));
    text
}

/// Explains the marks that can occur.
fn legend(layout: &Layout, compared: bool, styles: Styles) -> String {
    let pending = layout
        .partitions
        .iter()
        .any(|partition| !partition.pending.is_empty());
    [
        (true, Tone::Primary, "P", "primary"),
        (true, Tone::Replica, "r", "replica"),
        (compared, Tone::New, "N n", "the same, new on this node"),
        (pending, Tone::Pending, "+", "pending"),
    ]
    .into_iter()
    .filter(|(shown, ..)| *shown)
    .map(|(_, tone, mark, word)| format!("{} {word}", styles.paint(tone, mark)))
    .collect::<Vec<_>>()
    .join("   ")
}

/// The number of every tenth partition above its column.
fn ruler(start: usize, end: usize) -> String {
    let mut text = String::new();
    for number in (start..end).step_by(GROUP) {
        let at = number - start;
        let number = number.to_string();
        // A number that would run past the end of the block would shift the sums beside it.
        if at + number.len() <= end - start {
            text.push_str(&" ".repeat(at - text.len()));
            text.push_str(&number);
        }
    }
    text
}

/// One node's row. Neighbours of the same tone are painted together: fewer escape sequences, the same picture.
fn marks(
    layout: &Layout,
    before: Option<&Layout>,
    id: &str,
    columns: Range<usize>,
    styles: Styles,
) -> String {
    let is_new = |number: usize| {
        let held = |then: &Layout| then.partitions.get(number).is_some_and(|p| p.all().contains(id));
        before.is_some_and(|then| !held(then))
    };
    let mark = |number: usize| {
        let partition = &layout.partitions[number];
        if partition.primary.as_deref() == Some(id) {
            if is_new(number) {
                ('N', Tone::New)
            } else {
                ('P', Tone::Primary)
            }
        } else if partition.replicas.contains(id) {
            if is_new(number) {
                ('n', Tone::New)
            } else {
                ('r', Tone::Replica)
            }
        } else if partition.pending.contains(id) {
            ('+', Tone::Pending)
        } else {
            ('·', Tone::Dim)
        }
    };
    let mut text = String::new();
    let mut run = String::new();
    let mut tone = Tone::Plain;
    for (letter, next) in columns.map(mark) {
        if next != tone {
            text.push_str(&styles.paint(tone, &run));
            run.clear();
            tone = next;
        }
        run.push(letter);
    }
    text.push_str(&styles.paint(tone, &run));
    text
}

fn label(id: &str) -> String {
    let id = printable(id);
    if id.chars().count() <= LONGEST_LABEL {
        return id;
    }
    let tail: Vec<char> = id.chars().rev().take(LONGEST_LABEL - 1).collect();
    std::iter::once('…').chain(tail.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::layout;

    #[test]
    fn rows_are_nodes_and_columns_are_partitions() {
        let table = layout(3, 2, &["1 2", "2 3", "3 1", "1+2", " 3"]);
        let expected = "
          0      prim  repl
  node-1  P·rP·     2     1
  node-2  rP·+·     1     2
  node-3  ·rP·r     1     2
          P primary   r replica   + pending
";
        assert_eq!(
            format!("\n{}", map(&table, None, Styles::new(false), 100)),
            expected
        );
    }

    #[test]
    fn a_wide_table_wraps_at_whole_groups() {
        let rows: Vec<&str> = (0..25).map(|n| if n % 2 == 0 { "1 2" } else { "2 1" }).collect();
        let table = layout(2, 2, &rows);
        let expected = "
          0         10
  node-1  PrPrPrPrPrPrPrPrPrPr
  node-2  rPrPrPrPrPrPrPrPrPrP

          20     prim  repl
  node-1  PrPrP    13    12
  node-2  rPrPr    12    13
          P primary   r replica
";
        assert_eq!(
            format!("\n{}", map(&table, None, Styles::new(false), 45)),
            expected
        );
        for line in map(&table, None, Styles::new(false), 45).lines() {
            assert!(line.chars().count() <= 45, "{line:?}");
        }
    }

    #[test]
    fn what_moved_stands_out() {
        let before = layout(2, 1, &["1", "1", "2"]);
        let after = layout(3, 2, &["3 1", "1", "2 3"]);
        let expected = "
          0    prim  repl
  node-1  rP·     1     1
  node-2  ··P     1     0
  node-3  N·n     1     1
          P primary   r replica   N n the same, new on this node
";
        assert_eq!(
            format!("\n{}", map(&after, Some(&before), Styles::new(false), 100)),
            expected
        );
    }

    #[test]
    fn colour_paints_the_marks() {
        let table = layout(2, 2, &["1 2", "1 2"]);
        let text = map(&table, None, Styles::new(true), 100);
        assert!(text.contains("\u{1b}[30m\u{1b}[42mPP\u{1b}[0m"), "{text:?}");
        assert!(text.contains("\u{1b}[30m\u{1b}[46mrr\u{1b}[0m"), "{text:?}");
    }

    #[test]
    fn long_names_keep_their_end_which_tells_them_apart() {
        assert_eq!(label("my-application-in-a-pod-12"), "…ication-in-a-pod-12");
        assert_eq!(label("node-1"), "node-1");
    }
}
