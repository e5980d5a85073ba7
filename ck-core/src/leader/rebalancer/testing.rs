//! Small topologies for tests.

use std::sync::Arc;

use crate::model::{CopyState, Node, NodeStatus, Partition, PartitionCopy, Topology};

/// Active nodes and no partitions.
pub(super) fn topology(nodes: &[&str], replication_factor: u32) -> Topology {
    let mut topology = Topology::default();
    topology.config.replication_factor = replication_factor;
    for id in nodes {
        let node = Node {
            status: NodeStatus::Active,
            ..Node::sample(id)
        };
        topology.nodes.insert((*id).into(), Arc::new(node));
    }
    topology
}

/// A partition with these copies, assigned at revision 1.
pub(super) fn partition(number: u32, primary: &str, synced: &[&str], pending: &[&str]) -> Partition {
    let copy = |state: CopyState| move |id: &&str| PartitionCopy::new((*id).into(), state, 1);
    let synced = synced.iter().map(copy(CopyState::Synced));
    let mut copies: Vec<PartitionCopy> = synced
        .chain(pending.iter().map(copy(CopyState::Pending)))
        .collect();
    copies.sort_by(|a, b| a.node.cmp(&b.node));
    Partition {
        number,
        epoch: 1,
        primary: Some(primary.into()),
        copies,
        target: None,
        released: None,
        granted: 0,
        idle_since: 0,
    }
}
