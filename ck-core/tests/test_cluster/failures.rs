//! Nodes that die, and what the others do.

use std::time::Duration;

use clusterkit::model::NodeStatus;
use clusterkit::testing::TestCluster;
use clusterkit::{ErrorCode, Expect};

use crate::{TIMEOUT, claims, read, three, write};

#[test]
fn the_leader_is_killed_and_another_takes_over() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    let old = cluster.node(leader).unwrap();
    let epoch = old.leader_epoch().unwrap();
    write(&old, "a", "1");
    cluster.kill(leader).unwrap();
    assert!(!cluster.is_running(leader));
    assert!(!old.is_leader() && claims(&old).is_empty());
    let successor = cluster.wait_for_leader(TIMEOUT).unwrap();
    assert_ne!(successor, leader);
    let new = cluster.node(successor).unwrap();
    assert!(new.leader_epoch().unwrap() > epoch);
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    assert_eq!(read(&new, "a").unwrap(), "1");
    write(&new, "b", "2");
    // A majority is left, and two copies of each partition.
    cluster.wait_settled(TIMEOUT).unwrap();
    let id = old.my_node_id().clone();
    assert_eq!(new.view().node(&id).unwrap().status, NodeStatus::Failed);

    let again = cluster.restart(leader).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    assert_eq!(read(&again, "b").unwrap(), "2");
    assert_eq!(again.view().node(&id).unwrap().status, NodeStatus::Active);
    // The handle of the process before is that of a dead process.
    let error = old.set_custom_data("c", "3", Expect::Any, TIMEOUT).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Stopped);
}

#[test]
fn a_node_that_stops_hands_over_at_once() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    cluster.stop(leader).unwrap();
    let successor = cluster.wait_for_leader(TIMEOUT).unwrap();
    assert_ne!(successor, leader);
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    let id = cluster.node(leader).unwrap().my_node_id().clone();
    let view = cluster.node(successor).unwrap().view().into_owned();
    assert_eq!(view.node(&id).unwrap().status, NodeStatus::Stopped);
    cluster.restart(leader).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
}

#[test]
fn all_nodes_are_killed_and_come_back_with_what_they_had() {
    let cluster = TestCluster::builder().partitions(4).seed(7).start().unwrap();
    for number in 0..20 {
        let node = cluster.node(number % 3).unwrap();
        write(&node, &format!("key-{number}"), &number.to_string());
    }
    for index in 0..3 {
        cluster.kill(index).unwrap();
    }
    for index in 0..3 {
        // The first finds nobody, and goes on looking in the background.
        cluster.restart(index).unwrap();
    }
    cluster.wait_settled(TIMEOUT).unwrap();
    for node in cluster.nodes() {
        node.read_barrier(TIMEOUT).unwrap();
        for number in 0..20 {
            assert_eq!(read(&node, &format!("key-{number}")).unwrap(), number.to_string());
        }
    }
}

#[test]
fn a_node_that_has_lost_its_disk_joins_anew() {
    let cluster = three();
    // The founder, too: it must not found another cluster.
    for index in [0, 2] {
        let before = cluster.node(index).unwrap();
        let before = before.view().node(before.my_node_id()).unwrap().clone();
        cluster.wipe(index).unwrap();
        cluster.wait_for_leader(TIMEOUT).unwrap();
        cluster.wait_for_primaries(TIMEOUT).unwrap();
        write(&cluster.node(1).unwrap(), "a", &index.to_string());
        let node = cluster.restart(index).unwrap();
        cluster.wait_settled(TIMEOUT).unwrap();
        assert_eq!(read(&node, "a").unwrap(), index.to_string());
        let after = node.view().node(&before.id).unwrap().clone();
        assert!(
            after.raft_id > before.raft_id,
            "a disk that is lost is another voter"
        );
    }
}

#[test]
fn a_killed_node_is_replaced_after_the_rebalance_delay() {
    let cluster = TestCluster::builder()
        .nodes(4)
        .partitions(8)
        .manual_clock(true)
        .start()
        .unwrap();
    let began = cluster.now();
    cluster.kill(3).unwrap();
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    let failed_over = cluster.now() - began;
    assert!(failed_over < Duration::from_secs(10), "{failed_over:?}");
    cluster.wait_settled(TIMEOUT).unwrap();
    // It waits for rebalance_delay, 10 s by default.
    assert!(cluster.now() - began >= Duration::from_secs(10));
    let view = cluster.node(0).unwrap().view().into_owned();
    assert!(view.partitions().all(|partition| partition.nodes().count() == 3));
    assert!(
        view.partitions()
            .all(|partition| partition.nodes().all(|node| &*node.id != "node-3"))
    );
}
