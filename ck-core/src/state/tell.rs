//! What is told of a change of one partition.

use std::sync::Arc;

use super::{Context, State};
use crate::model::{
    ChangeReason, CopyState, EventKind, Node, NodeId, Partition, PartitionChangeEvent, RoleChange, Topology,
    partition_id,
};

impl State {
    /// Tells of a change of each of `nodes`; `before` is the primary that was, where it is not the present one.
    pub(super) fn tell_each(
        &self,
        number: u32,
        nodes: &[NodeId],
        role: RoleChange,
        reason: ChangeReason,
        before: Option<&NodeId>,
        context: &mut Context<'_>,
    ) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let change = Change {
            topology: &self.topology,
            partition,
            reason,
            before,
        };
        for node in nodes {
            change.tell(node, role, context);
        }
    }
}

/// One change of one partition, to be told of.
pub(super) struct Change<'a> {
    pub(super) topology: &'a Topology,
    pub(super) partition: &'a Partition,
    pub(super) reason: ChangeReason,
    pub(super) before: Option<&'a NodeId>,
}

impl Change<'_> {
    pub(super) fn tell(&self, node: &NodeId, change: RoleChange, context: &mut Context<'_>) {
        let event = partition_event(
            self.topology,
            self.partition,
            node,
            change,
            self.reason,
            self.before,
            context.index,
        );
        context.emit(EventKind::PartitionChange(event));
    }
}

/// From whom `node` can copy what it was given at `index`: the live holders of the data other than itself. Where all
/// the copies were made at `index` itself, there is nothing to copy yet.
pub(crate) fn sources(topology: &Topology, partition: &Partition, node: &str, index: u64) -> Vec<Arc<Node>> {
    partition
        .copies
        .iter()
        .filter(|copy| copy.state == CopyState::Synced && *copy.node != *node)
        .filter(|copy| copy.since != index || partition.epoch > 1)
        .filter_map(|copy| topology.nodes.get(&copy.node))
        .filter(|source| source.status.is_serving())
        .cloned()
        .collect()
}

/// The event that tells of a change.
pub(super) fn partition_event(
    topology: &Topology,
    partition: &Partition,
    node: &NodeId,
    change: RoleChange,
    reason: ChangeReason,
    before: Option<&NodeId>,
    index: u64,
) -> PartitionChangeEvent {
    let gained = change.gained().is_some();
    let sources = if gained {
        sources(topology, partition, node, index)
    } else {
        Vec::new()
    };
    let now = partition.primary.clone().unwrap_or_else(|| "".into());
    let old_primary = match before {
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
        copy_to_node: if gained {
            topology.nodes.get(node).cloned()
        } else {
            None
        },
        change_reason: reason,
        old_primary,
        new_primary: now,
        epoch: partition.epoch,
    }
}
