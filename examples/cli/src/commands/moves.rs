//! `rebalance`: what moves, what would, and the order to move it.

use clusterkit::model::{Migration, MigrationState, RebalanceStatus, Timestamp};

use crate::api::Api;
use crate::args::RebalanceArgs;
use crate::error::Result;
use crate::output::{Align, Cell, Out, Table, Tone, plural, printable};

/// Asks for a rebalance, what it would do, or what one is doing.
pub(crate) fn rebalance(args: &RebalanceArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    if args.status {
        return status(api, out);
    }
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
        out.text(table.render(out.styles))?;
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

fn status(api: &mut Api, out: &mut Out) -> Result<()> {
    let status = api.rebalance_status()?;
    if out.json {
        return out.json(&status);
    }
    if !status.migrations.is_empty() {
        out.text(table(&status.migrations).render(out.styles))?;
        let more = status.migrations_total.saturating_sub(status.migrations.len());
        if more > 0 {
            out.line(format!("and {more} more"))?;
        }
    }
    out.line(summary(&status))?;
    if let Some(maintenance) = &status.maintenance {
        let text = format!(
            "maintenance: no moves are planned: {}",
            printable(&maintenance.reason)
        );
        out.line(out.styles.paint(Tone::Warn, &text))?;
    }
    for away in &status.away {
        let until = match away.replaced_after {
            Some(moment) if status.maintenance.is_none() => {
                format!("; its copies are made anew elsewhere after {moment}")
            }
            _ => String::new(),
        };
        out.line(format!("{} is away since {}{until}", away.node, away.since))?;
    }
    for avoided in &status.avoided {
        let times = plural(avoided.times as usize, "time");
        out.line(format!(
            "{} was given up on {} {times}; it is not planned there until {}",
            avoided.partition_id, avoided.node, avoided.until
        ))?;
    }
    if !status.from_leader {
        let text = format!(
            "the leader did not answer: this is what {} knows, without clocks and attempts",
            status.answered_by
        );
        out.line(out.styles.paint(Tone::Warn, &text))?;
    }
    Ok(())
}

fn table(migrations: &[Migration]) -> Table {
    let mut table = Table::new(&[
        ("partition", Align::Left),
        ("from", Align::Left),
        ("to", Align::Left),
        ("state", Align::Left),
        ("since", Align::Left),
        ("failed", Align::Right),
        ("why", Align::Left),
    ]);
    for migration in migrations {
        let tone = match migration.state {
            MigrationState::Copying | MigrationState::HandingOver => Tone::Good,
            MigrationState::Queued => Tone::Dim,
            _ => Tone::Bad,
        };
        table.row(vec![
            migration.partition_id.as_str().into(),
            migration.from.join(" ").into(),
            (*migration.to).into(),
            Cell::new(migration.state.as_str().replace('_', " "), tone),
            since(migration.since).into(),
            match migration.attempts {
                0 => String::new(),
                attempts => attempts.to_string(),
            }
            .into(),
            migration.reason.as_str().into(),
        ]);
    }
    table
}

fn since(moment: Option<Timestamp>) -> String {
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}

fn summary(status: &RebalanceStatus) -> String {
    let (Some(trigger), Some(started)) = (status.trigger, status.started_at) else {
        return if status.migrations.is_empty() {
            "nothing moves".to_owned()
        } else {
            "no rebalance is under way; copies are made for nodes that are back".to_owned()
        };
    };
    let trigger = serde_json::to_value(trigger).unwrap_or_default();
    let trigger = trigger.as_str().unwrap_or_default().replace('_', " ");
    let node = match &*status.trigger_node_id {
        "" => String::new(),
        node => format!(" of {node}"),
    };
    format!(
        "{} of {} moved; {trigger}{node} at {started}",
        status.moved,
        plural(status.partitions_to_move, "partition"),
    )
}
