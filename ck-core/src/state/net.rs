//! The net change between two topologies, for a node that was given a snapshot instead of the log between them.

use crate::model::{
    ChangeReason, CopyState, Event, EventKind, LeaderChangeEvent, LeaveReason, NodeId, NodeJoinEvent,
    NodeLeaveEvent, NodeStatus, RoleChange, Timestamp, Topology, partition_id,
};

use super::partitions::partition_event;

/// What a node that knew `old` must be told to know `new`: the net change, not a replay of what happened.
///
/// `me` is the node that is told: what it has to copy is told again even where `old` had it, because only the
/// state tells whether it was confirmed. `revision` and `at` label the events.
pub fn net_events(old: &Topology, new: &Topology, me: &NodeId, revision: u64, at: Timestamp) -> Vec<Event> {
    let mut kinds = Vec::new();
    members(old, new, &mut kinds);
    if new.leader_epoch != old.leader_epoch
        && let Some(leader) = &new.leader
    {
        let event = LeaderChangeEvent {
            node_id: leader.clone(),
            epoch: new.leader_epoch,
        };
        kinds.push(EventKind::LeaderChange(event));
    }
    partitions(old, new, me, &mut kinds);
    kinds
        .into_iter()
        .map(|kind| Event {
            revision,
            timestamp: at,
            kind,
        })
        .collect()
}

fn members(old: &Topology, new: &Topology, kinds: &mut Vec<EventKind>) {
    for (id, node) in &old.nodes {
        let present = new.nodes.get(id);
        let left = match present {
            None => true,
            Some(now) => node.status.is_up() && !now.status.is_up(),
        };
        if !left || node.status == NodeStatus::Joining {
            continue;
        }
        let reason = match present.map(|now| now.status) {
            None => LeaveReason::RemovedByAdmin,
            Some(NodeStatus::Failed) => LeaveReason::HealthCheckFailure,
            Some(_) => LeaveReason::GracefulShutdown,
        };
        let held = |primary: bool| {
            old.partitions
                .iter()
                .filter(|p| p.copy(id).is_some() && (p.primary.as_ref() == Some(id)) == primary)
                .map(|p| partition_id(p.number))
                .collect()
        };
        kinds.push(EventKind::NodeLeave(NodeLeaveEvent {
            node: present.unwrap_or(node).clone(),
            reason,
            partitions_owned: held(true),
            partitions_replica: held(false),
        }));
    }
    let cluster_size = new
        .nodes
        .values()
        .filter(|node| node.status != NodeStatus::Joining)
        .count();
    for (id, node) in &new.nodes {
        let known = old
            .nodes
            .get(id)
            .is_some_and(|before| before.status != NodeStatus::Joining);
        if !known && node.status != NodeStatus::Joining {
            let event = NodeJoinEvent {
                node: node.clone(),
                cluster_size,
                is_bootstrap: false,
            };
            kinds.push(EventKind::NodeJoin(event));
        }
    }
}

fn partitions(old: &Topology, new: &Topology, me: &NodeId, kinds: &mut Vec<EventKind>) {
    for (number, now) in new.partitions.iter().enumerate() {
        let before = old.partitions.get(number);
        let old_primary = before.and_then(|p| p.primary.as_ref());
        let mut tell = |node: &NodeId, change: RoleChange| {
            let event = partition_event(
                new,
                now,
                node,
                change,
                ChangeReason::Rebalance,
                old_primary,
                u64::MAX,
            );
            kinds.push(EventKind::PartitionChange(event));
        };
        for copy in before.map(|p| p.copies.as_slice()).unwrap_or_default() {
            if now.copy(&copy.node).is_none() {
                tell(&copy.node, RoleChange::LostCopy);
            }
        }
        for copy in &now.copies {
            let held = before.and_then(|p| p.copy(&copy.node));
            let told_again = copy.node == *me && copy.state == CopyState::Pending;
            if told_again || held.is_none() {
                tell(&copy.node, RoleChange::GainedReplica);
            }
        }
        if before.map(|p| p.epoch) != Some(now.epoch) || old_primary != now.primary.as_ref() {
            if let Some(primary) = &now.primary {
                tell(primary, RoleChange::GainedPrimary);
            } else if let Some(primary) = old_primary.filter(|node| now.copy(node).is_some()) {
                tell(primary, RoleChange::LostPrimary);
            }
        }
    }
}
