//! `status`, `nodes` and `leader`: what a cluster looks like.

use clusterkit::model::{Cluster, Node, NodeStatus, PartitionState};
use serde_json::json;

use super::partitions::state_tone;
use super::security;
use crate::api::{Api, ClusterAnswer, whole_seconds};
use crate::args::Global;
use crate::error::Result;
use crate::layout::{Layout, Spread, natural};
use crate::output::{Align, Cell, Out, Table, Tone, plural, printable};

/// One look at everything.
pub(crate) fn status(api: &mut Api, global: &Global, out: &mut Out) -> Result<()> {
    let answer = api.cluster()?;
    let asked = api.health()?;
    let health = &asked.health;
    let heard = if answer.stale { api.heard()? } else { None };
    let cluster = &answer.cluster;
    let keys = security::of_members(asked.security.as_ref(), cluster, global);
    let layout = Layout::new(cluster);
    let active = cluster
        .nodes
        .iter()
        .filter(|node| node.status == NodeStatus::Active)
        .count();
    let primaries = Spread::of(layout.primaries().into_values());
    let copies = Spread::of(layout.copies().into_values());
    if out.json {
        return out.json(&json!({
            "cluster_id": cluster.id,
            "cluster_name": cluster.name,
            "revision": answer.revision,
            "leader": cluster.leader,
            "epoch": cluster.epoch,
            "stale": answer.stale,
            "last_contact_ms": answer.last_contact,
            "heard": heard,
            "nodes": cluster.nodes.len(),
            "active_nodes": active,
            "partitions": layout.partitions.len(),
            "replication_factor": cluster.config.replication_factor,
            "partition_states": layout.states(),
            "lost_partitions": cluster.lost_partitions,
            "maintenance": cluster.maintenance,
            "primaries_per_node": primaries,
            "copies_per_node": copies,
            "asked": asked,
            "security": keys,
        }));
    }
    let styles = out.styles;
    let leader = match &*cluster.leader {
        "" => {
            let since = match answer.last_contact {
                Some(millis) => format!("none; the last one was heard of {} ago", whole_seconds(millis)),
                None => "none".to_owned(),
            };
            styles.paint(Tone::Bad, &since)
        }
        leader => format!("{leader} (epoch {})", cluster.epoch),
    };
    let members = format!("{active} of {} active", cluster.nodes.len());
    let members_tone = if active == cluster.nodes.len() && !answer.stale {
        Tone::Good
    } else {
        Tone::Warn
    };
    // What is of the past says so before anything else.
    let (members, partitions) = if answer.stale {
        let total = plural(cluster.nodes.len(), "member");
        let heard = heard
            .map(|heard| format!(", {heard} heard of"))
            .unwrap_or_default();
        let as_of = answer.as_of();
        (
            format!("{total}{heard}; {as_of}: {members}"),
            styles.paint(Tone::Warn, &format!("{as_of}: ")),
        )
    } else {
        (members, String::new())
    };
    let mut lines = vec![
        ("cluster", format!("{} ({})", cluster.name, cluster.id)),
        ("revision", answer.revision.to_string()),
        ("leader", leader),
        ("nodes", styles.paint(members_tone, &members) + &others(cluster)),
        ("partitions", partitions + &partition_line(&layout, out)),
        (
            "copies",
            format!("{} wanted of each partition", cluster.config.replication_factor),
        ),
        (
            "balance",
            format!(
                "{} to {} primaries and {} to {} copies on a node",
                primaries.min, primaries.max, copies.min, copies.max
            ),
        ),
    ];
    if !cluster.lost_partitions.is_empty() {
        let text = format!(
            "{}: no node that is up has {}",
            cluster.lost_partitions.len(),
            listed(&cluster.lost_partitions)
        );
        lines.push(("lost", styles.paint(Tone::Bad, &text)));
    }
    if let Some(maintenance) = &cluster.maintenance {
        let text = format!("no moves are planned: {}", printable(&maintenance.reason));
        lines.push(("maintained", styles.paint(Tone::Warn, &text)));
    }
    if let Some(text) = security::line(asked.security.as_ref(), &keys, out) {
        lines.push(("security", text));
    }
    let word = if health.healthy {
        styles.paint(Tone::Good, "healthy")
    } else {
        styles.paint(Tone::Bad, "unhealthy")
    };
    let why = if health.message.is_empty() {
        String::new()
    } else {
        format!(": {}", printable(&health.message))
    };
    lines.push((
        "asked",
        format!(
            "{} at {}, {}, up {}, {word}{why}",
            health.node_id,
            api.addr(),
            health.raft_state,
            health.uptime
        ),
    ));
    for (name, text) in lines {
        out.line(format!(
            "{}  {text}",
            styles.paint(Tone::Heading, &format!("{name:<10}"))
        ))?;
    }
    Ok(())
}

