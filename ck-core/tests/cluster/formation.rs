//! Nodes find each other and become a cluster.

use clusterkit::model::{EventKind, RebalanceTrigger};

use crate::support::{PARTITIONS, TestNode, cluster, founder, join, leader, options, settle, stop, until};

fn voters(node: &TestNode) -> usize {
    node.kit.view().nodes().iter().filter(|node| node.voter).count()
}

fn starts(node: &TestNode) -> Vec<RebalanceTrigger> {
    node.told(|kind| match kind {
        EventKind::RebalanceStart(event) => Some(event.trigger),
        _ => None,
    })
}

fn assert_formed(nodes: &[TestNode]) {
    settle(nodes);
    let expected = nodes.len().min(5);
    let expected = expected - (expected + 1) % 2;
    for node in nodes {
        until("as many voters as there should be", || voters(node) == expected);
        assert_eq!(node.kit.view().partition_count(), PARTITIONS);
    }
    leader(nodes);
    // Partitions are spread evenly.
    let view = nodes[0].kit.view();
    let stats = view.partition_stats();
    let (least, most) = (
        stats.partitions_per_node.values().min().unwrap(),
        stats.partitions_per_node.values().max().unwrap(),
    );
    assert!(most - least <= 1, "{stats:?}");
}

fn one_by_one(n: usize) {
    let nodes = cluster(n);
    assert_formed(&nodes);
    stop(nodes);
}

/// Starts `n - 1` nodes at once, through a founder that starts with them.
fn all_at_once(n: usize) {
    let first = TestNode::start(founder("node-1")).unwrap();
    let addr = first.addr();
    let threads: Vec<_> = (2..=n)
        .map(|i| {
            let mut options = options(&format!("node-{i}"));
            options.join_addrs = vec![addr.clone()];
            std::thread::spawn(move || TestNode::start(options).unwrap())
        })
        .collect();
    let mut nodes = vec![first];
    nodes.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    assert_formed(&nodes);
    if n > 1 {
        until("the end of the rebalance is told", || {
            nodes[0]
                .told(|kind| matches!(kind, EventKind::RebalanceComplete(_)).then_some(()))
                .len()
                == starts(&nodes[0]).len()
        });
        let starts = starts(&nodes[0]);
        assert!(!starts.is_empty());
        // Not one for each: who comes together is planned for together. Several, where a slow machine pulls
        // the joins apart.
        assert!(
            starts.len() * 2 <= n.max(4),
            "{} plans for {n} nodes",
            starts.len()
        );
    }
    stop(nodes);
}

#[test]
fn one_node_forms() {
    one_by_one(1);
}

#[test]
fn two_nodes_form_one_by_one() {
    one_by_one(2);
}

#[test]
fn three_nodes_form_one_by_one() {
    one_by_one(3);
}

#[test]
fn five_nodes_form_one_by_one() {
    one_by_one(5);
}

#[test]
fn seven_nodes_have_five_voters() {
    one_by_one(7);
}

#[test]
fn ten_nodes_form_one_by_one() {
    one_by_one(10);
}

#[test]
fn three_nodes_form_all_at_once() {
    all_at_once(3);
}

#[test]
fn five_nodes_form_all_at_once() {
    all_at_once(5);
}

#[test]
fn ten_nodes_that_join_at_once_are_planned_for_together() {
    all_at_once(10);
}

#[test]
fn nodes_start_before_the_one_that_founds() {
    // The founder's address must be known before it listens: taken from a node that has gone.
    let probe = TestNode::start(founder("probe")).unwrap();
    let addr = probe.addr();
    probe.kit.stop().unwrap();
    let waiting: Vec<_> = (2..=3)
        .map(|i| {
            let mut options = options(&format!("node-{i}"));
            options.join_addrs = vec![addr.clone()];
            std::thread::spawn(move || TestNode::start(options).unwrap())
        })
        .collect();
    let mut first = founder("node-1");
    first.http_addr.clone_from(&addr);
    let mut nodes = vec![TestNode::start(first).unwrap()];
    nodes.extend(waiting.into_iter().map(|thread| thread.join().unwrap()));
    assert_formed(&nodes);
    stop(nodes);
}

#[test]
fn a_node_joins_through_a_follower() {
    let mut nodes = cluster(3);
    let follower = crate::support::follower(&nodes);
    let new = join(options("node-4"), &nodes[follower..=follower]).unwrap();
    nodes.push(new);
    assert_formed(&nodes);
    stop(nodes);
}

#[test]
fn a_node_joins_through_the_one_address_that_lives() {
    let dead = TestNode::start(founder("dead")).unwrap();
    let dead_addr = dead.addr();
    dead.kit.stop().unwrap();
    let mut nodes = cluster(1);
    let mut options = options("node-2");
    options.join_addrs = vec![
        dead_addr.clone(),
        "127.0.0.1:1".to_owned(),
        nodes[0].addr(),
        dead_addr,
    ];
    nodes.push(TestNode::start(options).unwrap());
    assert_formed(&nodes);
    stop(nodes);
}

#[test]
fn a_node_joins_through_a_name() {
    let mut nodes = cluster(1);
    let (_, port) = nodes[0]
        .addr()
        .rsplit_once(':')
        .map(|(h, p)| (h.to_owned(), p.to_owned()))
        .unwrap();
    let mut options = options("node-2");
    options.join_addrs = vec![format!("localhost:{port}")];
    nodes.push(TestNode::start(options).unwrap());
    assert_formed(&nodes);
    stop(nodes);
}

#[test]
fn partitions_are_there_with_one_node_and_spread_as_nodes_come() {
    let mut nodes = cluster(1);
    assert_eq!(nodes[0].kit.view().partition_stats().partitions_per_node.len(), 1);
    nodes.push(join(options("node-2"), &nodes[..1]).unwrap());
    assert_formed(&nodes);
    nodes.push(join(options("node-3"), &nodes[..1]).unwrap());
    assert_formed(&nodes);
    stop(nodes);
}

/// Addresses at which nobody listens any more: given by the system a moment ago.
fn vacant(n: usize) -> Vec<String> {
    let probes: Vec<TestNode> = (0..n)
        .map(|i| TestNode::start(founder(&format!("probe-{i}"))).unwrap())
        .collect();
    let addrs = probes.iter().map(TestNode::addr).collect();
    stop(probes);
    addrs
}

#[test]
fn nodes_that_are_configured_alike_found_one_cluster() {
    let addrs = vacant(3);
    let threads: Vec<_> = addrs
        .iter()
        .enumerate()
        .map(|(i, addr)| {
            let mut options = founder(&format!("node-{}", i + 1));
            options.http_addr.clone_from(addr);
            options.join_addrs.clone_from(&addrs);
            options.bootstrap_expect = Some(3);
            std::thread::spawn(move || TestNode::start(options).unwrap())
        })
        .collect();
    let nodes: Vec<TestNode> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_formed(&nodes);
    assert!(nodes.iter().all(|node| node.kit.waiting_for().unwrap().is_none()));
    stop(nodes);
}
