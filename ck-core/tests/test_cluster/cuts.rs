//! Networks that are cut, slow and lossy.

use std::time::Duration;

use clusterkit::testing::{LinkFaults, TestCluster};
use clusterkit::{ErrorCode, Expect};

use crate::{TIMEOUT, claims, read, three, write};

#[test]
fn a_minority_takes_no_writes_and_is_primary_of_nothing() {
    let cluster = TestCluster::builder().nodes(5).partitions(10).start().unwrap();
    let leader = cluster.leader().unwrap();
    let other = (leader + 1) % 5;
    cluster.split(&[leader, other]).unwrap();
    let majority = cluster.wait_for_leader(TIMEOUT).unwrap();
    assert!(![leader, other].contains(&majority));
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    for index in [leader, other] {
        let node = cluster.node(index).unwrap();
        assert_eq!(claims(&node), [] as [u32; 0]);
        assert!(!node.is_leader() && !node.is_leased());
        // A thread waits while the test moves the clock.
        std::thread::scope(|scope| {
            let write =
                scope.spawn(|| node.set_custom_data("a", "minority", Expect::Any, Duration::from_secs(20)));
            cluster
                .wait_until("the end of the write", TIMEOUT, || write.is_finished())
                .unwrap();
            let error = write.join().unwrap().unwrap_err();
            assert!(
                matches!(error.code(), ErrorCode::Timeout | ErrorCode::NoLeader),
                "{error}"
            );
        });
    }
    write(&cluster.node(majority).unwrap(), "a", "majority");
    cluster.heal();
    cluster.wait_settled(TIMEOUT).unwrap();
    for node in cluster.nodes() {
        assert_eq!(read(&node, "a").unwrap(), "majority");
    }
}

#[test]
fn a_node_that_is_cut_off_is_found_dead_and_comes_back() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    let victim = (leader + 1) % 3;
    cluster.isolate(victim).unwrap();
    cluster.advance(Duration::from_secs(30)).unwrap();
    let (node, view) = (
        cluster.node(victim).unwrap(),
        cluster.node(leader).unwrap().view().into_owned(),
    );
    assert_eq!(view.node(node.my_node_id()).unwrap().status.as_str(), "failed");
    assert_eq!(claims(&node), [] as [u32; 0]);
    assert_eq!(cluster.leader(), Some(leader), "nobody else was disturbed");
    cluster.heal();
    cluster.wait_settled(TIMEOUT).unwrap();
    let view = cluster.node(leader).unwrap().view().into_owned();
    assert_eq!(view.node(node.my_node_id()).unwrap().status.as_str(), "active");
}

#[test]
fn a_leader_that_is_not_heard_gives_up_though_it_hears_everybody() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    for other in (0..3).filter(|other| *other != leader) {
        cluster.cut_one_way(leader, other).unwrap();
    }
    let successor = cluster.wait_for_leader(TIMEOUT).unwrap();
    assert_ne!(successor, leader);
    for other in (0..3).filter(|other| *other != leader) {
        cluster.restore(leader, other).unwrap();
    }
    cluster.wait_settled(TIMEOUT).unwrap();
}

#[test]
fn two_nodes_that_are_cut_from_each_other_go_on_through_the_third() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.cut(one, other).unwrap();
    cluster.advance(Duration::from_secs(60)).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    assert_eq!(cluster.leader(), Some(leader));
    let revision = write(&cluster.node(one).unwrap(), "a", "1");
    let node = cluster.node(other).unwrap();
    node.wait_for_revision(revision, TIMEOUT).unwrap();
}

#[test]
fn a_slow_link_takes_time_of_the_clock_and_a_lossy_one_loses_nothing() {
    let cluster = TestCluster::builder()
        .partitions(4)
        .manual_clock(true)
        .start()
        .unwrap();
    let leader = cluster.leader().unwrap();
    let follower = (leader + 1) % 3;
    let far = LinkFaults::delay(Duration::from_millis(40));
    cluster.set_link(follower, leader, far).unwrap();
    cluster.set_link(leader, follower, far).unwrap();
    let node = cluster.node(follower).unwrap();
    let before = cluster.now();
    let timed_write = |value: &'static str| {
        let node = node.clone();
        let write = std::thread::spawn(move || write(&node, "a", value));
        cluster
            .wait_until("the write", TIMEOUT, || write.is_finished())
            .unwrap();
        write.join().unwrap();
    };
    timed_write("1");
    assert!(
        cluster.now() - before >= Duration::from_millis(80),
        "{:?}",
        cluster.now() - before
    );

    let lossy = LinkFaults::loss(0.3);
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            cluster.set_link(from, to, lossy).unwrap();
        }
    }
    timed_write("2");
    cluster.heal();
    // What was sent before is still under way.
    cluster.advance(Duration::from_secs(10)).unwrap();
    let before = cluster.now();
    timed_write("3");
    assert!(cluster.now() - before < Duration::from_millis(80));
    assert_eq!(read(&node, "a").unwrap(), "3");
    let error = cluster.set_link(0, 1, LinkFaults::loss(1.5)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}
