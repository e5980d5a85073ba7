//! The input in a form that does not depend on the order of its lists: nodes by number, sorted by id.

use std::collections::HashMap;

use super::{PlannerInput, PlannerNode};

/// The listed nodes, numbered in the order of their ids.
pub(super) struct NodeTable {
    pub(super) ids: Vec<String>,
    /// 0 for nodes that get no copies: draining ones, and those of weight 0.
    pub(super) weight: Vec<u32>,
    /// The zone of each node. Nodes without a zone share one of their own.
    pub(super) zone: Vec<u32>,
    pub(super) zones: usize,
}

impl NodeTable {
    pub(super) fn new(nodes: &[PlannerNode]) -> Self {
        let mut sorted: Vec<&PlannerNode> = nodes.iter().collect();
        sorted.sort_by(|a, b| {
            (&a.id, &a.zone, a.draining, a.weight).cmp(&(&b.id, &b.zone, b.draining, b.weight))
        });
        sorted.dedup_by(|a, b| a.id == b.id);
        let mut names: Vec<&Option<String>> = sorted.iter().map(|n| &n.zone).collect();
        names.sort();
        names.dedup();
        let zone = sorted
            .iter()
            .map(|n| names.partition_point(|&name| name < &n.zone) as u32)
            .collect();
        NodeTable {
            ids: sorted.iter().map(|n| n.id.clone()).collect(),
            weight: sorted
                .iter()
                .map(|n| if n.draining { 0 } else { n.weight })
                .collect(),
            zone,
            zones: names.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when the node may get copies and primaries.
    pub(super) fn is_eligible(&self, node: usize) -> bool {
        self.weight[node] > 0
    }
}

/// One copy that exists on a listed node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldCopy {
    pub(super) node: u32,
    pub(super) synced: bool,
}

/// The present copies and primaries, on listed nodes.
pub(super) struct CurrentAssignment {
    starts: Vec<u32>,
    held: Vec<HeldCopy>,
    /// The primary of each partition, if its node is listed.
    pub(super) primary: Vec<Option<u32>>,
    /// True for each partition that was placed before and so has data; the others are *fresh*.
    pub(super) placed: Vec<bool>,
}

impl CurrentAssignment {
    pub(super) fn new(input: &PlannerInput, table: &NodeTable) -> Self {
        let number: HashMap<&str, u32> = table
            .ids
            .iter()
            .enumerate()
            .map(|(n, id)| (id.as_str(), n as u32))
            .collect();
        let mut current = CurrentAssignment {
            starts: Vec::with_capacity(input.partitions.len() + 1),
            held: Vec::new(),
            primary: Vec::with_capacity(input.partitions.len()),
            placed: Vec::with_capacity(input.partitions.len()),
        };
        current.starts.push(0);
        let mut copies: Vec<HeldCopy> = Vec::new();
        for partition in &input.partitions {
            copies.clear();
            copies.extend(partition.copies.iter().filter_map(|copy| {
                number.get(copy.node.as_str()).map(|&node| HeldCopy {
                    node,
                    synced: copy.synced,
                })
            }));
            // A copy that is listed twice is synced if one entry says so.
            copies.sort_by_key(|held| (held.node, !held.synced));
            copies.dedup_by_key(|held| held.node);
            current.held.extend_from_slice(&copies);
            current.starts.push(current.held.len() as u32);
            current.primary.push(
                partition
                    .primary
                    .as_deref()
                    .and_then(|id| number.get(id).copied()),
            );
            current.placed.push(!partition.copies.is_empty());
        }
        current
    }

    /// The number of partitions.
    pub(super) fn len(&self) -> usize {
        self.primary.len()
    }

    /// The copies of a partition on listed nodes, by node.
    pub(super) fn held(&self, partition: usize) -> &[HeldCopy] {
        &self.held[self.starts[partition] as usize..self.starts[partition + 1] as usize]
    }

    pub(super) fn holds(&self, partition: usize, node: u32) -> Option<bool> {
        self.held(partition)
            .iter()
            .find(|held| held.node == node)
            .map(|held| held.synced)
    }

    /// A partition that had copies, none of which is synced and on a listed node.
    pub(super) fn is_lost(&self, partition: usize) -> bool {
        self.placed[partition] && !self.held(partition).iter().any(|held| held.synced)
    }
}
