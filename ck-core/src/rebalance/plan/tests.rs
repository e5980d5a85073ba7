//! Who keeps copies.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::model::PartitionCopy;

fn node(id: &str, status: NodeStatus) -> (NodeId, Arc<Node>) {
    let node = Node {
        status,
        ..Node::sample(id)
    };
    (id.into(), Arc::new(node))
}

/// Four nodes whose partitions have been placed, of which `d` has this status now.
fn placed(status: NodeStatus) -> Topology {
    let mut topology = Topology::default();
    topology.config.partition_count = 64;
    topology.config.replication_factor = 3;
    let ids = ["a", "b", "c", "d"];
    topology.nodes = ids.map(|id| node(id, NodeStatus::Active)).into();
    let copy = |node: &NodeId| PartitionCopy {
        node: node.clone(),
        state: CopyState::Synced,
        since: 1,
    };
    let targets = creation(&topology);
    topology.partitions = (0..)
        .zip(&targets)
        .map(|(number, target)| {
            Arc::new(Partition {
                number,
                epoch: 1,
                primary: Some(target.primary.clone()),
                copies: target.nodes.iter().map(copy).collect(),
                target: None,
                released: None,
            })
        })
        .collect();
    topology.nodes.extend([node("d", status)]);
    topology
}

#[test]
fn a_node_that_stops_fails_or_catches_up_keeps_its_copies() {
    for status in [NodeStatus::Stopped, NodeStatus::Failed, NodeStatus::Joining] {
        let topology = placed(status);
        for (number, target) in rebalance(&topology, &BTreeSet::new()) {
            let partition = &topology.partitions[number as usize];
            let kept = partition
                .copies
                .iter()
                .all(|copy| target.nodes.contains(&copy.node));
            assert!(kept, "{status:?}: {partition:?} becomes {target:?}");
        }
    }
}

#[test]
fn a_new_node_is_given_nothing_before_it_has_caught_up() {
    let mut topology = placed(NodeStatus::Active);
    assert_eq!(rebalance(&topology, &BTreeSet::new()), []);
    topology.nodes.extend([node("e", NodeStatus::Joining)]);
    assert_eq!(rebalance(&topology, &BTreeSet::new()), []);
    topology.nodes.extend([node("e", NodeStatus::Active)]);
    assert!(!rebalance(&topology, &BTreeSet::new()).is_empty());
}
