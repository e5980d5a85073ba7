//! Partitions: creation, moves in two phases, and changes of primary by release and grant.
//!
//! What must stay true: a primary is always a synced copy; the epoch grows with every change of primary; a
//! role is granted only where nobody holds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Context, Grant, Outcome, Promotion, RebalanceRun, Reply, State, refuse};
use crate::error::ErrorCode;
use crate::model::{
    ChangeReason, CopyState, EventKind, Node, NodeId, NodeStatus, Partition, PartitionChangeEvent,
    PartitionCopy, RebalanceEvent, RebalanceTrigger, RoleChange, Target, Topology, partition_id,
};

impl State {
    pub(super) fn create_partitions(
        &mut self,
        assignments: &[Target],
        planned_on: u64,
        context: &mut Context<'_>,
    ) -> Outcome {
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
            self.check_target(target)?;
        }
        let index = context.index;
        let topology = self.change(index);
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
                        .map(|node| copy(node, CopyState::Synced, index))
                        .collect(),
                    target: None,
                    released: None,
                })
            })
            .collect();
        let topology = self.topology.clone();
        for (partition, target) in topology.partitions.iter().zip(assignments) {
            let change = Change {
                topology: &topology,
                partition,
                reason: ChangeReason::NodeJoin,
                before: None,
            };
            change.tell(&target.primary, RoleChange::GainedPrimary, context);
            for node in target.nodes.iter().filter(|node| **node != target.primary) {
                change.tell(node, RoleChange::GainedReplica, context);
            }
        }
        Ok(Reply::Partitions(assignments.len()))
    }

    pub(super) fn plan(
        &mut self,
        trigger: RebalanceTrigger,
        trigger_node: &NodeId,
        targets: &[(u32, Target)],
        planned_on: u64,
        context: &mut Context<'_>,
    ) -> Outcome {
        self.check_planned_on(planned_on)?;
        for (number, target) in targets {
            if *number as usize >= self.topology.partitions.len() {
                return refuse(ErrorCode::NotFound, format!("there is no partition {number}"));
            }
            self.check_target(target)?;
        }
        let moving: Vec<_> = targets
            .iter()
            .filter_map(|(number, target)| {
                let partition = self.topology.partitions.get(*number as usize)?;
                (!is_at(partition, target) && partition.target.as_ref() != Some(target))
                    .then_some((*number, target))
            })
            .collect();
        if moving.is_empty() {
            return Ok(Reply::Unchanged);
        }
        self.start_rebalance(trigger, trigger_node, &moving, context);
        for (number, target) in &moving {
            self.aim(*number, target, trigger.into(), context);
        }
        Ok(Reply::Partitions(moving.len()))
    }

    fn check_target(&self, target: &Target) -> Result<(), crate::error::Error> {
        let known = target
            .nodes
            .iter()
            .all(|node| self.topology.nodes.contains_key(node));
        let sorted = target.nodes.windows(2).all(|pair| pair[0] < pair[1]);
        if known && sorted && target.nodes.contains(&target.primary) {
            return Ok(());
        }
        Err(crate::error::Error::new(
            ErrorCode::InvalidArgument,
            "a target names members, each once and sorted, with the primary among them",
        ))
    }

    fn start_rebalance(
        &mut self,
        trigger: RebalanceTrigger,
        trigger_node: &NodeId,
        moving: &[(u32, &Target)],
        context: &mut Context<'_>,
    ) {
        let mut affected = BTreeSet::new();
        for (number, target) in moving {
            let Some(partition) = self.topology.partitions.get(*number as usize) else {
                continue;
            };
            let held: BTreeSet<_> = partition.copies.iter().map(|copy| copy.node.clone()).collect();
            let wanted: BTreeSet<_> = target.nodes.iter().cloned().collect();
            affected.extend(held.symmetric_difference(&wanted).cloned());
            if partition.primary.as_ref() != Some(&target.primary) {
                affected.extend(partition.primary.clone());
                affected.insert(target.primary.clone());
            }
        }
        // A plan made during a rebalance joins it: one start, one completion, the totals of both.
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

    pub(super) fn finish_rebalance(&mut self, context: &mut Context<'_>) {
        if self.rebalance.is_some() && self.topology.partitions.iter().all(|p| p.target.is_none()) {
            if let Some(run) = self.rebalance.take() {
                context.emit(EventKind::RebalanceComplete(rebalance_event(&run, context.at)));
            }
        }
    }

    /// Sets where a partition goes: new holders are told to copy, half-made copies that are not wanted go.
    fn aim(&mut self, number: u32, target: &Target, reason: ChangeReason, context: &mut Context<'_>) {
        let index = context.index;
        let Some(partition) = self.partition_mut(number, index) else {
            return;
        };
        let dropped: Vec<NodeId> = partition
            .pending()
            .filter(|node| !target.nodes.contains(node))
            .cloned()
            .collect();
        partition.copies.retain(|copy| !dropped.contains(&copy.node));
        let added: Vec<NodeId> = target
            .nodes
            .iter()
            .filter(|node| partition.copy(node).is_none())
            .cloned()
            .collect();
        partition
            .copies
            .extend(added.iter().map(|node| copy(node, CopyState::Pending, index)));
        partition.copies.sort_by(|a, b| a.node.cmp(&b.node));
        partition.target = Some(target.clone());
        self.tell_each(number, &dropped, RoleChange::LostCopy, reason, None, context);
        self.tell_each(number, &added, RoleChange::GainedReplica, reason, None, context);
        self.settle(number, reason, context);
    }

    pub(super) fn confirm(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        partitions: &[(u32, u64)],
        context: &mut Context<'_>,
    ) -> Outcome {
        self.check_incarnation(id, incarnation)?;
        let mut confirmed = 0;
        for (number, since) in partitions {
            let awaited = self
                .topology
                .partitions
                .get(*number as usize)
                .is_some_and(|partition| {
                    partition
                        .copy(id)
                        .is_some_and(|c| c.state == CopyState::Pending && c.since == *since)
                });
            if !awaited {
                continue;
            }
            confirmed += 1;
            let Some(partition) = self.partition_mut(*number, context.index) else {
                continue;
            };
            for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
                copy.state = CopyState::Synced;
            }
            self.settle(*number, ChangeReason::Rebalance, context);
        }
        Ok(Reply::Partitions(confirmed))
    }

    pub(super) fn release(&mut self, partitions: &[(u32, u64)], context: &mut Context<'_>) -> Outcome {
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
            let Some(partition) = self.partition_mut(*number, index) else {
                continue;
            };
            partition.primary = None;
            partition.released = Some((holder.clone(), index));
            self.tell_each(
                *number,
                std::slice::from_ref(&holder),
                RoleChange::LostPrimary,
                ChangeReason::Rebalance,
                Some(&holder),
                context,
            );
        }
        Ok(Reply::Partitions(released))
    }

    pub(super) fn grant(&mut self, grants: &[Grant], context: &mut Context<'_>) -> Outcome {
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
                self.promote(grant.number, &grant.to, ChangeReason::Rebalance, context);
            }
        }
        Ok(Reply::Partitions(granted))
    }

    /// Makes `to` primary: the one place where the role is given, and where the epoch grows.
    fn promote(&mut self, number: u32, to: &NodeId, reason: ChangeReason, context: &mut Context<'_>) {
        let Some(partition) = self.partition_mut(number, context.index) else {
            return;
        };
        let before = partition
            .primary
            .take()
            .or_else(|| partition.released.take().map(|(node, _)| node));
        partition.released = None;
        partition.epoch += 1;
        partition.primary = Some(to.clone());
        self.tell_each(
            number,
            std::slice::from_ref(to),
            RoleChange::GainedPrimary,
            reason,
            before.as_ref(),
            context,
        );
        self.settle(number, reason, context);
    }

    /// Drops surplus copies once a partition is where it was to go.
    fn settle(&mut self, number: u32, reason: ChangeReason, context: &mut Context<'_>) {
        let Some(partition) = self.topology.partitions.get(number as usize) else {
            return;
        };
        let Some(target) = partition.target.clone() else {
            return;
        };
        let arrived = partition.primary.as_ref() == Some(&target.primary)
            && target.nodes.iter().all(|node| partition.is_synced(node));
        if !arrived {
            return;
        }
        let Some(partition) = self.partition_mut(number, context.index) else {
            return;
        };
        let surplus: Vec<NodeId> = partition
            .copies
            .iter()
            .map(|copy| copy.node.clone())
            .filter(|node| !target.nodes.contains(node))
            .collect();
        partition.copies.retain(|copy| target.nodes.contains(&copy.node));
        partition.target = None;
        self.tell_each(number, &surplus, RoleChange::LostCopy, reason, None, context);
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
        let concerned: Vec<u32> = self
            .topology
            .partitions
            .iter()
            .filter(|p| p.copy(id).is_some() || p.target.as_ref().is_some_and(|t| t.nodes.contains(id)))
            .map(|p| p.number)
            .collect();
        let index = context.index;
        for number in concerned {
            let others = self.has_other_serving_copy(number, id);
            let Some(partition) = self.partition_mut(number, index) else {
                continue;
            };
            if gone {
                partition.copies.retain(|copy| copy.node != *id);
            } else if others {
                for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
                    copy.state = CopyState::Pending;
                    copy.since = index;
                }
            }
            if partition
                .target
                .as_ref()
                .is_some_and(|target| target.nodes.contains(id))
            {
                partition.target = None;
            }
            if partition
                .released
                .as_ref()
                .is_some_and(|(holder, _)| holder == id)
            {
                partition.released = None;
            }
            if partition.primary.as_ref() == Some(id) {
                self.lose_primary(number, id, promotions, context);
            }
        }
    }

    fn lose_primary(
        &mut self,
        number: u32,
        id: &NodeId,
        promotions: &[Promotion],
        context: &mut Context<'_>,
    ) {
        let successor = promotions
            .iter()
            .find(|p| p.number == number && p.to != *id)
            .map(|p| p.to.clone());
        if let Some(to) = successor
            && self
                .topology
                .partitions
                .get(number as usize)
                .is_some_and(|p| p.is_synced(&to))
            && self.is_serving(&to)
        {
            self.promote(number, &to, ChangeReason::NodeLeave, context);
        } else if let Some(partition) = self.partition_mut(number, context.index) {
            partition.primary = None;
            self.tell_each(
                number,
                std::slice::from_ref(id),
                RoleChange::LostPrimary,
                ChangeReason::NodeLeave,
                Some(id),
                context,
            );
        }
    }

    /// A member is back: it is told to copy what went on without it, and takes up again what only it has.
    pub(super) fn resume_copies(&mut self, id: &NodeId, context: &mut Context<'_>) {
        let held: Vec<(u32, CopyState)> = self
            .topology
            .partitions
            .iter()
            .filter_map(|p| p.copy(id).map(|copy| (p.number, copy.state)))
            .collect();
        let index = context.index;
        for (number, state) in held {
            if state == CopyState::Synced {
                let vacant = self
                    .topology
                    .partitions
                    .get(number as usize)
                    .is_some_and(|p| p.primary.is_none() && p.released.is_none());
                if vacant {
                    self.promote(number, id, ChangeReason::NodeJoin, context);
                }
                continue;
            }
            let Some(partition) = self.partition_mut(number, index) else {
                continue;
            };
            for copy in partition.copies.iter_mut().filter(|copy| copy.node == *id) {
                copy.since = index;
            }
            self.tell_each(
                number,
                std::slice::from_ref(id),
                RoleChange::GainedReplica,
                ChangeReason::NodeJoin,
                None,
                context,
            );
        }
    }

    fn has_other_serving_copy(&self, number: u32, id: &NodeId) -> bool {
        self.topology
            .partitions
            .get(number as usize)
            .is_some_and(|p| p.synced().any(|node| node != id && self.is_serving(node)))
    }

    fn is_serving(&self, id: &str) -> bool {
        self.topology
            .nodes
            .get(id)
            .is_some_and(|node| node.status.is_serving())
    }

    fn partition_mut(&mut self, number: u32, index: u64) -> Option<&mut Partition> {
        self.change(index)
            .partitions
            .get_mut(number as usize)
            .map(Arc::make_mut)
    }

    /// Tells of a change of each of `nodes`; `before` is the primary that was, where it is not the present one.
    fn tell_each(
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
struct Change<'a> {
    topology: &'a Topology,
    partition: &'a Partition,
    reason: ChangeReason,
    before: Option<&'a NodeId>,
}

