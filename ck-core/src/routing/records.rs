//! The records of the public API, made from a view. They allocate: they are for HTTP, for people, and for clients that
//! cache the map, not for the lookup of a key.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{
    Cluster, LeaderInfo, NodeId, PartitionMap, PartitionRecord, PartitionStats, Role, partition_id,
};

use super::cluster_view::ClusterView;

/// The partitions of one node, by number, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePartitions {
    /// The partitions of which it is the primary.
    pub primary: Vec<u32>,
    /// The partitions whose data it holds as a replica.
    pub replica: Vec<u32>,
}

impl ClusterView {
    /// The partitions of the node `id`; `None` when it is no member. Copies that are still being made
    /// are not among them.
    pub fn partitions_for_node(&self, id: &str) -> Option<NodePartitions> {
        let index = self.tables.index_of(id)?;
        let mut found = NodePartitions::default();
        for partition in self.partitions() {
            match partition.role_of(index) {
                Some(Role::Primary) => found.primary.push(partition.number()),
                Some(Role::Replica) => found.replica.push(partition.number()),
                None => {}
            }
        }
        Some(found)
    }

    /// Every partition, by number.
    pub fn list_partitions(&self) -> Vec<PartitionRecord> {
        self.partitions().map(|partition| partition.record()).collect()
    }

    /// Every partition, by public name.
    pub fn partition_map(&self) -> PartitionMap {
        PartitionMap {
            partitions: self
                .list_partitions()
                .into_iter()
                .map(|record| (record.id.clone(), record))
                .collect(),
        }
    }

    /// The distribution of partitions over the members. Every member is counted, also one that holds nothing.
    pub fn partition_stats(&self) -> PartitionStats {
        let mut primaries = vec![0; self.nodes().len()];
        let mut replicas = primaries.clone();
        for partition in self.partitions() {
            if let Some(index) = partition.primary_index() {
                primaries[index as usize] += 1;
            }
            for index in partition.replica_indexes() {
                replicas[*index as usize] += 1;
            }
        }
        PartitionStats {
            total_partitions: self.partition_count() as usize,
            partitions_per_node: self.by_node_id(primaries),
            replicas_per_node: self.by_node_id(replicas),
        }
    }

    /// The leadership that was recorded last; `None` before the first, and when that node was removed.
    pub fn leader_info(&self) -> Option<LeaderInfo> {
        let leader = self.leader()?;
        let topology = self.topology();
        Some(LeaderInfo {
            leader_id: Arc::clone(&leader.id),
            leader_name: leader.name.clone(),
            leader_ip: leader.ip.clone(),
            term: topology.leader_term,
            elected_at: topology.elected_at,
            epoch: topology.leader_epoch,
        })
    }

    /// The whole cluster as the API shows it. The replicated store is no part of a view; the caller adds
    /// `custom_data`, of the same revision.
    pub fn cluster(&self, custom_data: Option<BTreeMap<String, Bytes>>) -> Cluster {
        let topology = self.topology();
        Cluster {
            id: topology.cluster_id.clone(),
            name: topology.config.cluster_name.clone(),
            nodes: self.nodes().to_vec(),
            partition_map: self.partition_map(),
            config: topology.config.clone(),
            custom_data,
            revision: self.revision(),
            leader: self
                .leader()
                .map_or_else(|| "".into(), |node| Arc::clone(&node.id)),
            epoch: topology.leader_epoch,
            maintenance: topology.maintenance.clone(),
            lost_partitions: topology.lost().map(partition_id).collect(),
        }
    }

    fn by_node_id(&self, counts: Vec<usize>) -> BTreeMap<NodeId, usize> {
        self.nodes()
            .iter()
            .map(|node| Arc::clone(&node.id))
            .zip(counts)
            .collect()
    }
}
