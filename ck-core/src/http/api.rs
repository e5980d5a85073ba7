//! The interface through which the REST API uses a node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{JoinReply, JoinTerms};
use crate::error::Result;
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, Node, NodeHealthState, NodeId,
    PartitionRecord, RebalanceStatus, Role,
};
use crate::routing::{ClusterView, PartitionRef};
use crate::state::{Expect, NodeSpec};

/// A node, as the REST API sees it.
///
/// Plain methods answer from memory, at once, and block on nothing: a request must never be able to stop the node.
/// Methods that return a future may forward to the leader. Such a future is dropped when the client disconnects or the
/// request's deadline passes; whether a write still happens is then unknown, as after any timeout. Methods that take a
/// `timeout` have an answer by then.
pub trait Api: Send + Sync + 'static {
    /// The revision that this node has applied.
    fn revision(&self) -> u64;

    /// Whether a leader is known at this moment, and how old this node's information is.
    fn contact(&self) -> Contact;

    /// The last revision at which members, partitions or the leader changed.
    fn topology_revision(&self) -> u64;

    /// The whole cluster, with the replicated store if `with_data`. It must be a function of the state at
    /// `Cluster::revision` and of whether `Cluster::leader` is named, because the ETag is made of those: the same tag
    /// means the same body.
    fn cluster(&self, with_data: bool) -> Cluster;

    /// Members and partitions at one revision: all of one answer comes from one view.
    fn view(&self) -> Arc<ClusterView>;

    /// Every member, sorted by id, with the time of the last contact with each, as far as this node can find out at
    /// once.
    fn members(&self) -> BoxFuture<'_, Members>;

    /// The role of this node for each of `keys` at this moment: all from one view, under its lease. `None` while there
    /// are no partitions.
    fn route(&self, keys: &[&[u8]]) -> Option<KeyRoutes>;

    /// The leader; `None` when this node has had no contact with a leader for the duration of a lease.
    fn leader(&self) -> Option<LeaderInfo>;

    /// Raft statistics of this node.
    fn consensus_stats(&self) -> ConsensusStats;

    /// Counters and gauges. `request_count` and `error_count` are filled in from [`RequestCounters`].
    ///
    /// [`RequestCounters`]: super::RequestCounters
    fn metrics(&self) -> Metrics;

    /// The health of this node.
    fn health(&self) -> HealthStatus;

    /// How many seconds the node's certificate is still valid, negative once it has expired; `None` where it speaks no TLS.
    fn certificate_seconds_left(&self) -> Option<i64> {
        None
    }

    /// True when this node's log has failed, after which it writes nothing.
    fn log_has_failed(&self) -> bool;

    /// How long this node's disk has not answered; `None` unless that is so long that the disk hangs.
    fn disk_silence(&self) -> Option<Duration>;

    /// Number of log messages that were dropped because the log callback did not take them in time.
    fn log_messages_dropped(&self) -> u64;

    /// Whether this node can serve.
    fn readiness(&self) -> Readiness;

    /// A value of the replicated store as applied on this node, and the revision of that state.
    fn data(&self, key: &str) -> (u64, Option<DataEntry>);

    /// Up to `limit` keys of the store that begin with `prefix` and come after `after`, in order, and the revision of
    /// that state.
    fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (u64, Vec<String>);

    /// Waits until this node has applied `revision`, however long that takes, and returns the revision that it has
    /// applied then. The caller bounds the wait.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped) when the node stops first.
    fn wait_revision(&self, revision: u64) -> BoxFuture<'_, Result<u64>>;

    /// Waits until this node has applied every write that any node acknowledged before this call. The caller bounds the
    /// wait.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`](crate::ErrorCode::NoLeader) and others, when that cannot be established.
    fn linearize(&self) -> BoxFuture<'_, Result<()>>;

    /// Writes a value; returns the revision of the write.
    fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>>;

    /// Deletes a value; returns the revision and whether the key existed.
    fn delete_data(
        &self,
        key: String,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(u64, bool)>>;

    /// Admits a node as a member. The form of the specification has been checked, its truth has not.
    fn join(&self, node: NodeSpec, terms: JoinTerms, timeout: Duration) -> BoxFuture<'_, Result<JoinReply>>;

    /// Handles the heartbeat of a member.
    fn sync(&self, request: SyncRequest, timeout: Duration) -> BoxFuture<'_, Result<SyncReply>>;

    /// Plans a rebalance and, unless `dry_run`, starts it.
    fn rebalance(&self, dry_run: bool, timeout: Duration) -> BoxFuture<'_, Result<RebalanceReply>>;

    /// The migrations in progress and waiting: as the leader knows them, or as this node does when the leader does not
    /// answer.
    fn rebalance_status(&self) -> BoxFuture<'_, RebalanceStatus>;

    /// Creates the partitions on the present members; returns the revision and the number of partitions.
    fn create_partitions(&self, timeout: Duration) -> BoxFuture<'_, Result<(u64, usize)>>;

    /// Begins to drain this node: its partitions are handed over, then it is removed. Returns the revision at which the
    /// drain began.
    fn leave(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Begins maintenance for `reason`, during which no migrations are planned; without a reason, ends it. Returns the
    /// revision.
    fn maintenance(&self, reason: Option<String>, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Transfers leadership to another voter, to `target` if one is named. The former leader does not stand for
    /// election during `cooldown`. Returns the leader afterwards.
    fn step_down(
        &self,
        target: Option<NodeId>,
        cooldown: Option<Duration>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<NodeId>>;

    /// Removes a member permanently; returns the revision of the removal. `force` removes it even if data that it alone
    /// holds is lost.
    fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Accepts the copy of partition `number` on node `from` as its data; returns the revision. `force` accepts it even
    /// if a better copy is up, or if `from` holds no copy.
    fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>>;
}

/// The partition of a key and its holders, all from one view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLocation {
    /// The partition.
    pub partition: PartitionRecord,
    /// The node that takes writes; `None` while there is none.
    pub primary: Option<Arc<Node>>,
    /// The other nodes that hold the data.
    pub replicas: Vec<Arc<Node>>,
}

impl KeyLocation {
    /// The location of the keys of this partition.
    pub fn of(partition: &PartitionRef<'_>) -> Self {
        KeyLocation {
            partition: partition.record(),
            primary: partition.primary().cloned(),
            replicas: partition.replicas().cloned().collect(),
        }
    }
}

/// How current the information of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contact {
    /// True when a leader is known: this node leads, or has had contact with the leader within a lease.
    pub leader_known: bool,
    /// Time since the last contact with a leader, zero when this node leads; `None` when there was none since its
    /// process began.
    pub last_contact: Option<Duration>,
}

/// The members, and how recent the contact with them is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The revision of the view that the members are from.
    pub revision: u64,
    /// Every member, sorted by id; `last_seen` is the time of the last contact with it.
    pub nodes: Vec<Node>,
    /// Number of members with a contact within the failure timeout.
    pub heard: usize,
}

