//! Primaries of partitions, and what happens to roles and copies when a member goes down or rejoins.
//!
//! Invariants: a primary is a synced copy on a serving node; while a serving node holds the data, only copies on
//! serving nodes count as synced; apart from creation and recovery, a node is assigned a copy without a source only
//! where its own copy is complete and has to be confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ApplyContext, Promotion, State};
use crate::model::{ChangeReason, CopyState, NodeId, Partition, RoleChange};

impl State {
    /// Takes the primary role from its holder, if there is one, and gives it to `to`, if that is set. This is the only
    /// place where the role is given and where the epoch grows.
    pub(super) fn change_primary(
        &mut self,
        number: u32,
        to: Option<&NodeId>,
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        let index = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        let loser = partition.primary.take();
        let released = partition.released.take().map(|(holder, _)| holder);
        if released.is_some() {
            // The former holder has applied its release, or its leases have run out.
            partition.idle_since = index;
        }
        if let Some(to) = to {
            partition.epoch += u64::from(!planted!("epoch-stands-still"));
            partition.primary = Some(to.clone());
            partition.granted = index;
        }
        let loss = match &loser {
            Some(node) if partition.copy(node).is_none() => RoleChange::LostCopy,
            _ => RoleChange::LostPrimary,
        };
        let before = loser.as_ref().or(released.as_ref());
        self.emit_changes(number, loser.as_slice(), loss, reason, before, context);
        if let Some(to) = to {
            let gain = std::slice::from_ref(to);
            self.emit_changes(number, gain, RoleChange::GainedPrimary, reason, before, context);
            self.complete_move(number, reason, context);
        }
    }

    /// Drops surplus copies once a partition has reached its target.
    pub(super) fn complete_move(
        &mut self,
        number: u32,
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let Some(target) = &partition.target else {
            return;
        };
        // A move does not wait for a holder that is away: it keeps its place, and copies what it missed when it
        // rejoins.
        let arrived = partition.primary.as_ref() == Some(&target.primary)
            && target
                .nodes
                .iter()
                .all(|node| partition.is_synced(node) || !self.is_serving(node));
        if !arrived {
            return;
        }
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        let Some(target) = partition.target.take() else {
            return;
        };
        let surplus: Vec<NodeId> = partition
            .copies
            .iter()
            .map(|copy| copy.node.clone())
            .filter(|node| !target.nodes.contains(node))
            .collect();
        partition.copies.retain(|copy| target.nodes.contains(&copy.node));
        self.emit_changes(number, &surplus, RoleChange::LostCopy, reason, None, context);
    }

    /// Takes the roles of a member, or of its earlier process, that has stopped serving or was removed, and gives them
    /// to others. Its copies are stale from now on, unless no other serving node has the data.
    pub(super) fn hand_over_roles(
        &mut self,
        id: &NodeId,
        promotions: &[Promotion],
        context: &mut ApplyContext<'_>,
    ) {
        let gone = !self.topology.nodes.contains_key(id);
        let mut successors = BTreeMap::new();
        for promotion in promotions.iter().filter(|promotion| promotion.to != *id) {
            successors.entry(promotion.number).or_insert(&promotion.to);
        }
        let is_target = |p: &Partition| p.target.as_ref().is_some_and(|t| t.nodes.contains(id));
        // A released holder may have no copy any more, and the next primary waits for it nevertheless.
        let is_released = |p: &Partition| p.released.as_ref().is_some_and(|(holder, _)| holder == id);
        let concerned: Vec<(u32, bool)> = self
            .topology
            .partitions
            .iter()
            .filter(|p| p.copy(id).is_some() || is_target(p) || is_released(p))
            .map(|p| (p.number, p.copy(id).is_some()))
            .collect();
        for (number, held) in concerned {
            self.remove_holder(number, id, gone, context);
            let Some(partition) = self.topology.partitions.get(number as usize) else {
                continue;
            };
            if partition.primary.as_ref() == Some(id) {
                let successor = successors
                    .get(&number)
                    .filter(|to| partition.is_synced(to) && self.is_serving(to));
                let acted = partition.granted < context.unleased_from;
                if acted && let Some(partition) = self.partition_mut(number, context) {
                    partition.idle_since = context.index;
                }
                self.change_primary(number, successor.copied(), ChangeReason::NodeLeave, context);
                if !acted {
                    self.restore_holders(number, context);
                }
                continue;
            }
            if gone && held {
                self.emit_changes(
                    number,
                    std::slice::from_ref(id),
                    RoleChange::LostCopy,
                    ChangeReason::NodeLeave,
                    None,
                    context,
                );
            }
            // The node may have been the last that counted, or a holder whose complete copy was assigned again and is
            // not confirmed yet.
            self.restore_holders(number, context);
        }
    }

    /// Takes from `id` its copy of a partition and its place in a target, but not the primary role.
    fn remove_holder(&mut self, number: u32, id: &NodeId, gone: bool, context: &mut ApplyContext<'_>) {
        let others = self.has_other_serving_copy(number, id);
        let index = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        if gone {
            partition.copies.retain(|copy| copy.node != *id);
        } else if others {
            make_pending(partition, id, index);
        }
        // Without a source a move cannot continue either: it is planned again when a holder rejoins.
        let is_target = |target: &crate::model::Target| target.nodes.contains(id);
        if !others || partition.target.as_ref().is_some_and(is_target) {
            partition.target = None;
        }
        if partition
            .released
            .as_ref()
            .is_some_and(|(holder, _)| holder == id)
        {
            partition.released = None;
            partition.idle_since = index;
        }
    }