/// The first few, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The members that are not active, by name: `; node-3 failed`.
fn others(cluster: &Cluster) -> String {
    let others = cluster
        .nodes
        .iter()
        .filter(|node| node.status != NodeStatus::Active);
    others
        .map(|node| format!("; {} {}", node.id, node.status.as_str()))
        .collect()
}

fn partition_line(layout: &Layout, out: &Out) -> String {
    if layout.partitions.is_empty() {
        return out.styles.paint(Tone::Warn, "none yet");
    }
    let mut parts = Vec::new();
    for state in [
        PartitionState::Ok,
        PartitionState::Moving,
        PartitionState::UnderReplicated,
        PartitionState::NoPrimary,
        PartitionState::Lost,
    ] {
        if let Some(count) = layout.states().get(state.as_str()) {
            let words = format!("{count} {}", state.as_str().replace('_', " "));
            parts.push(out.styles.paint(state_tone(state), &words));
        }
    }
    format!("{}: {}", layout.partitions.len(), parts.join(", "))
}

/// The members.
pub(crate) fn nodes(api: &mut Api, out: &mut Out) -> Result<()> {
    let mut nodes = api.nodes()?;
    nodes.sort_by(|a, b| natural(&a.id, &b.id));
    if out.json {
        let total = nodes.len();
        return out.json(&json!({ "nodes": nodes, "total": total }));
    }
    let answer = api.cluster()?;
    let layout = Layout::new(&answer.cluster);
    out.text(node_table(&nodes, &layout, &answer).render(out.styles))?;
    let line = format!(
        "{} at revision {}{}",
        plural(nodes.len(), "node"),
        answer.revision,
        answer.age_note()
    );
    out.line(out.styles.paint(Tone::Dim, &line))
}

fn node_table(nodes: &[Node], layout: &Layout, answer: &ClusterAnswer) -> Table {
    let (primaries, copies) = (layout.primaries(), layout.copies());
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("address", Align::Left),
        ("status", Align::Left),
        ("raft", Align::Left),
        ("primaries", Align::Right),
        ("copies", Align::Right),
        ("incarnation", Align::Right),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("services", Align::Left),
    ]);
    for node in nodes {
        let count = |counts: &std::collections::BTreeMap<&str, u64>| {
            counts.get(&*node.id).copied().unwrap_or(0).to_string()
        };
        let raft = if node.id == answer.cluster.leader {
            Cell::new("leader", Tone::Good)
        } else if node.voter {
            "voter".into()
        } else {
            Cell::new("learner", Tone::Dim)
        };
        let services: Vec<String> = node
            .services
            .iter()
            .map(|(name, at)| format!("{name}={at}"))
            .collect();
        table.row(vec![
            (*node.id).into(),
            node.ip.as_str().into(),
            if answer.stale {
                Cell::new(format!("{} (stale)", node.status.as_str()), Tone::Warn)
            } else {
                Cell::new(node.status.as_str(), status_tone(node.status))
            },
            raft,
            count(&primaries).into(),
            count(&copies).into(),
            node.incarnation.to_string().into(),
            node.zone.as_deref().unwrap_or_default().into(),
            node.weight.to_string().into(),
            services.join(" ").into(),
        ]);
    }
    table
}

fn status_tone(status: NodeStatus) -> Tone {
    match status {
        NodeStatus::Active => Tone::Good,
        NodeStatus::Failed => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// Who leads.
pub(crate) fn leader(api: &mut Api, out: &mut Out) -> Result<()> {
    let leader = api.leader()?;
    if out.json {
        return out.json(&leader);
    }
    let name = out.styles.paint(Tone::Good, &leader.leader_id);
    out.line(format!(
        "{name} at {} (epoch {}, term {}, elected {})",
        leader.leader_ip, leader.epoch, leader.term, leader.elected_at
    ))
}
