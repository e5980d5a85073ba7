//! A cluster of any size, for tests and benches that need one and not a particular one.

use std::collections::BTreeMap;
use std::sync::Arc;

use clusterkit::model::{
    ClusterConfig, CopyState, Node, NodeHealthState, NodeId, NodeStatus, Partition, PartitionCopy, Timestamp,
    Topology,
};

/// `partitions` partitions with three synced copies each, dealt out to `nodes` nodes in turn. Every
/// copy's id is a string of its own, as after reading a snapshot.
pub(crate) fn topology(partitions: u32, nodes: u32) -> Topology {
    let name = |n: u32| format!("node-{:05}", n % nodes);
    Topology {
        cluster_id: "bench".into(),
        config: ClusterConfig {
            cluster_name: "bench".into(),
            partition_count: partitions,
            replication_factor: 3,
            ..ClusterConfig::default()
        },
        nodes: (0..nodes)
            .map(|n| (NodeId::from(name(n)), Arc::new(node(&name(n)))))
            .collect(),
        partitions: (0..partitions)
            .map(|number| {
                let mut holders: Vec<String> = (0..nodes.min(3)).map(|copy| name(number + copy)).collect();
                let primary = holders.first().map(|id| id.as_str().into());
                holders.sort();
                Arc::new(Partition {
                    number,
                    epoch: 1,
                    primary,
                    copies: holders
                        .iter()
                        .map(|id| PartitionCopy::new(id.as_str().into(), CopyState::Synced, 1))
                        .collect(),
                    target: None,
                    released: None,
                    granted: 0,
                    idle_since: 0,
                })
            })
            .collect(),
        ..Topology::default()
    }
}

fn node(id: &str) -> Node {
    Node {
        id: id.into(),
        ip: "127.0.0.1:8080".into(),
        port: 8080,
        name: id.into(),
        status: NodeStatus::Active,
        services: BTreeMap::new(),
        zone: None,
        weight: 100,
        labels: BTreeMap::new(),
        incarnation: 1,
        voter: true,
        health: NodeHealthState::Healthy,
        health_reason: String::new(),
        last_seen: Timestamp::default(),
        joined_at: Timestamp::default(),
        raft_id: 1,
        peer_addr: "127.0.0.1:8080".into(),
    }
}
