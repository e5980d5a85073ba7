//! Nodes that stand still, as by SIGSTOP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clusterkit::testing::TestCluster;
use clusterkit::{ErrorCode, Expect};

use crate::{TIMEOUT, claims, read, three, write};

#[test]
fn a_primary_that_is_paused_is_none_when_its_lease_has_ended() {
    let cluster = TestCluster::builder()
        .partitions(6)
        .manual_clock(true)
        .start()
        .unwrap();
    let primary = cluster.primary_of(b"key").unwrap();
    let node = cluster.node(primary).unwrap();
    let epoch = node
        .primary_epoch(node.partition_number(b"key").unwrap())
        .unwrap();
    cluster.pause(primary).unwrap();
    assert!(cluster.is_paused(primary) && cluster.is_running(primary));
    let left = node.leased_view().lease_left();
    assert!(node.is_primary_for_key(b"key"), "its lease is valid");
    cluster.advance(left).unwrap();
    assert!(!node.is_primary_for_key(b"key"));
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    let successor = cluster.primary_of(b"key").unwrap();
    assert_ne!(successor, primary);
    // When it goes on it knows of nothing yet, and is primary of nothing all the same.
    cluster.resume(primary).unwrap();
    let number = node.partition_number(b"key").unwrap();
    assert!(
        claims(&node)
            .iter()
            .all(|claimed| !claims(&cluster.node(successor).unwrap()).contains(claimed))
    );
    let newer = cluster.node(successor).unwrap().primary_epoch(number).unwrap();
    assert!(newer > epoch);
    cluster.wait_settled(TIMEOUT).unwrap();
    assert!(!cluster.is_paused(primary));
}

#[test]
fn a_paused_leader_is_replaced_and_finds_out() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    let old = cluster.node(leader).unwrap();
    cluster.pause(leader).unwrap();
    let successor = cluster.wait_for_leader(TIMEOUT).unwrap();
    assert_ne!(successor, leader);
    assert!(!old.is_leader(), "its lease has ended");
    write(&cluster.node(successor).unwrap(), "a", "1");
    assert_eq!(read(&old, "a"), None, "it hears of nothing");
    cluster.resume(leader).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    assert_eq!(read(&old, "a").unwrap(), "1");
}

#[test]
fn a_pause_that_is_short_is_not_noticed() {
    // A test that is slow makes no pause longer.
    let cluster = TestCluster::builder()
        .partitions(8)
        .manual_clock(true)
        .start()
        .unwrap();
    let leader = cluster.leader().unwrap();
    let terms = |cluster: &TestCluster| {
        let nodes = cluster.nodes();
        nodes
            .iter()
            .map(|node| node.consensus_stats().term)
            .collect::<Vec<_>>()
    };
    let before = terms(&cluster);
    for index in 0..3 {
        cluster.pause(index).unwrap();
        cluster.advance(Duration::from_millis(400)).unwrap();
        cluster.resume(index).unwrap();
        cluster.advance(Duration::from_secs(1)).unwrap();
    }
    assert_eq!(terms(&cluster), before);
    assert_eq!(cluster.leader(), Some(leader));
}

#[test]
fn no_hook_of_a_paused_node_is_called() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(4)
        .prepare(move |index, node| {
            let counted = counted.clone();
            node.on_event(move |_| {
                counted.fetch_add(usize::from(index == 1), Ordering::SeqCst);
                Ok(())
            })
            .map(drop)
        })
        .start()
        .unwrap();
    let node = cluster.node(1).unwrap();
    let quiet = || {
        node.hook_stats()
            .iter()
            .all(|stats| stats.queued + stats.running == 0)
    };
    cluster.wait_until("quiet hooks", TIMEOUT, quiet).unwrap();
    cluster.pause(1).unwrap();
    let before = calls.load(Ordering::SeqCst);
    cluster.add_node().unwrap();
    cluster.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), before);
    cluster.resume(1).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    cluster
        .wait_until("its hooks", TIMEOUT, || calls.load(Ordering::SeqCst) > before)
        .unwrap();
}

#[test]
fn calls_of_a_paused_node_wait_for_their_timeout_and_nothing_leaves_it() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    let paused = (leader + 1) % 3;
    cluster.pause(paused).unwrap();
    let node = cluster.node(paused).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| node.set_custom_data("a", "1", Expect::Any, Duration::from_secs(5)));
        cluster
            .wait_until("its end", TIMEOUT, || call.is_finished())
            .unwrap();
        let error = call.join().unwrap().unwrap_err();
        assert!(
            matches!(error.code(), ErrorCode::Timeout | ErrorCode::NoLeader),
            "{error}"
        );
    });
    assert_eq!(cluster.stop(paused).unwrap_err().code(), ErrorCode::Refused);
    assert_eq!(read(&cluster.node(leader).unwrap(), "a"), None);
    // It can be killed as it stands.
    cluster.kill(paused).unwrap();
    cluster.restart(paused).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
}
