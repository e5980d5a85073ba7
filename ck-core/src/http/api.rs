//! What the REST API asks of a node.

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
/// Plain methods answer from memory, at once, and block on nothing: a request must never be able to stop the
/// node. Methods that return a future may forward to the leader. Such a future is dropped when the client goes
/// away or the request's deadline passes; whether a write still happens is then open, as after any timeout. Those that
/// take a `timeout` have an answer by then.
pub trait Api: Send + Sync + 'static {
    /// The revision that this node has applied.
    fn revision(&self) -> u64;

    /// Whether a leader is known at this moment, and how old is what this node knows.
    fn contact(&self) -> Contact;

    /// The last revision at which members, partitions or the leader changed.
    fn topology_revision(&self) -> u64;

    /// The whole cluster, with the replicated store where it is asked for. It must be a function of the state at
    /// `Cluster::revision` and of whether `Cluster::leader` is named, because the ETag is made of those: the same tag
    /// means the same body.
    fn cluster(&self, with_data: bool) -> Cluster;

    /// Members and partitions at one revision: all of one answer comes from one view.
    fn view(&self) -> Arc<ClusterView>;

    /// Every member, sorted by id, with when each was last heard of as far as this node can find out at once.
    fn members(&self) -> BoxFuture<'_, Members>;

    /// What this node may do for each of `keys` at this moment: all from one view, then under its lease. `None` while
    /// there are no partitions.
    fn route(&self, keys: &[&[u8]]) -> Option<Routes>;

    /// Who leads; `None` where nobody was heard of as the leader for a lease.
    fn leader(&self) -> Option<LeaderInfo>;

    /// Raft's own numbers on this node.
    fn consensus_stats(&self) -> ConsensusStats;

    /// Counters and gauges. `request_count` and `error_count` are filled in from [`RequestCounters`].
    ///
    /// [`RequestCounters`]: super::RequestCounters
    fn metrics(&self) -> Metrics;

    /// How this node is.
    fn health(&self) -> HealthStatus;

    /// True when this node's log has failed, and it writes nothing any more.
    fn log_has_failed(&self) -> bool;

    /// For how long this node's disk has not answered, where that is long.
    fn disk_silence(&self) -> Option<Duration>;

    /// How many messages for people were dropped because nobody read them in time.
    fn log_messages_dropped(&self) -> u64;

    /// Whether this node can serve.
    fn readiness(&self) -> Readiness;

    /// A value of the replicated store as applied here, and the revision that it is so at.
    fn data(&self, key: &str) -> (u64, Option<DataEntry>);

    /// Up to `limit` keys of the store that begin with `prefix` and come after `after`, in order, and the revision that it
    /// is so at.
    fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (u64, Vec<String>);

    /// Waits until this node has applied `revision`, however long that takes, and returns the revision that it
    /// has applied then. The caller bounds the wait.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped) when the node stops first.
    fn wait_revision(&self, revision: u64) -> BoxFuture<'_, Result<u64>>;

    /// Waits until this node has applied every write that was acknowledged anywhere before this call. The caller
    /// bounds the wait.
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

    /// Admits a node. The specification has been checked for form, not for truth.
    fn join(&self, node: NodeSpec, terms: JoinTerms, timeout: Duration) -> BoxFuture<'_, Result<JoinReply>>;

    /// A member says that it is there.
    fn sync(&self, request: SyncRequest, timeout: Duration) -> BoxFuture<'_, Result<SyncReply>>;

    /// Plans a better spread and, unless `dry_run`, sets it in motion.
    fn rebalance(&self, dry_run: bool, timeout: Duration) -> BoxFuture<'_, Result<RebalanceReply>>;

    /// What moves, and what moves wait for: as the leader knows, or where it does not answer as this node knows.
    fn rebalance_status(&self) -> BoxFuture<'_, RebalanceStatus>;

    /// Creates the partitions with the nodes that there are; returns the revision and how many.
    fn create_partitions(&self, timeout: Duration) -> BoxFuture<'_, Result<(u64, usize)>>;

    /// Begins this node's departure: its partitions are handed over, then it is removed. Returns the revision at
    /// which the departure began.
    fn leave(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Begins maintenance for `reason`: no moves are planned; without one, ends it. Returns the revision.
    fn maintenance(&self, reason: Option<String>, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Hands the leadership of the cluster to another voter, to `target` where one is named; the one that led does not
    /// stand for election for `cooldown`. Returns who leads afterwards.
    fn step_down(
        &self,
        target: Option<NodeId>,
        cooldown: Option<Duration>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<NodeId>>;

    /// Removes a member for good; returns the revision of the removal. `force`: even where what it alone holds is lost.
    fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> BoxFuture<'_, Result<u64>>;

    /// Accepts what `from` has of partition `number` as its data; returns the revision. `force`: even where a better
    /// copy is up, or where it has none.
    fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>>;
}

/// Where a key belongs, all from one view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLocation {
    /// The partition.
    pub partition: PartitionRecord,
    /// The node that takes writes; `None` when there is none at this moment.
    pub primary: Option<Arc<Node>>,
    /// The other nodes that hold the data.
    pub replicas: Vec<Arc<Node>>,
}

impl KeyLocation {
    /// Where the keys of this partition belong.
    pub fn of(partition: &PartitionRef<'_>) -> Self {
        KeyLocation {
            partition: partition.record(),
            primary: partition.primary().cloned(),
            replicas: partition.replicas().cloned().collect(),
        }
    }
}

/// How a node stands to the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contact {
    /// A leader is known: this node leads, or has heard of the leader within a lease.
    pub leader_known: bool,
    /// For how long no leader was heard of, zero where this node leads; `None` where none was since its process began.
    pub last_contact: Option<Duration>,
}

