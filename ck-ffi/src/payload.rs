//! What each kind of event tells, as plain structs.

use std::ffi::c_char;

use clusterkit::model::{
    ChangeReason, ClusterHealthEvent, EventKind, LeaveReason, NodeJoinEvent, NodeLeaveEvent, NodeRejoinEvent,
    PartitionChangeEvent, RebalanceEvent, RebalanceTrigger, RoleChange, partition_number,
};

use crate::border::record::{Keep, Record};
use crate::node::ck_node_t;

/// A change that this header does not know.
pub const CK_CHANGE_UNKNOWN: i32 = 0;
/// The node is to hold a copy: copy the data, and return success when it is there.
pub const CK_CHANGE_GAINED_REPLICA: i32 = 1;
/// The node takes the writes from now on.
pub const CK_CHANGE_GAINED_PRIMARY: i32 = 2;
/// The node takes writes no longer; it still holds its copy.
pub const CK_CHANGE_LOST_PRIMARY: i32 = 3;
/// The node holds the partition no longer, and may delete the data.
pub const CK_CHANGE_LOST_COPY: i32 = 4;

/// A reason that this header does not know.
pub const CK_REASON_UNKNOWN: i32 = 0;
/// A node joined.
pub const CK_REASON_NODE_JOIN: i32 = 1;
/// A node stopped, failed or was removed.
pub const CK_REASON_NODE_LEAVE: i32 = 2;
/// A better distribution was found.
pub const CK_REASON_REBALANCE: i32 = 3;
/// It was asked for.
pub const CK_REASON_MANUAL: i32 = 4;

/// A reason that this header does not know.
pub const CK_LEAVE_UNKNOWN: i32 = 0;
/// It sent no heartbeat for too long.
pub const CK_LEAVE_HEALTH_CHECK_FAILURE: i32 = 1;
/// It stopped or left in an orderly way.
pub const CK_LEAVE_GRACEFUL_SHUTDOWN: i32 = 2;
/// An administrator removed it.
pub const CK_LEAVE_REMOVED_BY_ADMIN: i32 = 3;

/// A trigger that this header does not know, or none.
pub const CK_TRIGGER_UNKNOWN: i32 = 0;
/// Nodes joined.
pub const CK_TRIGGER_NODE_JOIN: i32 = 1;
/// A node left.
pub const CK_TRIGGER_NODE_LEAVE: i32 = 2;
/// It was asked for.
pub const CK_TRIGGER_MANUAL: i32 = 3;

/// A node gained or lost a partition, or a role in it. The library owns it and all that it points at, which is valid for as long
/// as the event. New fields go to the end.
#[repr(C)]
pub struct ck_partition_change_t {
    /// The partition's name, such as "partition-5".
    pub partition_id: *const c_char,
    /// The node that gains or loses.
    pub node_id: *const c_char,
    /// That node as a member, whether it gains or loses; NULL when it is none any more.
    pub node: *const ck_node_t,
    /// Live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    pub copy_from: *const *const ck_node_t,
    /// How many there are.
    pub copy_from_count: usize,
    /// The primary before; empty when there was none.
    pub old_primary: *const c_char,
    /// The primary after; empty when there is none.
    pub new_primary: *const c_char,
    /// The partition's epoch after the change.
    pub epoch: u64,
    /// The partition's number.
    pub partition: u32,
    /// What the node gains or loses: CK_CHANGE_*.
    pub change: i32,
    /// Why: CK_REASON_*.
    pub reason: i32,
}

/// A node that was never a member has joined. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_node_join_t {
    /// The new member.
    pub node: *const ck_node_t,
    /// The number of members, this one included.
    pub cluster_size: usize,
    /// True for the first node of a new cluster.
    pub is_bootstrap: bool,
}

/// A member is back, after an absence or a restart. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_node_rejoin_t {
    /// The member, with its new address and incarnation.
    pub node: *const ck_node_t,
    /// How long it was away, in milliseconds.
    pub offline_ms: u64,
    /// When it stopped or was last heard from, in milliseconds since 1970.
    pub last_seen_at_ms: u64,
    /// The numbers of the partitions that it held when it left.
    pub partitions: *const u32,
    /// How many they are.
    pub partition_count: usize,
}

/// A member stopped, failed, or was removed. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_node_leave_t {
    /// The member as it was.
    pub node: *const ck_node_t,
    /// The numbers of the partitions that it took the writes of.
    pub primaries: *const u32,
    /// How many they are.
    pub primary_count: usize,
    /// The numbers of the partitions that it held another copy of.
    pub replicas: *const u32,
    /// How many they are.
    pub replica_count: usize,
    /// Why: CK_LEAVE_*.
    pub reason: i32,
}

