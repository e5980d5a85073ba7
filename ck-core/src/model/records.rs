//! The records of the public API and of HTTP, in the shapes of the Go ClusterKit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Maintenance, Node, NodeId, Partition, PartitionState, Timestamp, Topology, partition_id};

/// The settings that are the same in the whole cluster. Fixed at bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// The cluster's name; the join of a node that asks for another is refused.
    pub cluster_name: String,
    /// The number of partitions that the keys are divided into: 1 to 65536.
    pub partition_count: u32,
    /// The number of copies that each partition should have.
    pub replication_factor: u32,
    /// How long a lease lasts, from the moment at which a node asked for it, in milliseconds.
    #[serde(default = "default_lease_ttl")]
    pub lease_ttl_ms: u64,
    /// How long a node may be silent before it is failed, in milliseconds. Longer than a lease and its margin.
    #[serde(default = "default_failure_timeout")]
    pub failure_timeout_ms: u64,
    /// The longest election timeout, in milliseconds: for this long a voter that heard from the leader votes for no
    /// other node.
    #[serde(default = "default_election_timeout")]
    pub election_timeout_ms: u64,
}

const fn not_at_all() -> u32 {
    1
}

const fn default_lease_ttl() -> u64 {
    1_500
}

const fn default_failure_timeout() -> u64 {
    2_000
}

const fn default_election_timeout() -> u64 {
    300
}

impl Default for ClusterConfig {
    /// No name, no partitions, and the timings of the default options.
    fn default() -> Self {
        ClusterConfig {
            cluster_name: String::new(),
            partition_count: 0,
            replication_factor: 0,
            lease_ttl_ms: default_lease_ttl(),
            failure_timeout_ms: default_failure_timeout(),
            election_timeout_ms: default_election_timeout(),
        }
    }
}

impl ClusterConfig {
    /// How long a lease lasts.
    pub const fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }

    /// How much two clocks may differ over the duration of a lease: a tenth of it. Real clocks differ by far less.
    pub const fn lease_margin(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms.div_ceil(10))
    }

    /// How long a node may be silent before it is failed.
    pub const fn failure_timeout(&self) -> Duration {
        Duration::from_millis(self.failure_timeout_ms)
    }
}

/// A partition as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition's name, such as `partition-5`.
    pub id: String,
    /// The partition's number.
    pub number: u32,
    /// The node that takes writes, empty while there is none.
    pub primary_node: NodeId,
    /// The other nodes that hold the data.
    pub replica_nodes: Vec<NodeId>,
    /// The nodes that are still copying it.
    pub pending: Vec<NodeId>,
    /// The partition epoch, which grows whenever the primary changes.
    pub epoch: u64,
    /// Its condition.
    pub state: PartitionState,
}

impl PartitionRecord {
    /// The record of `partition` in the cluster of `topology`.
    pub fn new(partition: &Partition, topology: &Topology) -> Self {
        let primary = partition.primary.clone();
        PartitionRecord {
            id: partition_id(partition.number),
            number: partition.number,
            replica_nodes: partition
                .synced()
                .filter(|node| Some(*node) != primary.as_ref())
                .cloned()
                .collect(),
            primary_node: primary.unwrap_or_else(|| "".into()),
            pending: partition.pending().cloned().collect(),
            epoch: partition.epoch,
            state: partition.state(topology.config.replication_factor, |node| {
                topology.is_serving(node)
            }),
        }
    }
}

/// The partitions by their public names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartitionMap {
    /// `partition-5` to its record.
    pub partitions: BTreeMap<String, PartitionRecord>,
}

/// The whole cluster at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The cluster's id, created at bootstrap.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Every member, sorted by id.
    pub nodes: Vec<Arc<Node>>,
    /// Every partition.
    pub partition_map: PartitionMap,
    /// The settings that are the same in the whole cluster.
    pub config: ClusterConfig,
    /// The replicated store, key to value; `None` when it was not asked for. In JSON the values are base64.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "super::base64::values"
    )]
    pub custom_data: Option<BTreeMap<String, Bytes>>,
    /// The revision that this answer shows.
    pub revision: u64,
    /// The leader, empty when none is known at present.
    pub leader: NodeId,
    /// The leader epoch.
    pub epoch: u64,
    /// Set during maintenance, while no migrations are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// The partitions of which no node that is up holds the data, by number: `partition-5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_partitions: Vec<String>,
}

