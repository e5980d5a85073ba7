//! The body of `GET /cluster`: read, checked, and turned into the topology that a view is made from.
//!
//! A member makes its topology of log entries; here it comes from a record for people and programs, which has less:
//! neither the term of the leadership nor when it began, nor what only placement and leases need of a copy. What lookups
//! need is all there, and a view that is made of it gives the same record again (`tests/answers.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::http_connection::no_node;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{
    Cluster, CopyState, Node, NodeId, Partition, PartitionCopy, PartitionRecord, PartitionState, Partitions,
    Target, Timestamp, Topology, partition_number,
};

/// The most partitions that a cluster can have.
const MAX_PARTITIONS: u32 = 65_536;

/// A checked answer: a cluster at one revision.
#[derive(Debug)]
pub(super) struct ClusterAnswer {
    /// The cluster; its partitions have been taken out.
    cluster: Cluster,
    nodes: BTreeMap<NodeId, Arc<Node>>,
    /// By number.
    partitions: Vec<PartitionRecord>,
}

#[derive(Deserialize)]
struct Body {
    cluster: Cluster,
    hash_config: HashConfig,
    revision: u64,
}

/// The published contract of the key's hash. A client that does not know it must stop, not guess.
#[derive(Deserialize)]
struct HashConfig {
    algorithm: String,
    encoding: String,
    modulo: u32,
    format: String,
}

impl ClusterAnswer {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// `UNREACHABLE` where it is none of a node; `VERSION` where it has another form than this version knows, or
    /// contradicts itself; `NOT_STARTED` where the node belongs to no cluster yet.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            let is_json = error.is_data();
            let error = shortened(&error.to_string());
            match is_json {
                true => unknown(format!("its answer has another form: {error}")),
                false => no_node(format!("its answer is no JSON: {error}")),
            }
        })?;
        let mut cluster = body.cluster;
        if cluster.id.is_empty() {
            return Err(Error::new(
                ErrorCode::NotStarted,
                "it is a member of no cluster yet",
            ));
        }
        if body.revision != cluster.revision || cluster.name != cluster.config.cluster_name {
            return Err(unknown("its answer contradicts itself in revision or name"));
        }
        body.hash_config.check(cluster.config.partition_count)?;
        let members = std::mem::take(&mut cluster.nodes);
        let count = members.len();
        let nodes: BTreeMap<NodeId, Arc<Node>> =
            members.into_iter().map(|node| (node.id.clone(), node)).collect();
        // The empty id is that of the client itself, which is no member.
        if nodes.len() != count || nodes.contains_key("") {
            return Err(unknown(
                "its answer has two members of one id, or one without an id",
            ));
        }
        let partitions = by_number(&mut cluster)?;
        Ok(ClusterAnswer {
            cluster,
            nodes,
            partitions,
        })
    }

    /// The id of the cluster, never empty.
    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster.id
    }

    /// The name of the cluster.
    pub(super) fn cluster_name(&self) -> &str {
        &self.cluster.name
    }

    pub(super) fn revision(&self) -> u64 {
        self.cluster.revision
    }

    /// False where the node that answered has lost contact with the leader.
    pub(super) fn is_leader_known(&self) -> bool {
        !self.cluster.leader.is_empty()
    }

    /// The topology, which shares with `before`, an earlier one of the same cluster, all that has not changed.
    pub(super) fn into_topology(self, before: &Arc<Topology>) -> Arc<Topology> {
        let ClusterAnswer {
            cluster,
            mut nodes,
            partitions,
        } = self;
        for (id, node) in &mut nodes {
            if let Some(known) = before.nodes.get(id)
                && known == node
            {
                *node = known.clone();
            }
        }
        // A node that has lost contact names no leader. The leadership that was recorded last is still that one.
        let leader = match cluster.leader.is_empty() {
            true if cluster.epoch == before.leader_epoch => before.leader.clone(),
            true => None,
            false => Some(cluster.leader),
        };
        let topology = Topology {
            cluster_id: cluster.id,
            config: cluster.config,
            nodes,
            partitions: updated(&before.partitions, partitions),
            leader,
            leader_epoch: cluster.epoch,
            // Not in the answer.
            leader_term: 0,
            elected_at: Timestamp::default(),
            maintenance: cluster.maintenance,
            stretch: 0,
        };
        if topology == **before {
            return before.clone();
        }
        Arc::new(topology)
    }
}

