//! Who is primary of a partition, and what becomes of roles and copies when a member goes or comes back.
//!
//! What must stay true: a primary is a synced copy on a node that serves; while a node that serves holds the
//! data, nobody who does not serve counts as holding it; nobody is told to copy from nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Context, Promotion, State};
use crate::model::{ChangeReason, CopyState, NodeId, Partition, RoleChange};

impl State {
    /// Takes the role from whoever has it and gives it to `to`, if to anybody: the one place where a role is
    /// given, and where the epoch grows.
    pub(super) fn change_primary(
        &mut self,
        number: u32,
        to: Option<&NodeId>,
        reason: ChangeReason,
        context: &mut Context<'_>,
    ) {
        let index = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        let loser = partition.primary.take();
        let released = partition.released.take().map(|(holder, _)| holder);
        if released.is_some() {
            // It has applied its release, or what it was leased has run out.
            partition.idle_since = index;
        }
        if let Some(to) = to {
            partition.epoch += u64::from(!crate::planted::planted("epoch-stands-still"));
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

    /// Drops surplus copies once a partition is where it was to go.
    pub(super) fn complete_move(&mut self, number: u32, reason: ChangeReason, context: &mut Context<'_>) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let Some(target) = &partition.target else {
            return;
        };
        // A holder that is away keeps its place, and is told what it missed when it is back: nobody waits for it.
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

    /// A member (or its earlier process) has stopped serving, or is gone: others take its roles; its copies are
    /// stale from now on, unless nobody else that is up has the data.
    pub(super) fn hand_over_roles(
        &mut self,
        id: &NodeId,
        promotions: &[Promotion],
        context: &mut Context<'_>,
    ) {
        let gone = !self.topology.nodes.contains_key(id);
        let mut successors = BTreeMap::new();
        for promotion in promotions.iter().filter(|promotion| promotion.to != *id) {
            successors.entry(promotion.number).or_insert(&promotion.to);
        }
        let is_target = |p: &Partition| p.target.as_ref().is_some_and(|t| t.nodes.contains(id));
        // Its copy may be gone already, and it is waited for all the same.
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
            // It may have been the last that counted, or have been told that it is to count again without having
            // confirmed it.
            self.restore_holders(number, context);
        }
    }

    /// Takes from `id` what it has of a partition, except the role of primary.
    fn remove_holder(&mut self, number: u32, id: &NodeId, gone: bool, context: &mut Context<'_>) {
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
        // Where nobody is left to copy from a move cannot go on either: it is planned anew when somebody is back.
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

    /// The role was given to a process that never acted on it: whoever counted as holding the data when the one before
    /// it went has all of it, and counts again, unless somebody who is up holds it anyway.
    ///
    /// One that is back already was told to copy, and may be at it: what it is written as primary would be lost under
    /// what it still copies. So it is told anew, that there is nothing to copy, and counts when it has confirmed that.
    fn restore_holders(&mut self, number: u32, context: &mut Context<'_>) {
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

    /// A member is back: it is told to copy what went on without it, and takes up again what only it has.
    pub(super) fn resume_copies(&mut self, id: &NodeId, context: &mut Context<'_>) {
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
                // Nobody who is up has the data: `id` is told to copy it as soon as somebody is.
                continue;
            }
            // Others that counted as holding the data while nobody was up are behind from here on.
            let behind: Vec<NodeId> = partition.synced().filter(|node| *node != id).cloned().collect();
            let vacant = partition.primary.is_none() && partition.released.is_none();
            let index = context.index;
            // Also where nothing of it changes: whether it is lost is looked at where something was touched.
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

    /// Of all that are up, `source` alone has the data, and that is new: whoever waited for a source is told to
    /// copy, and so is whoever was told to copy from a source that has gone since.
    pub(super) fn start_waiting_copies(
        &mut self,
        number: u32,
        source: &NodeId,
        reason: ChangeReason,
        context: &mut Context<'_>,
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
        context: &mut Context<'_>,
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

    /// A partition, to be changed: call it only where something does change, for plans are stale from here on.
    pub(super) fn partition_mut(&mut self, number: u32, context: &mut Context<'_>) -> Option<&mut Partition> {
        let partition = self.change(context.index).partitions.get_mut(number as usize)?;
        context.touched.entry(number).or_insert_with(|| partition.clone());
        Some(Arc::make_mut(partition))
    }
}

/// Who has all that was written without counting: whoever ceased to count since nobody acts on the partition. While it
/// has a primary, or one that was asked to yield, somebody may.
pub(super) fn up_to_date_holders(partition: &Partition) -> impl Iterator<Item = &NodeId> {
    let idle = partition.idle_since.max(1);
    let vacant = partition.primary.is_none() && partition.released.is_none();
    partition
        .copies
        .iter()
        .filter(move |copy| vacant && copy.state == CopyState::Pending && copy.stale_since >= idle)
        .map(|copy| &copy.node)
}

/// The node's copy is to be made again from `index` on.
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
