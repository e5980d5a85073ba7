//! Tests of plans: which nodes keep copies, and which get them.

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

/// Four nodes whose partitions are placed; `d` then gets this status.
fn placed(status: NodeStatus) -> Topology {
    let mut topology = Topology::default();
    topology.config.partition_count = 64;
    topology.config.replication_factor = 3;
    let ids = ["a", "b", "c", "d"];
    topology.nodes = ids.map(|id| node(id, NodeStatus::Active)).into();
    let copy = |node: &NodeId| PartitionCopy::new(node.clone(), CopyState::Synced, 1);
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
                granted: 0,
                idle_since: 0,
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
        for (number, target) in rebalance(&topology, &Exclusions::default()) {
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
    assert_eq!(rebalance(&topology, &Exclusions::default()), []);
    topology.nodes.extend([node("e", NodeStatus::Joining)]);
    assert_eq!(rebalance(&topology, &Exclusions::default()), []);
    topology.nodes.extend([node("e", NodeStatus::Active)]);
    assert!(!rebalance(&topology, &Exclusions::default()).is_empty());
}

/// The topology after a plan was carried out.
fn carried_out(topology: &Topology, plan: &[(u32, Target)]) -> Topology {
    let mut topology = topology.clone();
    for (number, target) in plan {
        let partition = Arc::make_mut(&mut topology.partitions[*number as usize]);
        partition.primary = Some(target.primary.clone());
        partition.copies = target
            .nodes
            .iter()
            .map(|node| PartitionCopy::new(node.clone(), CopyState::Synced, 2))
            .collect();
    }
    topology
}

#[test]
fn a_plan_under_way_is_not_planned_anew() {
    let mut topology = placed(NodeStatus::Active);
    topology.nodes.extend([node("e", NodeStatus::Active)]);
    let plan = rebalance(&topology, &Exclusions::default());
    for (number, target) in plan {
        // No copy has been made yet.
        Arc::make_mut(&mut topology.partitions[number as usize]).target = Some(target);
    }
    assert_eq!(rebalance(&topology, &Exclusions::default()), []);
}

#[test]
fn what_is_avoided_goes_to_the_next_best_node() {
    let mut topology = placed(NodeStatus::Active);
    topology
        .nodes
        .extend([node("e", NodeStatus::Active), node("f", NodeStatus::Active)]);
    let plan = rebalance(&topology, &Exclusions::default());
    let e = NodeId::from("e");
    let to_e = plan.iter().filter(|(_, target)| target.nodes.contains(&e));
    let mut exclusions = Exclusions::default();
    for (number, _) in to_e.take(3) {
        exclusions.avoided.insert((*number, e.clone()));
    }
    assert_eq!(exclusions.avoided.len(), 3);
    let plan = rebalance(&topology, &exclusions);
    let after = carried_out(&topology, &plan);
    for (number, node) in &exclusions.avoided {
        let partition = &after.partitions[*number as usize];
        assert!(partition.copy(node).is_none(), "{partition:?}");
        assert_eq!(partition.copies.len(), 3);
    }
    // The avoided node gets its share of other partitions, and then the plan is stable.
    let plan = rebalance(&after, &exclusions);
    let after = carried_out(&after, &plan);
    let held = |id: &str| after.partitions.iter().filter(|p| p.copy(id).is_some()).count();
    let counts: Vec<usize> = after.nodes.keys().map(|id| held(id)).collect();
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
    assert_eq!(rebalance(&after, &exclusions), []);
}

#[test]
fn where_nobody_else_is_a_copy_is_missing_or_a_holder_stays() {
    let mut topology = crate::leader::rebalancer::testing::topology(&["a", "b"], 2);
    topology.partitions = vec![Arc::new(crate::leader::rebalancer::testing::partition(
        0,
        "a",
        &["a"],
        &[],
    ))]
    .into();
    let mut exclusions = Exclusions::default();
    assert_eq!(rebalance(&topology, &exclusions).len(), 1);
    exclusions.avoided.insert((0, "b".into()));
    assert_eq!(rebalance(&topology, &exclusions), []);
    topology.nodes.extend([node("a", NodeStatus::Leaving)]);
    assert_eq!(rebalance(&topology, &exclusions), [], "a has the only copy");
    // With another node available, `a` is drained.
    topology.nodes.extend([node("c", NodeStatus::Active)]);
    let plan = rebalance(&topology, &exclusions);
    assert_eq!(plan.len(), 1);
    assert_eq!(plan[0].1.nodes, [NodeId::from("c")]);
}

#[test]
fn the_next_best_node_is_in_another_zone() {
    let mut topology = crate::leader::rebalancer::testing::topology(&["a", "b", "c", "d"], 2);
    for (id, zone) in [("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")] {
        let node = topology.nodes.get_mut(id).map(Arc::make_mut);
        node.unwrap().zone = Some(zone.to_owned());
    }
    topology.partitions = vec![Arc::new(crate::leader::rebalancer::testing::partition(
        0,
        "a",
        &["a"],
        &[],
    ))]
    .into();
    for avoided in ["b", "c"] {
        let mut exclusions = Exclusions::default();
        exclusions.avoided.insert((0, avoided.into()));
        let plan = rebalance(&topology, &exclusions);
        let other = if avoided == "b" { "c" } else { "b" };
        assert_eq!(plan[0].1.nodes, ["a", other].map(NodeId::from));
    }
}
