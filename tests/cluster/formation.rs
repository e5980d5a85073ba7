//! Nodes find together.

use std::time::Instant;

use ck_tests::{Cluster, copies};

use crate::PROGRAM;

/// All nodes gave one answer; it has 64 partitions with as many copies as there can be, evenly spread.
fn check(cluster: &Cluster) {
    let settled = cluster.settle().cluster;
    assert_eq!(settled.nodes.len(), cluster.len());
    let copies = copies(&settled);
    assert_eq!(copies.len(), 64);
    let wanted = cluster.len().min(3);
    assert!(copies.values().all(|holders| holders.len() == wanted));
    for api in cluster.apis() {
        assert_eq!(api.status("/ready").unwrap(), 200);
    }
    // An odd number of voters, and no more than the default of max_voters.
    let voters = settled.nodes.iter().filter(|node| node.voter).count();
    assert_eq!(voters, [1, 1, 3, 3, 5][cluster.len().min(5) - 1]);
}

fn one_by_one(count: usize) {
    let start = Instant::now();
    let mut cluster = Cluster::found(PROGRAM);
    check(&cluster);
    while cluster.len() < count {
        cluster.add();
        cluster.settle();
    }
    check(&cluster);
    println!("{count} nodes one by one: {:?}", start.elapsed());
}

fn all_at_once(count: usize) {
    let start = Instant::now();
    let cluster = Cluster::of(PROGRAM, count);
    check(&cluster);
    println!("{count} nodes at once: {:?}", start.elapsed());
}

#[test]
fn one_node_is_a_cluster() {
    one_by_one(1);
}

#[test]
fn three_nodes_form_a_cluster_one_by_one() {
    one_by_one(3);
}

#[test]
fn three_nodes_form_a_cluster_at_once() {
    all_at_once(3);
}

#[test]
fn five_nodes_form_a_cluster_one_by_one() {
    one_by_one(5);
}

#[test]
fn five_nodes_form_a_cluster_at_once() {
    all_at_once(5);
}

#[test]
fn ten_nodes_form_a_cluster_one_by_one() {
    one_by_one(10);
}

#[test]
fn ten_nodes_form_a_cluster_at_once() {
    all_at_once(10);
}
