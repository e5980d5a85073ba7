//! What the cluster tells the application.
//!
//! Events come out of the replicated state machine, so every node sees the same ones in the same order.
//! Only [`EventKind::BecomeLeader`] and [`EventKind::LoseLeadership`] are about one node and are told there alone.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Node, NodeId, Role, Timestamp};

/// One event: what happened, when, and at which revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The revision (log index) that brought it about.
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
    /// A member is back, or has restarted.
    NodeRejoin(NodeRejoinEvent),
    /// A member stopped, failed, or was removed.
    NodeLeave(NodeLeaveEvent),
    /// Partitions begin to move.
    RebalanceStart(RebalanceEvent),
    /// Every partition is where it should be.
    RebalanceComplete(RebalanceEvent),
    /// The cluster's health changed.
    ClusterHealthChange(ClusterHealthEvent),
    /// This node leads now. Told on this node only.
    BecomeLeader(LeadershipEvent),
    /// This node leads no longer. Told on this node only.
    LoseLeadership(LeadershipEvent),
    /// Another node leads now.
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
    /// The controller found a better spread.
    Rebalance,
    /// Somebody asked.
    Manual,
}

/// What [`PartitionChangeEvent::node_id`] has of the partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoleChange {
    /// It is to hold a copy: copy the data, and return success when it is there.
    GainedReplica,
    /// It takes the writes from now on.
    GainedPrimary,
    /// It takes writes no longer; it still holds its copy.
    LostPrimary,
    /// It holds the partition no longer, and may delete the data.
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
    /// `partition-5`.
    pub partition_id: String,
    /// Its number.
    pub number: u32,
    /// The node whose part in it changes.
    pub node_id: NodeId,
    /// How.
    pub change: RoleChange,
    /// Live nodes that hold the data now, where `node_id` has to copy it. Empty where there is nothing to copy: for a
    /// partition that is new, for a role that a copy with the data gains, and for a loss.
    pub copy_from_nodes: Vec<Arc<Node>>,
    /// The record of `node_id`, whether it gains or loses; `None` only where nothing is known of that node any more.
    pub copy_to_node: Option<Arc<Node>>,
    /// Why.
    pub change_reason: ChangeReason,
    /// The primary before, empty when there was none.
    pub old_primary: NodeId,
    /// The primary after, empty when there is none.
    pub new_primary: NodeId,
    /// The partition's epoch after the change.
    pub epoch: u64,
}

/// A node that was never a member has joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeJoinEvent {
    /// The new member.
    pub node: Arc<Node>,
    /// How many members there are with it.
    pub cluster_size: usize,
    /// True for the first node of a new cluster.
    pub is_bootstrap: bool,
}

/// A member is back, or has restarted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRejoinEvent {
    /// The member, with its new address and incarnation.
    pub node: Arc<Node>,
    /// How long it was away: since it stopped, or since the leader last heard of it; a leader that never did counts from
    /// its own election.
    #[serde(rename = "offline_duration_ms", with = "millis")]
    pub offline_duration: Duration,
    /// When that was, by the leader's wall clock.
    pub last_seen_at: Timestamp,
    /// The partitions it held when it left.
    pub partitions_before_leave: Vec<String>,
}

/// Why a node left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It did not sync for too long.
    HealthCheckFailure,
    /// It stopped or left in an orderly way.
    GracefulShutdown,
    /// An administrator removed it.
    RemovedByAdmin,
}

/// A member stopped, failed, or was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLeaveEvent {
    /// The member as it was.
    pub node: Arc<Node>,
    /// Why.
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
    /// Somebody asked.
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
    /// What made them move.
    pub trigger: RebalanceTrigger,
    /// The node that did, empty for a manual one.
    pub trigger_node_id: NodeId,
    /// How many partitions change a holder or their primary.
    pub partitions_to_move: usize,
    /// The nodes that gain or lose something, sorted.
    pub nodes_affected: Vec<NodeId>,
    /// How long it took; zero at the start.
    #[serde(rename = "duration_ms", with = "millis")]
    pub duration: Duration,
}

/// How the cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterHealthEvent {
    /// Members that are up and say that they are well.
    pub healthy_nodes: usize,
    /// The others.
    pub unhealthy_nodes: usize,
    /// All members.
    pub total_nodes: usize,
    /// `healthy`, `degraded` (some are not) or `critical` (more than half are not, or partitions are lost).
    pub status: String,
    /// The unhealthy ones, sorted.
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

/// Somebody leads now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderChangeEvent {
    /// Who.
    pub node_id: NodeId,
    /// The leader epoch, a fencing token: it only grows.
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