    /// Restores the holders of a partition that no node has acted on since they ceased to count, such as after a
    /// primary that never acted in its role: they still have all of the data, and count again, unless a serving node
    /// has it anyway.
    ///
    /// A holder that serves again was assigned a copy, and may still be copying. If it became primary now, that copy
    /// would overwrite what it writes. So it is assigned the copy again, without sources, and counts when it has
    /// confirmed that.
    fn restore_holders(&mut self, number: u32, context: &mut ApplyContext<'_>) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        if partition.primary.is_some() || partition.synced().any(|node| self.is_serving(node)) {
            return;
        }
        let (up, away): (Vec<NodeId>, Vec<NodeId>) = up_to_date_holders(partition)
            .cloned()
            .partition(|node| self.is_serving(node));
        if !away.is_empty()
            && let Some(partition) = self.partition_mut(number, context)
        {
            for copy in partition
                .copies
                .iter_mut()
                .filter(|copy| away.contains(&copy.node))
            {
                copy.state = CopyState::Synced;
                copy.stale_since = 0;
            }
        }
        self.restart_copies(number, &up, ChangeReason::NodeLeave, context);
    }

    /// Resumes the copies of a member that rejoined: it copies what others wrote during its absence, and becomes primary
    /// again where only it has the data.
    pub(super) fn resume_copies(&mut self, id: &NodeId, context: &mut ApplyContext<'_>) {
        let held: Vec<u32> = self
            .topology
            .partitions
            .iter()
            .filter(|p| p.copy(id).is_some())
            .map(|p| p.number)
            .collect();
        for number in held {
            if self.has_other_serving_copy(number, id) {
                self.restart_copies(number, std::slice::from_ref(id), ChangeReason::NodeJoin, context);
                continue;
            }
            let Some(partition) = self.topology.partitions.get(number as usize) else {
                continue;
            };
            if !partition.is_synced(id) {
                // No serving node has the data: `id` is assigned the copy as soon as one has.
                continue;
            }
            // Other holders that counted while no node served are behind from here on.
            let behind: Vec<NodeId> = partition.synced().filter(|node| *node != id).cloned().collect();
            let vacant = partition.primary.is_none() && partition.released.is_none();
            let index = context.index;
            // Also called where nothing changes: the lost partitions are updated only for touched ones.
            if let Some(partition) = self.partition_mut(number, context) {
                for node in &behind {
                    make_pending(partition, node, index);
                }
            }
            if vacant {
                self.change_primary(number, Some(id), ChangeReason::NodeJoin, context);
            }
            self.start_waiting_copies(number, id, ChangeReason::NodeJoin, context);
        }
    }

    /// `source` is the only serving node that has the data, and has just become one: every node that waits for a source
    /// is assigned its copy, and so is every node whose source has gone down since.
    pub(super) fn start_waiting_copies(
        &mut self,
        number: u32,
        source: &NodeId,
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let waiting: Vec<NodeId> = partition
            .pending()
            .filter(|node| *node != source && self.is_serving(node))
            .cloned()
            .collect();
        self.restart_copies(number, &waiting, reason, context);
    }

    fn restart_copies(
        &mut self,
        number: u32,
        nodes: &[NodeId],
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        if nodes.is_empty() {
            return;
        }
        let index = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        for node in nodes {
            make_pending(partition, node, index);
        }
        self.emit_changes(number, nodes, RoleChange::GainedReplica, reason, None, context);
    }

    /// True when a node other than `id` serves and has the data of a partition.
    pub(super) fn has_other_serving_copy(&self, number: u32, id: &NodeId) -> bool {
        self.topology
            .partitions
            .get(number as usize)
            .is_some_and(|p| p.synced().any(|node| node != id && self.is_serving(node)))
    }

    pub(super) fn is_serving(&self, id: &str) -> bool {
        self.topology
            .nodes
            .get(id)
            .is_some_and(|node| node.status.is_serving())
    }

    /// A partition, for a change. Call it only where something changes, because plans that were made before become
    /// stale.
    pub(super) fn partition_mut(
        &mut self,
        number: u32,
        context: &mut ApplyContext<'_>,
    ) -> Option<&mut Partition> {
        let partition = self
            .topology_mut(context.index)
            .partitions
            .get_mut(number as usize)?;
        context.touched.entry(number).or_insert_with(|| partition.clone());
        Some(Arc::make_mut(partition))
    }
}

/// The holders that have all writes although their copies do not count: they ceased to count at or after `idle_since`,
/// from which on no node has acted as primary. There are none while the partition has a primary, or a released one,
/// because that node may act.
pub(super) fn up_to_date_holders(partition: &Partition) -> impl Iterator<Item = &NodeId> {
    let idle = partition.idle_since.max(1);
    let vacant = partition.primary.is_none() && partition.released.is_none();
    partition
        .copies
        .iter()
        .filter(move |copy| vacant && copy.state == CopyState::Pending && copy.stale_since >= idle)
        .map(|copy| &copy.node)
}

/// Makes the node's copy pending, assigned at `index`.
pub(super) fn make_pending(partition: &mut Partition, node: &NodeId, index: u64) {
    for copy in partition.copies.iter_mut().filter(|copy| copy.node == *node) {
        if copy.state == CopyState::Synced {
            copy.stale_since = index;
        }
        copy.state = CopyState::Pending;
        copy.since = index;
        copy.unhooked = false;
        copy.hooked = false;
    }
}
