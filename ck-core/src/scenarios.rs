//! Scenario scripts: protocol scenarios as text, which tests run and compare (`testdata/`). Here is what the runners
//! share: reading and comparing the scripts, and the state and the events of a cluster as lines of text.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{
    CopyState, Event, EventKind, NodeId, PartitionChangeEvent, RebalanceEvent, Target, Topology,
};

/// Runs every script in a folder of `testdata/`, each with a runner of its own, and compares what it prints with what
/// the script says. With `UPDATE=1` in the environment the scripts are written anew instead.
pub(crate) fn run_scripts<R: goldenscript::Runner>(folder: &str, runner: impl Fn() -> R) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut scripts: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    scripts.sort();
    assert!(!scripts.is_empty(), "{} has no scripts", folder.display());
    let mut wrong = String::new();
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let run = || goldenscript::generate(&mut runner(), &script).map_err(|error| error.to_string());
        // A panic would not name the script that caused it.
        let failed = match catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(message(&*panic))) {
            Ok(output) if output == script => continue,
            Ok(output) if update => {
                std::fs::write(&path, output).unwrap();
                continue;
            }
            Ok(output) => first_difference(&script, &output),
            Err(error) => error,
        };
        writeln!(wrong, "{}: {failed}\n", path.display()).unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{wrong}Where the new output is right, UPDATE=1 writes it into the scripts."
    );
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

/// The first lines in which a script and its output differ.
fn first_difference(script: &str, output: &str) -> String {
    let same = script
        .lines()
        .zip(output.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let excerpt = |text: &str, sign: char| {
        let lines = text.lines().skip(same).take(6);
        lines.fold(String::new(), |text, line| format!("{text}\n{sign} {line}"))
    };
    format!(
        "differs from line {} on{}{}",
        same + 1,
        excerpt(script, '-'),
        excerpt(output, '+')
    )
}

/// An argument that is spelled as in JSON: `node_leave`, `degraded`.
pub(crate) struct Word<T>(pub(crate) T);

impl<T: DeserializeOwned> FromStr for Word<T> {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(text.into()).map(Word)
    }
}

/// An argument that names the holders of a partition: `b/a/c`, the primary first.
#[derive(Clone)]
pub(crate) struct Holders(pub(crate) Target);

impl FromStr for Holders {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut nodes: Vec<NodeId> = text.split('/').map(NodeId::from).collect();
        let primary = nodes[0].clone();
        nodes.sort();
        Ok(Holders(Target { nodes, primary }))
    }
}

/// The holders as [`Holders`] reads them.
pub(crate) fn holders(target: &Target) -> String {
    let others = target.nodes.iter().filter(|node| **node != target.primary);
    others.fold(target.primary.to_string(), |text, node| format!("{text}/{node}"))
}

/// A value as it is spelled in JSON.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// The members, one a line.
pub(crate) fn nodes(topology: &Topology) -> String {
    let mut text = String::new();
    for node in topology.nodes.values() {
        write!(
            text,
            "node {}: {} incarnation={} raft-id={}",
            node.id,
            node.status.as_str(),
            node.incarnation,
            node.raft_id
        )
        .unwrap();
        if let Some(zone) = &node.zone {
            write!(text, " zone={zone}").unwrap();
        }
        if topology.leader.as_ref() == Some(&node.id) {
            write!(text, " leader").unwrap();
        }
        writeln!(text, "{}", if node.voter { " voter" } else { "" }).unwrap();
    }
    text
}

/// The partitions, one a line: the condition as users see it, the primary and its epoch, and every copy with its state.
pub(crate) fn partitions(topology: &Topology) -> String {
    let mut text = String::new();
    for partition in &topology.partitions {
        let state = partition.state(topology.config.replication_factor, |id| topology.is_serving(id));
        let copies = partition.copies.iter().map(|copy| {
            let state = match copy.state {
                CopyState::Synced => "synced",
                CopyState::Pending => "pending",
            };
            format!("{}:{state}", copy.node)
        });
        write!(
            text,
            "partition {}: {} epoch={} primary={} copies={}",
            partition.number,
            state.as_str(),
            partition.epoch,
            name(partition.primary.as_deref()),
            list(copies, ",")
        )
        .unwrap();
        if let Some(target) = &partition.target {
            write!(text, " target={}", holders(target)).unwrap();
        }
        if let Some((holder, revision)) = &partition.released {
            write!(text, " released-by={holder} at={revision}").unwrap();
        }
        writeln!(text).unwrap();
    }
    text
}

