//! Replaces a node that did not make a copy by the next best node.

use std::collections::{BTreeMap, BTreeSet};

use super::super::copy_watchdog::Pair;
use super::Exclusions;
use crate::model::{CopyState, Node, NodeId, NodeStatus, Partition, Topology};

/// Removes excluded pairs from the planner's output. The replacement is the node with, in this order: fewest copies of
/// the partition in its zone, the data already, a pending copy, the least load for its weight. Without such a node the
/// partition has one copy less until the pair may be tried again.
pub(super) fn avoid(topology: &Topology, copies: &mut [Vec<NodeId>], exclusions: &Exclusions) {
    let mut avoided: BTreeSet<Pair> = exclusions.avoided.clone();
    if !exclusions.failing.is_empty() {
        for (partition, wanted) in topology.partitions.iter().zip(copies.iter()) {
            let new = wanted.iter().filter(|id| partition.copy(id).is_none());
            let failing = new.filter(|id| exclusions.failing.contains(*id));
            avoided.extend(failing.map(|id| (partition.number, id.clone())));
        }
    }
    if avoided.is_empty() {
        return;
    }
    let mut loads: BTreeMap<NodeId, u64> = BTreeMap::new();
    for id in copies.iter().flatten() {
        *loads.entry(id.clone()).or_default() += 1;
    }
    for (number, node) in &avoided {
        let (Some(partition), Some(wanted)) = (
            topology.partitions.get(*number as usize),
            copies.get_mut(*number as usize),
        ) else {
            continue;
        };
        let Some(at) = wanted.iter().position(|id| id == node) else {
            continue;
        };
        if partition.is_synced(node) {
            continue;
        }
        let others: Vec<NodeId> = wanted.iter().filter(|id| *id != node).cloned().collect();
        let able = topology.nodes.values().filter(|candidate| {
            candidate.status == NodeStatus::Active
                && candidate.weight > 0
                && !exclusions.given_up.contains(&candidate.id)
                && (!exclusions.failing.contains(&candidate.id) || partition.copy(&candidate.id).is_some())
                && !others.contains(&candidate.id)
                && !avoided.contains(&(*number, candidate.id.clone()))
        });
        let next = able.min_by_key(|candidate| {
            let load = loads.get(&candidate.id).copied().unwrap_or(0) + 1;
            (
                in_zone_of(topology, candidate, &others),
                rank(partition, &candidate.id),
                load * 1_000_000 / u64::from(candidate.weight.max(1)),
                candidate.id.clone(),
            )
        });
        let next = next.map(|node| &node.id);
        // A holder that was to lose its copy keeps it where it would be the only one.
        let next = next.or_else(|| partition.synced().next().filter(|_| others.is_empty()));
        match next {
            Some(next) => {
                *loads.entry(next.clone()).or_default() += 1;
                wanted[at] = next.clone();
                wanted.sort();
            }
            None if others.is_empty() => continue,
            None => *wanted = others,
        }
        if let Some(load) = loads.get_mut(node) {
            *load = load.saturating_sub(1);
        }
    }
}

/// How many of the others are in the zone of a node.
fn in_zone_of(topology: &Topology, node: &Node, others: &[NodeId]) -> usize {
    let nodes = others.iter().filter_map(|id| topology.nodes.get(id));
    nodes.filter(|other| other.zone == node.zone).count()
}

fn rank(partition: &Partition, node: &str) -> u8 {
    match partition.copy(node).map(|copy| copy.state) {
        Some(CopyState::Synced) => 0,
        Some(CopyState::Pending) => 1,
        None => 2,
    }
}
