//! Migrations: how many copies are made at a time, and copies that are abandoned.
//!
//! Invariant: a node of a target that holds no copy yet waits in its queue. Its copy starts as soon as the copies under
//! way, both its own and the cluster's, are below the limits. No copy starts without a serving source.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ApplyContext, CommandResult, CopyLimit, Reply, State};
use crate::model::{CopyState, NodeId, Partition, PartitionCopy, RoleChange};

/// The copies that each node has still to make for the moves under way. This index follows from the targets, and is
/// kept because computing it in every step would walk through all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Migrations {
    /// How many copies are made at a time, as the last plan said.
    pub(super) limit: CopyLimit,
    /// How many partitions have a target.
    pub(super) moving: usize,
    #[serde(rename = "lanes")]
    pub(super) by_node: BTreeMap<NodeId, NodeMigrations>,
    /// The nodes that confirmed last without a hook for copies: all their copies start at once, and count for no limit.
    #[serde(default)]
    pub(super) at_once: BTreeSet<NodeId>,
}

/// The copies that one node has still to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeMigrations {
    /// Partitions whose copy was assigned to the node and is not confirmed yet.
    pub(super) running: BTreeSet<u32>,
    /// Partitions whose copy waits.
    pub(super) queued: BTreeSet<u32>,
}

impl Migrations {
    /// How many copies one node, and all nodes together, may make at a time.
    pub(super) fn limits(&self) -> [usize; 2] {
        [self.limit.node, self.limit.cluster].map(|limit| match limit {
            0 => usize::MAX,
            limit => limit as usize,
        })
    }

    /// Records whether the node's present process has no hook for copies. Until it has confirmed copies without one, the
    /// limits apply.
    pub(super) fn set_copies_at_once(&mut self, node: &NodeId, at_once: bool) {
        if !at_once {
            self.at_once.remove(node);
        } else if !self.at_once.contains(node) {
            self.at_once.insert(node.clone());
        }
    }

    /// How many copies are under way that count for the limits.
    pub(super) fn running(&self) -> usize {
        let by_node = self.by_node.iter();
        by_node
            .filter(|(node, _)| !self.at_once.contains(*node))
            .map(|(_, queue)| queue.running.len())
            .sum()
    }

    fn unindex_partition(&mut self, partition: &Partition) {
        self.moving = self
            .moving
            .saturating_sub(usize::from(partition.target.is_some()));
        for node in partition.target.iter().flat_map(|target| &target.nodes) {
            let Some(queue) = self.by_node.get_mut(node) else {
                continue;
            };
            queue.running.remove(&partition.number);
            queue.queued.remove(&partition.number);
            if queue.running.is_empty() && queue.queued.is_empty() {
                self.by_node.remove(node);
            }
        }
    }

    pub(super) fn index_partition(&mut self, partition: &Partition) {
        self.moving += usize::from(partition.target.is_some());
        for node in partition.target.iter().flat_map(|target| &target.nodes) {
            let copy = partition.copy(node);
            if copy.is_some_and(|copy| copy.state == CopyState::Synced) {
                continue;
            }
            let queue = self.by_node.entry(node.clone()).or_default();
            match copy {
                Some(_) => queue.running.insert(partition.number),
                None => queue.queued.insert(partition.number),
            };
        }
    }
}

impl State {
    /// The partitions of which no serving node holds the data.
    pub fn lost(&self) -> &BTreeSet<u32> {
        &self.lost
    }

    /// Updates the indexes for the partitions that a command has changed.
    pub(super) fn update_indexes(&mut self, context: &mut ApplyContext<'_>) {
        for (number, before) in std::mem::take(&mut context.touched) {
            self.migrations.unindex_partition(&before);
            let Some(partition) = self.topology.partitions.get(number as usize) else {
                continue;
            };
            self.migrations.index_partition(partition);
            context.lost_changed |= if partition.synced().any(|node| self.is_serving(node)) {
                self.lost.remove(&number)
            } else {
                self.lost.insert(number)
            };
        }
    }

    /// Starts queued copies as far as the limits allow.
    pub(super) fn start_copies(&mut self, context: &mut ApplyContext<'_>) {
        let [limit, all] = self.migrations.limits();
        let running = self.migrations.running();
        let mut due: Vec<(u32, NodeId)> = Vec::new();
        let mut unlimited: Vec<(u32, NodeId)> = Vec::new();
        for (node, queue) in &self.migrations.by_node {
            if queue.queued.is_empty() || !self.is_serving(node) {
                continue;
            }
            if self.migrations.at_once.contains(node) {
                unlimited.extend(queue.queued.iter().map(|number| (*number, node.clone())));
                continue;
            }
            let free = limit.saturating_sub(queue.running.len());
            due.extend(
                queue
                    .queued
                    .iter()
                    .take(free)
                    .map(|number| (*number, node.clone())),
            );
        }
        due.sort_unstable();
        due.truncate(all.saturating_sub(running));
        due.append(&mut unlimited);
        due.sort_unstable();
        for (number, node) in due {
            self.start_copy(number, &node, context);
        }
    }

    fn start_copy(&mut self, number: u32, node: &NodeId, context: &mut ApplyContext<'_>) {
        if !self.has_other_serving_copy(number, node) {
            return;
        }
        let reason = self.move_reason();
        let since = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        let state = planted!("promote-unsynced" => CopyState::Synced, CopyState::Pending);
        partition
            .copies
            .push(PartitionCopy::new(node.clone(), state, since));
        partition.copies.sort_by(|a, b| a.node.cmp(&b.node));
        if let Some(queue) = self.migrations.by_node.get_mut(node) {
            queue.queued.remove(&number);
            queue.running.insert(number);
        }
        let notified = std::slice::from_ref(node);
        self.emit_changes(number, notified, RoleChange::GainedReplica, reason, None, context);
    }

    /// Abandons copies that have been pending for too long, and the moves that they are part of.
    pub(super) fn abandon_copies(
        &mut self,
        copies: &[(u32, NodeId, u64)],
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        let reason = self.move_reason();
        let mut abandoned = 0;
        for (number, node, since) in copies {
            let awaited = self.topology.partitions.get(*number as usize).is_some_and(|p| {
                p.copy(node)
                    .is_some_and(|copy| copy.state == CopyState::Pending && copy.since == *since)
            });
            // A node that is away is expected back, and a copy without a serving source waits for one.
            if !awaited || !self.is_serving(node) || !self.has_other_serving_copy(*number, node) {
                continue;
            }
            let Some(partition) = self.partition_mut(*number, context) else {
                continue;
            };
            abandoned += 1;
            partition.copies.retain(|copy| copy.node != *node);
            if partition.target.as_ref().is_some_and(|t| t.nodes.contains(node)) {
                partition.target = None;
            }
            let notified = std::slice::from_ref(node);
            self.emit_changes(*number, notified, RoleChange::LostCopy, reason, None, context);
        }
        Ok(Reply::Partitions(abandoned))
    }
}