/// Events, one a line and indented.
pub(crate) fn events(events: &[Event]) -> String {
    let lines = events
        .iter()
        .map(|event| format!("  {} {}\n", event.kind.name(), event_line(&event.kind)));
    lines.collect()
}

fn event_line(kind: &EventKind) -> String {
    match kind {
        EventKind::PartitionChange(event) => partition_change(event),
        EventKind::NodeJoin(event) if event.is_bootstrap => format!("{}, founds the cluster", event.node.id),
        EventKind::NodeJoin(event) => format!("{}, members={}", event.node.id, event.cluster_size),
        EventKind::NodeRejoin(event) => format!(
            "{}, away for {}, held {}",
            event.node.id,
            duration(event.offline_duration),
            numbers(&event.partitions_before_leave)
        ),
        EventKind::NodeLeave(event) => format!(
            "{}, {}, primary of {}, replica of {}",
            event.node.id,
            word(&event.reason),
            numbers(&event.partitions_owned),
            numbers(&event.partitions_replica)
        ),
        EventKind::RebalanceStart(event) => rebalance(event),
        EventKind::RebalanceComplete(event) => {
            format!("{}, took {}", rebalance(event), duration(event.duration))
        }
        EventKind::ClusterHealthChange(event) => {
            let mut line = format!(
                "{}, {} of {} healthy",
                event.status, event.healthy_nodes, event.total_nodes
            );
            if !event.unhealthy_node_ids.is_empty() {
                line += &format!(", not {}", list(&event.unhealthy_node_ids, " "));
            }
            if !event.lost_partitions.is_empty() {
                line += &format!(", lost {}", numbers(&event.lost_partitions));
            }
            line
        }
        EventKind::LeaderChange(event) => format!("{}, leader epoch={}", event.node_id, event.epoch),
        EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_) => unreachable!("not from the log"),
    }
}

fn partition_change(event: &PartitionChangeEvent) -> String {
    let mut line = format!("{}: {} {}", event.number, event.node_id, word(&event.change));
    if !event.copy_from_nodes.is_empty() {
        let sources = event.copy_from_nodes.iter().map(|node| &*node.id);
        line += &format!(", copies from {}", list(sources, " "));
    }
    if event.old_primary != event.new_primary {
        let name = |node: &NodeId| name(Some(&**node).filter(|node| !node.is_empty())).to_owned();
        line += &format!(
            ", primary {} -> {}",
            name(&event.old_primary),
            name(&event.new_primary)
        );
    }
    format!("{line}, epoch={} ({})", event.epoch, word(&event.change_reason))
}

fn rebalance(event: &RebalanceEvent) -> String {
    let cause = if event.trigger_node_id.is_empty() {
        word(&event.trigger)
    } else {
        format!("{} {}", word(&event.trigger), event.trigger_node_id)
    };
    format!(
        "{cause}, {} partitions, nodes {}",
        event.partitions_to_move,
        list(&event.nodes_affected, " ")
    )
}

fn name(node: Option<&str>) -> &str {
    node.unwrap_or("none")
}

fn numbers(ids: &[String]) -> String {
    list(ids.iter().map(|id| id.strip_prefix("partition-").unwrap()), " ")
}

/// A duration: `1.5s`.
pub(crate) fn duration(time: Duration) -> String {
    if time.is_zero() {
        "0s".to_owned()
    } else {
        format!("{time:?}")
    }
}

/// Items with a separator between them; `none` where there is none.
pub(crate) fn list(items: impl IntoIterator<Item = impl ToString>, separator: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() {
        return "none".to_owned();
    }
    items.join(separator)
}
