//! The events that the cluster emits to the application.
//!
//! Events come out of the replicated state machine, so every node emits the same ones in the same order. Only
//! [`EventKind::BecomeLeader`] and [`EventKind::LoseLeadership`] are about one node and are emitted there alone.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Node, NodeId, Role, Timestamp};

/// One event: what happened, when, and at which revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The revision (log index) that caused it.
    pub revision: u64,
    /// When the change was proposed, by the wall clock of the node that proposed it.
    pub timestamp: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A node gained or lost a partition, or a role in it.
    PartitionChange(PartitionChangeEvent),
    /// A node that was never a member has joined.
    NodeJoin(NodeJoinEvent),
    /// A member has rejoined, after an absence or a restart.
    NodeRejoin(NodeRejoinEvent),
    /// A member stopped, failed, or was removed.
    NodeLeave(NodeLeaveEvent),
    /// Partitions begin to move.
    RebalanceStart(RebalanceEvent),
    /// Every partition is where it should be.
    RebalanceComplete(RebalanceEvent),
    /// The cluster's health changed.
    ClusterHealthChange(ClusterHealthEvent),
    /// This node leads now. Emitted on this node only.
    BecomeLeader(LeadershipEvent),
    /// This node leads no longer. Emitted on this node only.
    LoseLeadership(LeadershipEvent),
    /// The leader of the cluster changed.
    LeaderChange(LeaderChangeEvent),
}

impl EventKind {
    /// The event's name, as in JSON: `partition_change`.
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::PartitionChange(_) => "partition_change",
            EventKind::NodeJoin(_) => "node_join",
            EventKind::NodeRejoin(_) => "node_rejoin",
            EventKind::NodeLeave(_) => "node_leave",
            EventKind::RebalanceStart(_) => "rebalance_start",
            EventKind::RebalanceComplete(_) => "rebalance_complete",
            EventKind::ClusterHealthChange(_) => "cluster_health_change",
            EventKind::BecomeLeader(_) => "become_leader",
            EventKind::LoseLeadership(_) => "lose_leadership",
            EventKind::LeaderChange(_) => "leader_change",
        }
    }
}

/// Why a partition's holders changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeReason {
    /// A node joined.
    NodeJoin,
    /// A node stopped, failed or was removed.
    NodeLeave,
    /// The controller found a better distribution.
    Rebalance,
    /// It was requested.
    Manual,
}

/// What [`PartitionChangeEvent::node_id`] gained or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoleChange {
    /// It has to hold a copy: copy the data, and return success when it is there.
    GainedReplica,
    /// It takes the writes from now on.
    GainedPrimary,
    /// It no longer takes writes; it still holds its copy.
    LostPrimary,
    /// It no longer holds the partition, and may delete the data.
    LostCopy,
}

impl RoleChange {
    /// The role after a gain; `None` after a loss.
    pub const fn gained(self) -> Option<Role> {
        match self {
            RoleChange::GainedReplica => Some(Role::Replica),
            RoleChange::GainedPrimary => Some(Role::Primary),
            RoleChange::LostPrimary | RoleChange::LostCopy => None,
        }
    }
}

/// A node gained or lost a partition, or a role in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionChangeEvent {
    /// The partition's name, such as `partition-5`.
    pub partition_id: String,
    /// The partition's number.
    pub number: u32,
    /// The node that gains or loses the copy or the role.
    pub node_id: NodeId,
    /// The change.
    pub change: RoleChange,
    /// The live nodes that hold the data now, if `node_id` has to copy it. Empty when there is nothing to copy: for a
    /// new partition, for a role that a copy with the data gains, and for a loss.
    pub copy_from_nodes: Vec<Arc<Node>>,
    /// The record of `node_id`, whether it gains or loses; `None` only when that node is no longer known.
    pub copy_to_node: Option<Arc<Node>>,
    /// The reason.
    pub change_reason: ChangeReason,
    /// The primary before, empty when there was none.
    pub old_primary: NodeId,
    /// The primary after, empty when there is none.
    pub new_primary: NodeId,
    /// The partition epoch after the change.
    pub epoch: u64,
}

/// A node that was never a member has joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeJoinEvent {
    /// The new member.
    pub node: Arc<Node>,
    /// The number of members, this one included.
    pub cluster_size: usize,
    /// True for the first node of a new cluster.
    pub is_bootstrap: bool,
}

/// A member has rejoined, after an absence or a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRejoinEvent {
    /// The member, with its new address and incarnation.
    pub node: Arc<Node>,
    /// How long it was away: since it stopped, or since the leader last heard from it; a leader that never did counts
    /// from its own election.
    #[serde(rename = "offline_duration_ms", with = "millis")]
    pub offline_duration: Duration,
    /// When it stopped or was last heard from, by the leader's wall clock.
    pub last_seen_at: Timestamp,
    /// The partitions it held when it left.
    pub partitions_before_leave: Vec<String>,
}

/// Why a node left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It sent no heartbeat for too long.
    HealthCheckFailure,
    /// It stopped or left gracefully.
    GracefulShutdown,
    /// An administrator removed it.
    RemovedByAdmin,
}

/// A member stopped, failed, or was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLeaveEvent {
    /// The member as it was.
    pub node: Arc<Node>,
    /// The reason.
    pub reason: LeaveReason,
    /// The partitions that it was primary of.
    pub partitions_owned: Vec<String>,
    /// The partitions that it held another copy of.
    pub partitions_replica: Vec<String>,
}

/// What made partitions move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RebalanceTrigger {
    /// Nodes joined.
    NodeJoin,
    /// A node left.
    NodeLeave,
    /// It was requested.
    Manual,
}

impl From<RebalanceTrigger> for ChangeReason {
    fn from(trigger: RebalanceTrigger) -> Self {
        match trigger {
            RebalanceTrigger::NodeJoin => ChangeReason::NodeJoin,
            RebalanceTrigger::NodeLeave => ChangeReason::NodeLeave,
            RebalanceTrigger::Manual => ChangeReason::Manual,
        }
    }
}

/// Partitions begin to move, or have moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebalanceEvent {
    /// What caused the rebalance.
    pub trigger: RebalanceTrigger,
    /// The node that caused it; empty for a manual rebalance.
    pub trigger_node_id: NodeId,
    /// The number of partitions that change a holder or their primary.
    pub partitions_to_move: usize,
    /// The nodes that gain or lose something, sorted.
    pub nodes_affected: Vec<NodeId>,
    /// How long the rebalance took; zero at the start.
    #[serde(rename = "duration_ms", with = "millis")]
    pub duration: Duration,
}

/// The health of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterHealthEvent {
    /// The number of members that are up and report that they are healthy.
    pub healthy_nodes: usize,
    /// The number of the other members.
    pub unhealthy_nodes: usize,
    /// The number of all members.
    pub total_nodes: usize,
    /// `healthy`, `degraded` (some are not) or `critical` (more than half are not, or partitions are lost).
    pub status: String,
    /// The unhealthy members, sorted.
    pub unhealthy_node_ids: Vec<NodeId>,
    /// The partitions of which no node that is up holds the data, by number: `partition-5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_partitions: Vec<String>,
}

/// This node's own leadership began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipEvent {
    /// The leader epoch that began or ended.
    pub epoch: u64,
}

/// The leader of the cluster changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderChangeEvent {
    /// The new leader.
    pub node_id: NodeId,
    /// The leader epoch, a fencing token: it only increases.
    pub epoch: u64,
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(crate::model::whole_millis(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