/// The roles of one node for some keys at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRoutes {
    /// The node that answers.
    pub node_id: NodeId,
    /// What is left of its lease, in milliseconds; 0 without a lease.
    pub lease_ms: u64,
    /// The revision of the view.
    pub revision: u64,
    /// One entry for each key, in the order of the keys.
    pub routes: Vec<KeyRoute>,
}

/// The role of one node for one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRoute {
    /// The partition's name, such as `partition-5`.
    pub partition: String,
    /// The partition's number.
    pub number: u32,
    /// The partition epoch, the fencing token for writes.
    pub epoch: u64,
    /// `primary` only while the node's lease is valid; a primary without a lease has the role `none`.
    pub role: KeyRole,
    /// The node that takes writes; `None` while there is none.
    pub primary: Option<Arc<Node>>,
    /// The other nodes that hold the data.
    pub replicas: Vec<Arc<Node>>,
}

/// The role of a node for a key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// The node takes writes.
    Primary,
    /// The node holds the data.
    Replica,
    /// Neither, at this moment.
    None,
}

impl From<Option<Role>> for KeyRole {
    fn from(role: Option<Role>) -> Self {
        match role {
            Some(Role::Primary) => KeyRole::Primary,
            Some(Role::Replica) => KeyRole::Replica,
            None => KeyRole::None,
        }
    }
}

/// Whether this node can serve: the answer of `GET /ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// True when the node is a member, knows a leader, has applied the log, and partitions have primaries.
    pub ready: bool,
    /// Number of members.
    pub nodes: usize,
    /// Number of partitions.
    pub partitions: usize,
    /// Number of partitions that have a primary which is up.
    pub valid_partitions: usize,
    /// Why the node is not ready, or a statement that it is.
    pub message: String,
}

/// A member's heartbeat: the body of `POST /sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The member.
    pub node: NodeId,
    /// The incarnation of the member, which identifies its process.
    pub incarnation: u64,
    /// The revision that the member has applied.
    pub revision: u64,
    /// The health that the member's application reports.
    #[serde(default)]
    pub health: NodeHealthState,
    /// The reason, if it is not healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health_reason: String,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// How long the lease lasts from the moment the node sent the heartbeat, in milliseconds; 0 grants no lease.
    pub lease_ms: u64,
    /// The revision that the leader had committed: the lease is valid once the node has applied it.
    pub revision: u64,
    /// The leader, empty when none is known.
    pub leader: NodeId,
}

/// The outcome of a rebalance, or of its dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceReply {
    /// True when nothing was started.
    pub dry_run: bool,
    /// The revision of the plan; for a dry run the revision that it was planned on.
    pub revision: u64,
    /// Number of partitions that change a holder or their primary.
    pub partitions_to_move: usize,
    /// The changes, by partition number.
    pub moves: Vec<PlannedMove>,
}

/// What a plan changes for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The partition's name, such as `partition-5`.
    pub partition_id: String,
    /// The partition's number.
    pub number: u32,
    /// The present primary, empty when there is none.
    pub old_primary: NodeId,
    /// The primary afterwards.
    pub new_primary: NodeId,
    /// The nodes that get a copy, sorted.
    pub gain: Vec<NodeId>,
    /// The nodes that lose their copy, sorted.
    pub lose: Vec<NodeId>,
}