impl HashConfig {
    fn check(&self, partition_count: u32) -> Result<()> {
        let is_known = self.algorithm == "md5"
            && self.encoding == "big_endian_uint32"
            && self.format == "partition-%d"
            && self.modulo == partition_count
            && (1..=MAX_PARTITIONS).contains(&partition_count);
        if is_known {
            return Ok(());
        }
        Err(unknown(format!(
            "it maps keys to {partition_count} partitions by {:?}, {:?} modulo {}, called {:?}",
            shortened(&self.algorithm),
            shortened(&self.encoding),
            self.modulo,
            shortened(&self.format)
        )))
    }
}

/// The partitions in the order of their numbers: none, or all of them.
fn by_number(cluster: &mut Cluster) -> Result<Vec<PartitionRecord>> {
    let records = std::mem::take(&mut cluster.partition_map.partitions);
    let mut partitions: Vec<PartitionRecord> = Vec::with_capacity(records.len());
    for (id, record) in records {
        if id != record.id || partition_number(&id) != Some(record.number) {
            return Err(unknown("its answer names a partition wrongly"));
        }
        partitions.push(record);
    }
    partitions.sort_unstable_by_key(|record| record.number);
    // Names are distinct, and so are numbers: as many as there should be, and none too large, are all of them.
    let (count, wanted) = (partitions.len(), cluster.config.partition_count as usize);
    let last = partitions.last().map_or(0, |record| record.number as usize);
    if count != 0 && (count != wanted || last + 1 != wanted) {
        return Err(unknown(format!("its answer has {count} of {wanted} partitions")));
    }
    Ok(partitions)
}

/// The partitions of an answer; what has not changed is shared with the partitions before, in whole chunks where nothing in
/// a chunk has changed.
fn updated(before: &Partitions, records: Vec<PartitionRecord>) -> Partitions {
    if before.len() != records.len() {
        return records.into_iter().map(partition).map(Arc::new).collect();
    }
    let mut partitions = before.clone();
    for (number, record) in records.into_iter().enumerate() {
        let partition = partition(record);
        let has_changed = before.get(number).is_none_or(|known| **known != partition);
        if has_changed && let Some(place) = partitions.get_mut(number) {
            *place = Arc::new(partition);
        }
    }
    partitions
}

/// A partition as far as its record tells: everything that a lookup reads.
fn partition(record: PartitionRecord) -> Partition {
    let primary = Some(record.primary_node).filter(|id| !id.is_empty());
    let synced = primary.iter().chain(&record.replica_nodes);
    let synced = synced.map(|id| (id.clone(), CopyState::Synced));
    let pending = record.pending.iter().map(|id| (id.clone(), CopyState::Pending));
    // Sorted by node id, and each node once: a copy that has the data comes before one that has not.
    let mut copies: BTreeMap<NodeId, CopyState> = BTreeMap::new();
    for (id, state) in synced.chain(pending) {
        copies.entry(id).or_insert(state);
    }
    let moves_on = record.state == PartitionState::Moving && record.pending.is_empty();
    // That the role is about to move shows in the state only. A target makes it the same here; which one it is, nobody asks.
    let target = primary.clone().filter(|_| moves_on).map(|primary| Target {
        nodes: copies.keys().cloned().collect(),
        primary,
    });
    Partition {
        number: record.number,
        epoch: record.epoch,
        primary,
        copies: copies
            .into_iter()
            .map(|(node, state)| PartitionCopy::new(node, state, 0))
            .collect(),
        target,
        released: None,
        granted: 0,
        idle_since: 0,
    }
}

/// As much of a text of another end as a message has.
pub(super) fn shortened(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 160;
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

fn unknown(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Version, message)
}