/// The replicated store at one revision, as its file shows it.
#[derive(Debug, Serialize)]
pub(crate) struct StoredData {
    pub(crate) revision: u64,
    /// Never `None`.
    #[serde(serialize_with = "super::base64::values::serialize")]
    pub(crate) custom_data: Option<BTreeMap<String, Bytes>>,
}

/// A value of the replicated store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEntry {
    /// The bytes, 1 MiB at most.
    pub value: Bytes,
    /// The revision that wrote it, which a compare-and-set compares.
    pub revision: u64,
}

/// How the partitions are distributed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartitionStats {
    /// The number of partitions.
    pub total_partitions: usize,
    /// The number of primaries per node.
    pub partitions_per_node: BTreeMap<NodeId, usize>,
    /// The number of other copies per node.
    pub replicas_per_node: BTreeMap<NodeId, usize>,
}

/// The present leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderInfo {
    /// The leader's node id.
    pub leader_id: NodeId,
    /// Its display name.
    pub leader_name: String,
    /// Its advertised address.
    pub leader_ip: String,
    /// The Raft term that it was elected in.
    pub term: u64,
    /// When it was elected.
    pub elected_at: Timestamp,
    /// The leader epoch, a fencing token. The term is not one.
    pub epoch: u64,
}

/// Raft statistics of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusStats {
    /// `Leader`, `Follower`, `Candidate`, `Learner` or `Shutdown`.
    pub state: String,
    /// The Raft term.
    pub term: u64,
    /// The index of the last entry in the log.
    pub last_log_index: u64,
    /// The term of that entry.
    pub last_log_term: u64,
    /// The last index known to be committed.
    pub commit_index: u64,
    /// The last index applied here.
    pub applied_index: u64,
    /// The number of other nodes that take part in Raft.
    pub num_peers: usize,
    /// The leader's node id, empty when none is known.
    pub leader: NodeId,
    /// The same as `term`.
    pub current_term: u64,
    /// The same as `leader`.
    pub current_leader: NodeId,
    /// True when this node leads.
    pub is_leader: bool,
}

/// Counters and gauges of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The number of members.
    pub node_count: usize,
    /// The number of partitions.
    pub partition_count: usize,
    /// The number of HTTP requests answered by this node.
    pub request_count: u64,
    /// The number of those that were answered with a 4xx or 5xx status.
    pub error_count: u64,
    /// When this node last heard from the leader, or led.
    pub last_sync: Timestamp,
    /// True when this node leads.
    pub is_leader: bool,
    /// As in [`ConsensusStats::state`].
    pub raft_state: String,
    /// Seconds since this node started.
    pub uptime_seconds: u64,
}

/// The health of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// True when it is a member, knows a leader and applies the log.
    pub healthy: bool,
    /// This node.
    pub node_id: NodeId,
    /// Its display name.
    pub node_name: String,
    /// True when it leads.
    pub is_leader: bool,
    /// The number of members.
    pub node_count: usize,
    /// The number of partitions.
    pub partition_count: usize,
    /// As in [`ConsensusStats::state`].
    pub raft_state: String,
    /// When this node last heard from the leader, or led.
    pub last_sync: Timestamp,
    /// How long it has been running, in the form of a Go duration: `1h2m3.5s`.
    pub uptime: String,
    /// The factor by which the cluster stretches election timeouts, because timers and heartbeats come late: 1 on quiet
    /// machines.
    #[serde(default = "not_at_all")]
    pub election_stretch: u32,
    /// How late this node's timers and messages from the leader were recently, in milliseconds: the second longest
    /// delay of ten seconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Why it is not healthy; empty when it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The health of one member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// The member.
    pub node_id: NodeId,
    /// The number of heartbeats missed in a row.
    pub failures: u32,
    /// When it was last heard from.
    pub last_seen: Timestamp,
    /// True when it is up and healthy.
    pub healthy: bool,
}