/// Partitions begin to move, or have moved. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_rebalance_t {
    /// The node that caused it; empty for one that was asked for.
    pub trigger_node_id: *const c_char,
    /// The ids of the nodes that gain or lose something, sorted.
    pub nodes_affected: *const *const c_char,
    /// How many they are.
    pub nodes_affected_count: usize,
    /// The number of partitions that change a holder or their primary.
    pub partitions_to_move: usize,
    /// How long it took, in milliseconds; 0 at the start.
    pub duration_ms: u64,
    /// What caused it: CK_TRIGGER_*.
    pub trigger: i32,
}

/// The health of the cluster. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_cluster_health_t {
    /// "healthy", "degraded" (some members are not) or "critical" (more than half are not, or partitions are lost).
    pub status: *const c_char,
    /// The ids of the unhealthy members, sorted.
    pub unhealthy_node_ids: *const *const c_char,
    /// The number of members that are up and say that they are healthy.
    pub healthy_nodes: usize,
    /// The number of the other members.
    pub unhealthy_nodes: usize,
    /// The number of all members.
    pub total_nodes: usize,
    /// The numbers of the partitions of which no node that is up holds the data.
    pub lost_partitions: *const u32,
    /// How many they are.
    pub lost_partition_count: usize,
}

/// Leadership began, ended, or moved to another node. The library owns it, as ck_partition_change_t. New fields go to the end.
#[repr(C)]
pub struct ck_leadership_t {
    /// A leader change: the new leader's node id. Else NULL: it is about this node.
    pub node_id: *const c_char,
    /// The leader epoch, a fencing token: it only grows.
    pub epoch: u64,
}

/// What an event tells, in C's form.
pub(crate) enum Payload {
    PartitionChange(Box<Record<ck_partition_change_t>>),
    NodeJoin(Box<Record<ck_node_join_t>>),
    NodeRejoin(Box<Record<ck_node_rejoin_t>>),
    NodeLeave(Box<Record<ck_node_leave_t>>),
    Rebalance(Box<Record<ck_rebalance_t>>),
    ClusterHealth(Box<Record<ck_cluster_health_t>>),
    Leadership(Box<Record<ck_leadership_t>>),
    /// An event that this library has no struct for.
    None,
}

impl Payload {
    pub(crate) fn new(kind: &EventKind) -> Self {
        let leadership = |node_id: Option<&str>, epoch| {
            Payload::Leadership(Record::new(|keep| ck_leadership_t {
                node_id: node_id.map_or(std::ptr::null(), |id| keep.text(id)),
                epoch,
            }))
        };
        match kind {
            EventKind::PartitionChange(told) => {
                Payload::PartitionChange(Record::new(|keep| partition_change(told, keep)))
            }
            EventKind::NodeJoin(told) => Payload::NodeJoin(Record::new(|keep| node_join(told, keep))),
            EventKind::NodeRejoin(told) => Payload::NodeRejoin(Record::new(|keep| node_rejoin(told, keep))),
            EventKind::NodeLeave(told) => Payload::NodeLeave(Record::new(|keep| node_leave(told, keep))),
            EventKind::RebalanceStart(told) | EventKind::RebalanceComplete(told) => {
                Payload::Rebalance(Record::new(|keep| rebalance(told, keep)))
            }
            EventKind::ClusterHealthChange(told) => {
                Payload::ClusterHealth(Record::new(|keep| cluster_health(told, keep)))
            }
            EventKind::BecomeLeader(told) | EventKind::LoseLeadership(told) => leadership(None, told.epoch),
            EventKind::LeaderChange(told) => leadership(Some(&told.node_id), told.epoch),
            _ => Payload::None,
        }
    }
}

/// The numbers in the names of partitions.
fn numbers<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<u32> {
    names
        .into_iter()
        .filter_map(|name| partition_number(name))
        .collect()
}

fn partition_change(told: &PartitionChangeEvent, keep: &mut Keep) -> ck_partition_change_t {
    let (copy_from, copy_from_count) = keep.nodes(&told.copy_from_nodes);
    ck_partition_change_t {
        partition_id: keep.text(&told.partition_id),
        node_id: keep.text(&told.node_id),
        node: keep.node(told.copy_to_node.as_ref()),
        copy_from,
        copy_from_count,
        old_primary: keep.text(&told.old_primary),
        new_primary: keep.text(&told.new_primary),
        epoch: told.epoch,
        partition: told.number,
        change: change_number(told.change),
        reason: reason_number(told.change_reason),
    }
}

