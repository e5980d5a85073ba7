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
    PartitionRecord, RebalanceStatus,
};
use crate::routing::{ClusterView, PartitionRef};
use crate::state::{Expect, NodeSpec};

/// A node, as the REST API sees it.
///
/// Plain methods answer from memory, at once, and block on nothing: a request must never be able to stop the
/// node. Methods that return a future may forward to the leader. Such a future is dropped when the client goes
/// away or the request's deadline passes; whether a write still happens is then open, as after any timeout.
pub trait Api: Send + Sync + 'static {
    /// The revision that this node has applied.
    fn revision(&self) -> u64;

    /// The whole cluster. It must be a function of the state at `Cluster::revision` and of nothing else,
    /// because the revision is its ETag: the same revision means the same body.
    fn cluster(&self) -> Cluster;

    /// Members and partitions at one revision: all of one answer comes from one view.
    fn view(&self) -> Arc<ClusterView>;

    /// Who leads, as far as this node knows.
    fn leader(&self) -> Option<LeaderInfo>;

    /// Raft's own numbers on this node.
    fn consensus_stats(&self) -> ConsensusStats;

    /// Counters and gauges. `request_count` and `error_count` are filled in from [`RequestCounters`].
    ///
    /// [`RequestCounters`]: super::RequestCounters
    fn metrics(&self) -> Metrics;

    /// How this node is.
    fn health(&self) -> HealthStatus;

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
    fn set_data(&self, key: String, value: Bytes, expect: Expect) -> BoxFuture<'_, Result<u64>>;

    /// Deletes a value; returns the revision and whether the key existed.
    fn delete_data(&self, key: String, expect: Expect) -> BoxFuture<'_, Result<(u64, bool)>>;

    /// Admits a node. The specification has been checked for form, not for truth.
    fn join(&self, node: NodeSpec, terms: JoinTerms) -> BoxFuture<'_, Result<JoinReply>>;

    /// A member says that it is there.
    fn sync(&self, request: SyncRequest) -> BoxFuture<'_, Result<SyncReply>>;

    /// Plans a better spread and, unless `dry_run`, sets it in motion.
    fn rebalance(&self, dry_run: bool) -> BoxFuture<'_, Result<RebalanceReply>>;

    /// What moves, and what moves wait for: as the leader knows, or where it does not answer as this node knows.
    fn rebalance_status(&self) -> BoxFuture<'_, RebalanceStatus>;

    /// Creates the partitions with the nodes that there are; returns the revision and how many.
    fn create_partitions(&self) -> BoxFuture<'_, Result<(u64, usize)>>;

    /// Begins this node's departure: its partitions are handed over, then it is removed. Returns the revision at
    /// which the departure began.
    fn leave(&self) -> BoxFuture<'_, Result<u64>>;

    /// Begins maintenance for `reason`: no moves are planned; without one, ends it. Returns the revision.
    fn maintenance(&self, reason: Option<String>) -> BoxFuture<'_, Result<u64>>;

    /// Hands the leadership of the cluster to another voter, to `target` where one is named; the one that led does not
    /// stand for election for `cooldown`. Returns who leads afterwards.
    fn step_down(&self, target: Option<NodeId>, cooldown: Option<Duration>) -> BoxFuture<'_, Result<NodeId>>;

    /// Removes a member for good; returns the revision of the removal.
    fn remove_node(&self, node: NodeId) -> BoxFuture<'_, Result<u64>>;
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