impl Change<'_> {
    fn tell(&self, node: &NodeId, change: RoleChange, context: &mut Context<'_>) {
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

/// The event that tells of a change; sources are the live holders of the data other than the node itself. Where
/// all the copies were made at `index` itself, there is nothing to copy yet.
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
    let sources: Vec<Arc<Node>> = partition
        .copies
        .iter()
        .filter(|copy| gained && copy.state == CopyState::Synced && copy.node != *node)
        .filter(|copy| copy.since != index || partition.epoch > 1)
        .filter_map(|copy| topology.nodes.get(&copy.node))
        .filter(|source| source.status.is_serving())
        .cloned()
        .collect();
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

fn copy(node: &NodeId, state: CopyState, since: u64) -> PartitionCopy {
    PartitionCopy {
        node: node.clone(),
        state,
        since,
    }
}

/// True when nothing is left to do for the partition to be at `target`.
fn is_at(partition: &Partition, target: &Target) -> bool {
    partition.target.is_none()
        && partition.primary.as_ref() == Some(&target.primary)
        && partition.copies.len() == target.nodes.len()
        && partition
            .copies
            .iter()
            .zip(&target.nodes)
            .all(|(copy, node)| copy.node == *node)
}

fn rebalance_event(run: &RebalanceRun, at: crate::model::Timestamp) -> RebalanceEvent {
    RebalanceEvent {
        trigger: run.trigger,
        trigger_node_id: run.trigger_node.clone(),
        partitions_to_move: run.partitions_to_move,
        nodes_affected: run.nodes_affected.clone(),
        duration: at.since(run.started_at),
    }
}

/// Nodes that may be given new partitions.
pub(crate) fn takes_partitions(status: NodeStatus) -> bool {
    status == NodeStatus::Active
}
