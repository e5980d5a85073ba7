//! The net change between two topologies, for a node that received a snapshot instead of the log entries between them.

use std::time::Duration;

use super::events::PartitionChange;
use crate::model::{
    ChangeReason, CopyState, Event, EventKind, LeaderChangeEvent, LeaveReason, Node, NodeId, NodeJoinEvent,
    NodeLeaveEvent, NodeRejoinEvent, NodeStatus, PartitionCopy, RoleChange, Timestamp, Topology,
    partition_id,
};

/// The events that lead a node from `old` to `new`: the net change, not a replay of what happened.
///
/// `me` is the node that receives the events. It is assigned its pending copies again even where `old` had them,
/// because only the state says whether they were confirmed. A confirmation names
/// [`since`](crate::model::PartitionCopy::since) of the copy, which is not the revision of these events. `revision` and
/// `at` label the events.
pub fn diff_events(old: &Topology, new: &Topology, me: &NodeId, revision: u64, at: Timestamp) -> Vec<Event> {
    let mut kinds = Vec::new();
    member_events(old, new, &mut kinds);
    if new.leader_epoch != old.leader_epoch
        && let Some(leader) = &new.leader
    {
        let event = LeaderChangeEvent {
            node_id: leader.clone(),
            epoch: new.leader_epoch,
        };
        kinds.push(EventKind::LeaderChange(event));
    }
    partition_events(old, new, me, &mut kinds);
    kinds
        .into_iter()
        .map(|kind| Event {
            revision,
            timestamp: at,
            kind,
        })
        .collect()
}

/// The events for an application on `me` that registers a hook late: the copies that `me` holds, with their sources,
/// and its primary roles. Copies that `is_excluded` accepts are left out, because they are reported in another way.
pub(crate) fn own_copies(
    topology: &Topology,
    me: &NodeId,
    revision: u64,
    at: Timestamp,
    is_excluded: impl Fn(&PartitionCopy) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    for partition in &topology.partitions {
        let Some(copy) = partition.copy(me).filter(|copy| !is_excluded(copy)) else {
            continue;
        };
        let change = PartitionChange {
            topology,
            partition,
            reason: ChangeReason::NodeJoin,
            before: partition.primary.as_ref(),
            gone: None,
        };
        let gained = change.event(me, RoleChange::GainedReplica, u64::MAX);
        // A pending copy without a serving source is reported when there is one.
        if copy.state == CopyState::Synced || !gained.copy_from_nodes.is_empty() {
            events.push(gained);
        }
        if partition.primary.as_ref() == Some(me) {
            events.push(change.event(me, RoleChange::GainedPrimary, u64::MAX));
        }
    }
    let event = |change| Event {
        revision,
        timestamp: at,
        kind: EventKind::PartitionChange(change),
    };
    events.into_iter().map(event).collect()
}

fn member_events(old: &Topology, new: &Topology, kinds: &mut Vec<EventKind>) {
    for (id, node) in &old.nodes {
        let present = new.nodes.get(id).filter(|now| is_same_member(node, now));
        let reason = match present.map(|now| now.status) {
            None => LeaveReason::RemovedByAdmin,
            Some(NodeStatus::Failed) => LeaveReason::HealthCheckFailure,
            Some(_) => LeaveReason::GracefulShutdown,
        };
        let left = present.is_none_or(|now| node.status.is_up() && !now.status.is_up());
        if left && node.status != NodeStatus::Joining {
            kinds.push(EventKind::NodeLeave(NodeLeaveEvent {
                node: node.clone(),
                reason,
                partitions_owned: partitions_held(old, id, Some(true)),
                partitions_replica: partitions_held(old, id, Some(false)),
            }));
        }
    }
    let cluster_size = new
        .nodes
        .values()
        .filter(|node| node.status != NodeStatus::Joining)
        .count();
    for (id, node) in new.nodes.iter().filter(|(_, node)| node.status.is_serving()) {
        let known = old.nodes.get(id).filter(|known| is_same_member(known, node));
        match known {
            Some(known) if known.incarnation == node.incarnation && known.status.is_serving() => {}
            Some(known) if known.status != NodeStatus::Joining => {
                // Where the member's leave was not seen, the time of it is unknown.
                let away = !known.status.is_up();
                let last_seen_at = if away { known.last_seen } else { node.last_seen };
                kinds.push(EventKind::NodeRejoin(NodeRejoinEvent {
                    node: node.clone(),
                    offline_duration: if away {
                        node.last_seen.since(last_seen_at)
                    } else {
                        Duration::ZERO
                    },
                    last_seen_at,
                    partitions_before_leave: partitions_held(old, id, None),
                }));
            }
            _ => kinds.push(EventKind::NodeJoin(NodeJoinEvent {
                node: node.clone(),
                cluster_size,
                is_bootstrap: false,
            })),
        }
    }
}

/// False when the node was removed and has joined again in between: then it is another member with the same id.
fn is_same_member(old: &Node, new: &Node) -> bool {
    old.joined_at == new.joined_at
}

/// The partitions that a node holds: as primary, not as primary, or either.
fn partitions_held(topology: &Topology, id: &NodeId, primary: Option<bool>) -> Vec<String> {
    topology
        .partitions
        .iter()
        .filter(|p| p.copy(id).is_some())
        .filter(|p| primary.is_none_or(|primary| (p.primary.as_ref() == Some(id)) == primary))
        .map(|p| partition_id(p.number))
        .collect()
}

fn partition_events(old: &Topology, new: &Topology, me: &NodeId, kinds: &mut Vec<EventKind>) {
    // Before `me` serves it is assigned nothing: its rejoin event must come before its copies.
    let serving = new.nodes.get(me).is_some_and(|node| node.status.is_serving());
    for (number, now) in new.partitions.iter().enumerate() {
        let before = old.partitions.get(number);
        let old_primary = before.and_then(|p| p.primary.as_ref());
        let has_source = now
            .synced()
            .any(|node| new.nodes.get(node).is_some_and(|n| n.status.is_serving()));
        let mut push_change = |node: &NodeId, role: RoleChange| {
            let change = PartitionChange {
                topology: new,
                partition: now,
                reason: ChangeReason::Rebalance,
                before: old_primary,
                gone: old.nodes.get(node),
            };
            kinds.push(EventKind::PartitionChange(change.event(node, role, u64::MAX)));
        };
        for copy in before.map(|p| p.copies.as_slice()).unwrap_or_default() {
            if now.copy(&copy.node).is_none() {
                push_change(&copy.node, RoleChange::LostCopy);
            }
        }
        for copy in &now.copies {
            let held = before.and_then(|p| p.copy(&copy.node));
            let due = if copy.node == *me && copy.state == CopyState::Pending {
                // Otherwise the state machine emits it when there is a source, or when `me` serves.
                serving && has_source
            } else {
                held.is_none() && now.primary.as_ref() != Some(&copy.node)
            };
            if due {
                push_change(&copy.node, RoleChange::GainedReplica);
            }
        }
        if before.map(|p| p.epoch) == Some(now.epoch) && old_primary == now.primary.as_ref() {
            continue;
        }
        let loser = old_primary.filter(|node| now.primary.as_ref() != Some(*node));
        if let Some(loser) = loser.filter(|node| now.copy(node).is_some()) {
            push_change(loser, RoleChange::LostPrimary);
        }
        if let Some(primary) = &now.primary {
            push_change(primary, RoleChange::GainedPrimary);
        }
    }
}