/// The members, and what is known of them now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The revision of the view that they are from.
    pub revision: u64,
    /// Every member, sorted by id; `last_seen` is when it was last heard of.
    pub nodes: Vec<Node>,
    /// How many were heard of within the failure timeout.
    pub heard: usize,
}

/// What one node may do for some keys at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// The node that says so.
    pub node_id: NodeId,
    /// What is left of its lease, in milliseconds; 0 without one.
    pub lease_ms: u64,
    /// The revision that this shows.
    pub revision: u64,
    /// One for each key, in the order of the keys.
    pub routes: Vec<KeyRoute>,
}

/// What one node may do for one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRoute {
    /// `partition-5`.
    pub partition: String,
    /// Its number.
    pub number: u32,
    /// Its epoch, which fences writes.
    pub epoch: u64,
    /// `primary` only while the node's lease counts; a primary without one has no role.
    pub role: KeyRole,
    /// The node that takes writes; `None` when there is none at this moment.
    pub primary: Option<Arc<Node>>,
    /// The other nodes that hold the data.
    pub replicas: Vec<Arc<Node>>,
}

/// What a node is to a key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// It takes writes.
    Primary,
    /// It holds the data.
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
    /// Members.
    pub nodes: usize,
    /// Partitions.
    pub partitions: usize,
    /// Those of them that have a primary which is up.
    pub valid_partitions: usize,
    /// Why it is not ready, or that it is.
    pub message: String,
}

/// A member's sign of life: the body of `POST /sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Who.
    pub node: NodeId,
    /// Which process of it.
    pub incarnation: u64,
    /// The revision that it has applied.
    pub revision: u64,
    /// What its application says of itself.
    #[serde(default)]
    pub health: NodeHealthState,
    /// Why, where it is not healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health_reason: String,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// How long the lease lasts from the moment the node sent, in milliseconds; 0 grants none.
    pub lease_ms: u64,
    /// The revision that the leader had committed: the lease counts once the node has applied it.
    pub revision: u64,
    /// The leader, empty when none is known.
    pub leader: NodeId,
}

/// What a rebalance does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceReply {
    /// True when nothing was set in motion.
    pub dry_run: bool,
    /// The revision of the plan; for a dry run the one that it was planned on.
    pub revision: u64,
    /// How many partitions change a holder or their primary.
    pub partitions_to_move: usize,
    /// What changes, by partition number.
    pub moves: Vec<Moved>,
}

/// One partition in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// `partition-5`.
    pub partition_id: String,
    /// Its number.
    pub number: u32,
    /// The primary now, empty when there is none.
    pub old_primary: NodeId,
    /// The primary afterwards.
    pub new_primary: NodeId,
    /// The nodes that get a copy, sorted.
    pub gain: Vec<NodeId>,
    /// The nodes whose copy goes, sorted.
    pub lose: Vec<NodeId>,
}
