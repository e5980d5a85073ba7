//! `rebalance` and `remove`: what an administrator orders.

use std::io::{BufRead, IsTerminal, Write};

use crate::api::Api;
use crate::args::{RebalanceArgs, RemoveArgs};
use crate::error::{CliError, Result};
use crate::output::{Align, Cell, Out, Table, Tone, plural};

/// Asks for a rebalance, or what it would do.
pub(crate) fn rebalance(args: &RebalanceArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    let answer = api.rebalance(args.dry_run)?;
    if out.json {
        return out.json(&answer);
    }
    if answer.partitions_to_move == 0 {
        return out.line("nothing to move: every partition is where it should be");
    }
    let mut table = Table::new(&[
        ("partition", Align::Left),
        ("primary", Align::Left),
        ("gains a copy", Align::Left),
        ("loses its copy", Align::Left),
    ]);
    for moved in &answer.moves {
        let primary = if moved.old_primary == moved.new_primary {
            moved.new_primary.to_string()
        } else if moved.old_primary.is_empty() {
            format!("-> {}", moved.new_primary)
        } else {
            format!("{} -> {}", moved.old_primary, moved.new_primary)
        };
        table.row(vec![
            moved.partition_id.as_str().into(),
            primary.into(),
            Cell::new(moved.gain.join(" "), Tone::Good),
            Cell::new(moved.lose.join(" "), Tone::Warn),
        ]);
    }
    if !table.is_empty() {
        out.text(table.render(out.styles, 0))?;
    }
    let verb = if answer.dry_run {
        "would move"
    } else {
        "on the move"
    };
    out.line(format!(
        "{} {verb}",
        plural(answer.partitions_to_move, "partition")
    ))
}

/// Removes a member, after asking where a human is there to answer.
pub(crate) fn remove(args: &RemoveArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    if !args.yes {
        confirm(&args.node)?;
    }
    let answer = api.remove(&args.node)?;
    if out.json {
        return out.json(&answer);
    }
    let removed = out.styles.paint(Tone::Good, &args.node);
    out.line(format!(
        "removed {removed}; its copies are made anew on the other nodes"
    ))
}

fn confirm(node: &str) -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = format!("removing {node} for good needs --yes where nobody can be asked");
        return Err(CliError::Usage(message));
    }
    let mut stderr = std::io::stderr();
    let asked =
        write!(stderr, "Remove {node} from the cluster for good? [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(|error| CliError::io("standard error", &error))?;
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::io("standard input", &error))?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failed(
            ck_core::ErrorCode::Refused,
            format!("{node} was not removed"),
        )),
    }
}
