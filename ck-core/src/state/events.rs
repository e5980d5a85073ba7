//! The events that are emitted for a change of one partition.

use std::sync::Arc;

use super::{ApplyContext, State};
use crate::model::{
    ChangeReason, CopyState, EventKind, Node, NodeId, Partition, PartitionChangeEvent, RoleChange, Topology,
    partition_id,
};

impl State {
    /// Emits one event for each of `nodes`; `before` is the former primary, where it is not the present one.
    pub(super) fn emit_changes(
        &self,
        number: u32,
        nodes: &[NodeId],
        role: RoleChange,
        reason: ChangeReason,
        before: Option<&NodeId>,
        context: &mut ApplyContext<'_>,
    ) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let gone = context.gone.clone();
        let change = PartitionChange {
            topology: &self.topology,
            partition,
            reason,
            before,
            gone: gone.as_ref(),
        };
        for node in nodes {
            change.emit(node, role, context);
        }
    }
}

/// One change of one partition, from which events are made.
pub(super) struct PartitionChange<'a> {
    pub(super) topology: &'a Topology,
    pub(super) partition: &'a Partition,
    pub(super) reason: ChangeReason,
    /// The former primary, where it is not the present one.
    pub(super) before: Option<&'a NodeId>,
    /// The record of a node that is no member any more, for events about it.
    pub(super) gone: Option<&'a Arc<Node>>,
}

impl PartitionChange<'_> {
    pub(super) fn emit(&self, node: &NodeId, change: RoleChange, context: &mut ApplyContext<'_>) {
        let event = self.event(node, change, context.index);
        context.emit(EventKind::PartitionChange(event));
    }

    /// The event about `node`, to be emitted with revision `index`.
    pub(super) fn event(&self, node: &NodeId, change: RoleChange, index: u64) -> PartitionChangeEvent {
        let PartitionChange {
            topology, partition, ..
        } = *self;
        // Only a replica is made by copying: a node that becomes primary has the data already.
        let sources = match change {
            RoleChange::GainedReplica => sources(topology, partition, node, index),
            RoleChange::GainedPrimary | RoleChange::LostPrimary | RoleChange::LostCopy => Vec::new(),
        };
        let gone = self.gone.filter(|gone| gone.id == *node);
        let now = partition.primary.clone().unwrap_or_else(|| "".into());
        let old_primary = match self.before {
            Some(before) => before.clone(),
            None if change == RoleChange::GainedPrimary => "".into(),
            None => now.clone(),
        };
        PartitionChangeEvent {
            partition_id: partition_id(partition.number),
            number: partition.number,
            node_id: node.clone(),
            change,
            copy_from_nodes: sources,
            copy_to_node: topology.nodes.get(node).or(gone).cloned(),
            change_reason: self.reason,
            old_primary,
            new_primary: now,
            epoch: partition.epoch,
        }
    }
}

/// The nodes from which `node` can copy what it was assigned at `index`: the other serving holders of the data; where
/// hooks have confirmed some of these, only those.
///
/// The list is empty where the copies were created at `index` with the partition itself, where a hook-confirmed copy
/// exists elsewhere and `node` is the primary, and where no such copy exists and `node` has the data itself.
pub(crate) fn sources(topology: &Topology, partition: &Partition, node: &str, index: u64) -> Vec<Arc<Node>> {
    let holders = || {
        partition
            .copies
            .iter()
            .filter(|copy| copy.state == CopyState::Synced && *copy.node != *node)
            .filter(|copy| copy.since != index || partition.epoch > 1)
            .filter_map(|copy| Some((copy, topology.nodes.get(&copy.node)?)))
            .filter(|(_, source)| source.status.is_serving())
    };
    let mut proven = holders().filter(|(copy, _)| !copy.unhooked).peekable();
    if proven.peek().is_some() {
        return match partition.primary.as_deref() == Some(node) {
            true => Vec::new(),
            false => proven.map(|(_, source)| source.clone()).collect(),
        };
    }
    match partition.is_synced(node) {
        true => Vec::new(),
        false => holders().map(|(_, source)| source.clone()).collect(),
    }
}
