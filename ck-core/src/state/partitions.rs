//! Partitions: creation, moves in two phases, and changes of primary by release and grant.
//!
//! Invariants: the epoch grows whenever a node is given the primary role; the role is granted only where no node holds
//! it; a move drops a synced copy only when every serving node of its target has the data.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::events::PartitionChange;
use super::primaries::make_pending;
use super::{ApplyContext, CommandResult, CopyLimit, Grant, RebalanceRun, Reply, State, refuse};
use crate::error::{Error, ErrorCode};
use crate::model::{
    ChangeReason, CopyState, EventKind, NodeId, Partition, PartitionCopy, RebalanceEvent, RebalanceTrigger,
    RoleChange, Target, Timestamp,
};

impl State {
    pub(super) fn create_partitions(
        &mut self,
        assignments: &[Target],
        planned_on: u64,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        if !self.topology.partitions.is_empty() {
            return refuse(ErrorCode::AlreadyExists, "the partitions exist already");
        }
        self.check_planned_on(planned_on)?;
        if assignments.len() != self.topology.config.partition_count as usize {
            return refuse(
                ErrorCode::InvalidArgument,
                format!(
                    "{} assignments for {} partitions",
                    assignments.len(),
                    self.topology.config.partition_count
                ),
            );
        }
        for target in assignments {
            self.check_target(target, None)?;
        }
        let index = context.index;
        let topology = self.topology_mut(index);
        topology.partitions = assignments
            .iter()
            .zip(0..)
            .map(|(target, number)| {
                Arc::new(Partition {
                    number,
                    epoch: 1,
                    primary: Some(target.primary.clone()),
                    copies: target
                        .nodes
                        .iter()
                        .map(|node| PartitionCopy::new(node.clone(), CopyState::Synced, index))
                        .collect(),
                    target: None,
                    released: None,
                    granted: index,
                    idle_since: index,
                })
            })
            .collect();
        let topology = self.topology.clone();
        for (partition, target) in topology.partitions.iter().zip(assignments) {
            let change = PartitionChange {
                topology: &topology,
                partition,
                reason: ChangeReason::NodeJoin,
                before: None,
                gone: None,
            };
            change.emit(&target.primary, RoleChange::GainedPrimary, context);
            for node in target.nodes.iter().filter(|node| **node != target.primary) {
                change.emit(node, RoleChange::GainedReplica, context);
            }
        }
        Ok(Reply::Partitions(assignments.len()))
    }

    pub(super) fn plan(
        &mut self,
        (trigger, trigger_node): (RebalanceTrigger, &NodeId),
        targets: &[(u32, Target)],
        planned_on: u64,
        limit: CopyLimit,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        self.check_planned_on(planned_on)?;
        let mut named = HashSet::with_capacity(targets.len());
        let mut moving = Vec::new();
        for (number, target) in targets {
            let Some(partition) = self.topology.partitions.get(*number as usize) else {
                return refuse(ErrorCode::NotFound, format!("there is no partition {number}"));
            };
            if !named.insert(*number) {
                return refuse(
                    ErrorCode::InvalidArgument,
                    format!("partition {number} is planned twice"),
                );
            }
            self.check_target(target, Some(partition))?;
            // A partition without a serving holder of the data stays as it is: a new holder would have no source, and
            // would confirm an empty copy as the data.
            let has_source = partition.synced().any(|node| self.is_serving(node));
            if has_source && !partition.is_bound_for(target) {
                moving.push((*number, target));
            }
        }
        if moving.is_empty() {
            return Ok(Reply::Unchanged);
        }
        self.migrations.limit = limit;
        self.start_rebalance(trigger, trigger_node, &moving, context);
        for (number, target) in &moving {
            self.set_target(*number, target, trigger.into(), context);
        }
        Ok(Reply::Partitions(moving.len()))
    }

