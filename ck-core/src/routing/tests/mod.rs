//! Tests of views, and the small clusters that they use.

mod cluster_view;
mod many_hashes;
mod records;
mod shared_view;

use std::sync::Arc;

use crate::model::{ClusterConfig, CopyState, Node, Partition, PartitionCopy, Topology};

use super::NodeIter;

/// An active member.
fn node(id: &str) -> Arc<Node> {
    Arc::new(Node::sample(id))
}

/// A partition of epoch `100 + number`. The first of `synced` is primary; "" stands for none.
fn partition(number: u32, synced: &[&str], pending: &[&str]) -> Arc<Partition> {
    let copy = |id: &&str, state| PartitionCopy::new((*id).into(), state, 1);
    let mut copies: Vec<PartitionCopy> = synced
        .iter()
        .filter(|id| !id.is_empty())
        .map(|id| copy(id, CopyState::Synced))
        .chain(pending.iter().map(|id| copy(id, CopyState::Pending)))
        .collect();
    copies.sort_by(|a, b| a.node.cmp(&b.node));
    Arc::new(Partition {
        number,
        epoch: 100 + u64::from(number),
        primary: synced.first().filter(|id| !id.is_empty()).map(|id| (*id).into()),
        copies,
        target: None,
        released: None,
        granted: 0,
        idle_since: 0,
    })
}

fn topology(nodes: &[&str], partitions: Vec<Arc<Partition>>) -> Topology {
    Topology {
        cluster_id: "c-1".into(),
        config: ClusterConfig {
            cluster_name: "test".into(),
            partition_count: partitions.len() as u32,
            replication_factor: 2,
            ..ClusterConfig::default()
        },
        nodes: nodes.iter().map(|id| ((*id).into(), node(id))).collect(),
        partitions: partitions.into(),
        ..Topology::default()
    }
}

/// Nodes a, b, c. One partition of each kind: 0 with one replica, 1 with another primary, 2 with a copy
/// on its way, 3 between two primaries, 4 lost.
fn small() -> Topology {
    topology(
        &["a", "b", "c"],
        vec![
            partition(0, &["b", "a"], &[]),
            partition(1, &["c", "b"], &[]),
            partition(2, &["a", "b"], &["c"]),
            partition(3, &["", "a", "c"], &[]),
            partition(4, &[""], &["c"]),
        ],
    )
}

/// A key that belongs to partition `number` of `count`.
fn key_in(number: u32, count: u32) -> Vec<u8> {
    (0u32..)
        .map(|i| format!("key-{i}").into_bytes())
        .find(|key| super::partition_for(key, count) == number)
        .unwrap()
}

fn ids(nodes: NodeIter<'_>) -> Vec<&str> {
    nodes.map(|node| &*node.id).collect()
}