fn node_join(told: &NodeJoinEvent, keep: &mut Keep) -> ck_node_join_t {
    ck_node_join_t {
        node: keep.node(Some(&told.node)),
        cluster_size: told.cluster_size,
        is_bootstrap: told.is_bootstrap,
    }
}

fn node_rejoin(told: &NodeRejoinEvent, keep: &mut Keep) -> ck_node_rejoin_t {
    let (partitions, partition_count) = keep.numbers(numbers(&told.partitions_before_leave));
    ck_node_rejoin_t {
        node: keep.node(Some(&told.node)),
        offline_ms: u64::try_from(told.offline_duration.as_millis()).unwrap_or(u64::MAX),
        last_seen_at_ms: told.last_seen_at.as_millis(),
        partitions,
        partition_count,
    }
}

fn node_leave(told: &NodeLeaveEvent, keep: &mut Keep) -> ck_node_leave_t {
    let (primaries, primary_count) = keep.numbers(numbers(&told.partitions_owned));
    let (replicas, replica_count) = keep.numbers(numbers(&told.partitions_replica));
    ck_node_leave_t {
        node: keep.node(Some(&told.node)),
        primaries,
        primary_count,
        replicas,
        replica_count,
        reason: leave_number(told.reason),
    }
}

fn rebalance(told: &RebalanceEvent, keep: &mut Keep) -> ck_rebalance_t {
    let (nodes_affected, nodes_affected_count) = keep.texts(told.nodes_affected.iter().map(|id| &**id));
    ck_rebalance_t {
        trigger_node_id: keep.text(&told.trigger_node_id),
        nodes_affected,
        nodes_affected_count,
        partitions_to_move: told.partitions_to_move,
        duration_ms: u64::try_from(told.duration.as_millis()).unwrap_or(u64::MAX),
        trigger: trigger_number(told.trigger),
    }
}

fn cluster_health(told: &ClusterHealthEvent, keep: &mut Keep) -> ck_cluster_health_t {
    let (unhealthy_node_ids, _) = keep.texts(told.unhealthy_node_ids.iter().map(|id| &**id));
    let (lost_partitions, lost_partition_count) = keep.numbers(numbers(&told.lost_partitions));
    ck_cluster_health_t {
        status: keep.text(&told.status),
        unhealthy_node_ids,
        healthy_nodes: told.healthy_nodes,
        unhealthy_nodes: told.unhealthy_nodes,
        total_nodes: told.total_nodes,
        lost_partitions,
        lost_partition_count,
    }
}

fn change_number(change: RoleChange) -> i32 {
    match change {
        RoleChange::GainedReplica => CK_CHANGE_GAINED_REPLICA,
        RoleChange::GainedPrimary => CK_CHANGE_GAINED_PRIMARY,
        RoleChange::LostPrimary => CK_CHANGE_LOST_PRIMARY,
        RoleChange::LostCopy => CK_CHANGE_LOST_COPY,
        _ => CK_CHANGE_UNKNOWN,
    }
}

fn reason_number(reason: ChangeReason) -> i32 {
    match reason {
        ChangeReason::NodeJoin => CK_REASON_NODE_JOIN,
        ChangeReason::NodeLeave => CK_REASON_NODE_LEAVE,
        ChangeReason::Rebalance => CK_REASON_REBALANCE,
        ChangeReason::Manual => CK_REASON_MANUAL,
        _ => CK_REASON_UNKNOWN,
    }
}

fn leave_number(reason: LeaveReason) -> i32 {
    match reason {
        LeaveReason::HealthCheckFailure => CK_LEAVE_HEALTH_CHECK_FAILURE,
        LeaveReason::GracefulShutdown => CK_LEAVE_GRACEFUL_SHUTDOWN,
        LeaveReason::RemovedByAdmin => CK_LEAVE_REMOVED_BY_ADMIN,
        _ => CK_LEAVE_UNKNOWN,
    }
}

pub(crate) fn trigger_number(trigger: RebalanceTrigger) -> i32 {
    match trigger {
        RebalanceTrigger::NodeJoin => CK_TRIGGER_NODE_JOIN,
        RebalanceTrigger::NodeLeave => CK_TRIGGER_NODE_LEAVE,
        RebalanceTrigger::Manual => CK_TRIGGER_MANUAL,
        _ => CK_TRIGGER_UNKNOWN,
    }
}