    /// Checks a target: new holders and the primary must serve; a holder that is away may keep its copy.
    fn check_target(&self, target: &Target, present: Option<&Partition>) -> Result<(), Error> {
        let sorted = target.nodes.windows(2).all(|pair| pair[0] < pair[1]);
        let able = target.nodes.iter().all(|node| {
            self.is_serving(node)
                || (*node != target.primary && present.is_some_and(|p| p.copy(node).is_some()))
        });
        if sorted && able && target.nodes.contains(&target.primary) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "a target names members, each once and sorted, with the primary among them; new holders and \
                 the primary must be up: {:?} with primary {:?}",
                target.nodes, target.primary
            ),
        ))
    }

    fn start_rebalance(
        &mut self,
        trigger: RebalanceTrigger,
        trigger_node: &NodeId,
        moving: &[(u32, &Target)],
        context: &mut ApplyContext<'_>,
    ) {
        let mut affected = HashSet::new();
        for (number, target) in moving {
            let Some(partition) = self.topology.partitions.get(*number as usize) else {
                continue;
            };
            let held = partition.copies.iter().map(|copy| &copy.node);
            affected.extend(held.filter(|node| !target.nodes.contains(node)));
            affected.extend(target.nodes.iter().filter(|node| partition.copy(node).is_none()));
            if partition.primary.as_ref() != Some(&target.primary) {
                affected.extend(&partition.primary);
                affected.insert(&target.primary);
            }
        }
        let mut affected: BTreeSet<NodeId> = affected.into_iter().cloned().collect();
        // A plan made during a rebalance joins it: one start event and one completion event, with the totals of both.
        if let Some(run) = &mut self.rebalance {
            run.partitions_to_move += moving.len();
            affected.extend(run.nodes_affected.iter().cloned());
            run.nodes_affected = affected.into_iter().collect();
            return;
        }
        let run = RebalanceRun {
            trigger,
            trigger_node: trigger_node.clone(),
            partitions_to_move: moving.len(),
            nodes_affected: affected.into_iter().collect(),
            started_at: context.at,
        };
        context.emit(EventKind::RebalanceStart(rebalance_event(&run, context.at)));
        self.rebalance = Some(run);
    }

    pub(super) fn finish_rebalance(&mut self, context: &mut ApplyContext<'_>) {
        if self.rebalance.is_none() || self.migrations.moving > 0 {
            return;
        }
        if let Some(run) = self.rebalance.take() {
            context.emit(EventKind::RebalanceComplete(rebalance_event(&run, context.at)));
        }
    }

    /// Sets a partition's target: new holders start their copies when the limits allow, and pending copies that the
    /// target does not name are dropped.
    fn set_target(
        &mut self,
        number: u32,
        target: &Target,
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        let dropped: Vec<NodeId> = partition
            .pending()
            .filter(|node| !target.nodes.contains(node))
            .cloned()
            .collect();
        partition.copies.retain(|copy| !dropped.contains(&copy.node));
        partition.target = Some(target.clone());
        self.emit_changes(number, &dropped, RoleChange::LostCopy, reason, None, context);
        self.complete_move(number, reason, context);
    }

    pub(super) fn confirm(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        (partitions, at_once): (&[(u32, u64)], bool),
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        if !self.is_serving(id) {
            return refuse(ErrorCode::Conflict, format!("node {id:?} does not serve"));
        }
        let reason = self.move_reason();
        let mut confirmed = 0;
        for (number, since) in partitions {
            let partition = self.topology.partitions.get(*number as usize);
            let copy = partition.and_then(|partition| partition.copy(id));
            match copy.filter(|copy| copy.since == *since).map(|copy| copy.state) {
                Some(CopyState::Pending) => self.mark_synced(*number, id, reason, context),
                // The copy was confirmed without a hook, and a hook confirms it now.
                Some(CopyState::Synced) if !at_once && copy.is_some_and(|copy| copy.unhooked) => {}
                _ => continue,
            }
            confirmed += 1;
            self.set_unhooked(*number, id, at_once, context);
        }
        // A confirmation without effect says nothing of the node's hooks either.
        if confirmed > 0 {
            self.migrations.set_copies_at_once(id, at_once);
        }
        Ok(Reply::Partitions(confirmed))
    }

    /// Records whether a copy was confirmed without a hook.
    fn set_unhooked(&mut self, number: u32, id: &NodeId, unhooked: bool, context: &mut ApplyContext<'_>) {
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
            copy.unhooked = unhooked;
            copy.hooked = !unhooked;
        }
    }

    /// Assigns these copies to the node again, although they were confirmed. Where a serving node has a better copy,
    /// they count only after a new confirmation, and the node's primary roles are released. Where there is no better
    /// copy, they go on counting as the best there is.
    pub(super) fn reconfirm(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        partitions: &[(u32, u64)],
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        if !self.is_serving(id) {
            return refuse(ErrorCode::Conflict, format!("node {id:?} does not serve"));
        }
        let (reason, index) = (ChangeReason::NodeJoin, context.index);
        let mut reassigned = 0;
        for (number, since) in partitions {
            let Some(partition) = self.topology.partitions.get(*number as usize) else {
                continue;
            };
            let Some(copy) = partition.copy(id).filter(|copy| copy.since == *since) else {
                continue;
            };
            // A pending copy without a serving source is assigned when there is one.
            if copy.state == CopyState::Pending && !self.has_other_serving_copy(*number, id) {
                continue;
            }
            reassigned += 1;
            let better = partition.copies.iter().any(|copy| {
                copy.node != *id
                    && copy.state == CopyState::Synced
                    && !copy.unhooked
                    && self.is_serving(&copy.node)
            });
            let leads = better && partition.primary.as_ref() == Some(id);
            let Some(partition) = self.partition_mut(*number, context) else {
                continue;
            };
            for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
                copy.since = index;
                if better {
                    copy.state = CopyState::Pending;
                    copy.unhooked = false;
                    copy.hooked = false;
                }
            }
            let notified = std::slice::from_ref(id);
            if leads {
                // The node acts as primary until it has applied this: the next primary waits for that.
                partition.primary = None;
                partition.released = Some((id.clone(), index));
                self.emit_changes(
                    *number,
                    notified,
                    RoleChange::LostPrimary,
                    reason,
                    Some(id),
                    context,
                );
            }
            self.emit_changes(
                *number,
                notified,
                RoleChange::GainedReplica,
                reason,
                None,
                context,
            );
        }
        if reassigned > 0 {
            self.migrations.set_copies_at_once(id, false);
        }
        Ok(Reply::Partitions(reassigned))
    }

    /// Records that `id` has the data. Where no other serving node has it, holders that are away are behind from here
    /// on, and nodes that wait for a source can copy from `id`.
    fn mark_synced(
        &mut self,
        number: u32,
        id: &NodeId,
        reason: ChangeReason,
        context: &mut ApplyContext<'_>,
    ) {
        let first = !self.has_other_serving_copy(number, id);
        let away: Vec<NodeId> = match self.topology.partitions.get(number as usize) {
            Some(partition) if first => partition.synced().cloned().collect(),
            _ => Vec::new(),
        };
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        for node in &away {
            make_pending(partition, node, context.index);
        }
        for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
            copy.state = CopyState::Synced;
            copy.stale_since = 0;
        }
        if first {
            self.start_waiting_copies(number, id, reason, context);
        }
        self.complete_move(number, reason, context);
    }

    /// The reason of a planned move: the trigger of the rebalance that it belongs to.
    pub(super) fn move_reason(&self) -> ChangeReason {
        self.rebalance
            .as_ref()
            .map_or(ChangeReason::Rebalance, |run| run.trigger.into())
    }

    pub(super) fn release(
        &mut self,
        partitions: &[(u32, u64)],
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        let reason = self.move_reason();
        let mut released = 0;
        for (number, epoch) in partitions {
            let Some(partition) = self.topology.partitions.get(*number as usize) else {
                continue;
            };
            let (Some(holder), Some(target)) = (partition.primary.clone(), &partition.target) else {
                continue;
            };
            let due = partition.epoch == *epoch
                && target.primary != holder
                && partition.is_synced(&target.primary)
                && self.is_serving(&target.primary);
            if !due {
                continue;
            }
            released += 1;
            let index = context.index;
            let Some(partition) = self.partition_mut(*number, context) else {
                continue;
            };
            partition.primary = None;
            partition.released = Some((holder.clone(), index));
            let heir = partition.target.as_ref().map(|target| target.primary.clone());
            if planted!("flip-in-one-commit") {
                self.change_primary(*number, heir.as_ref(), reason, context);
                continue;
            }
            self.emit_changes(
                *number,
                std::slice::from_ref(&holder),
                RoleChange::LostPrimary,
                reason,
                Some(&holder),
                context,
            );
        }
        Ok(Reply::Partitions(released))
    }

    pub(super) fn grant(&mut self, grants: &[Grant], context: &mut ApplyContext<'_>) -> CommandResult {
        let mut granted = 0;
        for grant in grants {
            let Some(partition) = self.topology.partitions.get(grant.number as usize) else {
                continue;
            };
            let due = partition.epoch == grant.epoch
                && partition.primary.is_none()
                && partition.is_synced(&grant.to)
                && self.is_serving(&grant.to);
            if due {
                granted += 1;
                // A role that was not released was vacated by a node that went down.
                let planned = partition.released.is_some() || partition.target.is_some();
                let reason = if planned {
                    self.move_reason()
                } else {
                    ChangeReason::NodeLeave
                };
                self.change_primary(grant.number, Some(&grant.to), reason, context);
            }
        }
        Ok(Reply::Partitions(granted))
    }
}

fn rebalance_event(run: &RebalanceRun, at: Timestamp) -> RebalanceEvent {
    RebalanceEvent {
        trigger: run.trigger,
        trigger_node_id: run.trigger_node.clone(),
        partitions_to_move: run.partitions_to_move,
        nodes_affected: run.nodes_affected.clone(),
        duration: at.since(run.started_at),
    }
}
