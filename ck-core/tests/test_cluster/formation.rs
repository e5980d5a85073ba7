//! How clusters come about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::model::NodeStatus;
use clusterkit::testing::TestCluster;

use crate::{TIMEOUT, read, three, write};

#[test]
fn three_nodes_form_a_cluster_that_is_used_as_any_other() {
    let cluster = TestCluster::start(3).unwrap();
    assert_eq!(cluster.node_count(), 3);
    let leader = cluster.leader().unwrap();
    assert!(cluster.node(leader).unwrap().is_leader());
    for node in cluster.nodes() {
        assert_eq!(node.view().nodes().len(), 3);
        assert_eq!(node.view().partition_count(), 64);
        assert!(
            node.view()
                .partitions()
                .all(|partition| partition.nodes().count() == 3)
        );
        assert_eq!(node.waiting_for().unwrap(), None);
    }
    let nodes = cluster.nodes();
    let revision = write(&nodes[1], "a", "1");
    nodes[2].wait_for_revision(revision, TIMEOUT).unwrap();
    assert_eq!(read(&nodes[2], "a").unwrap(), "1");
    let primary = cluster.primary_of(b"key").unwrap();
    assert!(nodes[primary].is_primary_for_key(b"key"));
    assert_eq!(cluster.index_of("node-2"), Some(2));
    assert_eq!(cluster.index_of("node-3"), None);
}

#[test]
fn one_node_is_a_cluster() {
    let cluster = TestCluster::start(1).unwrap();
    assert_eq!(cluster.leader(), Some(0));
    assert_eq!(cluster.primary_of(b"key"), Some(0));
    write(&cluster.node(0).unwrap(), "a", "1");
}

#[test]
fn nodes_have_the_options_that_they_are_given_and_are_prepared_before_they_start() {
    let prepared = Arc::new(AtomicUsize::new(0));
    let seen = prepared.clone();
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(5)
        .replication_factor(2)
        .options(|index, options| {
            options.node_id = format!("db-{index}");
            options.zone = Some(format!("zone-{index}"));
            options
                .services
                .insert("sql".to_owned(), format!(":{}", 5000 + index));
            options.data_dir = "/somewhere/else".to_owned();
        })
        .prepare(move |index, node| {
            assert_eq!(&**node.my_node_id(), format!("db-{index}"));
            assert_eq!(node.http_addr(), None, "it does not run yet");
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .start()
        .unwrap();
    assert_eq!(prepared.load(Ordering::Relaxed), 2);
    let view = cluster.node(0).unwrap().view().into_owned();
    assert_eq!(view.partition_count(), 5);
    assert_eq!(view.topology().config.replication_factor, 2);
    let other = view.node("db-1").unwrap();
    assert_eq!(other.zone.as_deref(), Some("zone-1"));
    assert_eq!(other.services["sql"], ":5001");
    assert_eq!(Some(&other.ip), cluster.node(1).unwrap().http_addr().as_ref());
    // A restart prepares the new process, too.
    cluster.stop(1).unwrap();
    cluster.restart(1).unwrap();
    assert_eq!(prepared.load(Ordering::Relaxed), 3);
}

#[test]
fn nodes_are_added_and_get_their_share() {
    let cluster = TestCluster::builder().nodes(1).partitions(12).start().unwrap();
    assert_eq!(cluster.add_node().unwrap(), 1);
    // The application may start its node itself.
    let index = cluster.create_node().unwrap();
    let node = cluster.node(index).unwrap();
    assert!(!cluster.is_running(index));
    node.start().unwrap();
    assert!(cluster.is_running(index));
    cluster.wait_settled(TIMEOUT).unwrap();
    for node in cluster.nodes() {
        let primaries = node
            .view()
            .partitions()
            .filter(|partition| partition.is_primary())
            .count();
        assert_eq!(primaries, 4);
    }
    let view = node.view();
    assert!(view.nodes().iter().all(|node| node.status == NodeStatus::Active));
}

#[test]
fn what_cannot_be_is_refused() {
    let code = |outcome: clusterkit::Result<TestCluster>| outcome.unwrap_err().code();
    assert_eq!(code(TestCluster::start(0)), ErrorCode::InvalidArgument);
    assert_eq!(code(TestCluster::start(1001)), ErrorCode::InvalidArgument);
    assert_eq!(
        code(TestCluster::builder().partitions(0).start()),
        ErrorCode::InvalidOption
    );
    let unprepared =
        TestCluster::builder().prepare(|_, _| Err(clusterkit::Error::new(ErrorCode::Refused, "not today")));
    assert_eq!(code(unprepared.start()), ErrorCode::Refused);

    let cluster = TestCluster::start(1).unwrap();
    let code = |outcome: clusterkit::Result<()>| outcome.unwrap_err().code();
    assert_eq!(code(cluster.node(1).map(drop)), ErrorCode::NotFound);
    assert_eq!(code(cluster.kill(1)), ErrorCode::NotFound);
    assert_eq!(code(cluster.restart(0).map(drop)), ErrorCode::Refused);
    cluster.kill(0).unwrap();
    assert_eq!(code(cluster.kill(0)), ErrorCode::Refused);
    assert_eq!(code(cluster.stop(0)), ErrorCode::Refused);
    assert_eq!(code(cluster.pause(0)), ErrorCode::Refused);
    let node = cluster.node(0).unwrap();
    assert_eq!(code(node.read_barrier(TIMEOUT).map(drop)), ErrorCode::Stopped);
}

#[test]
fn an_error_of_a_wait_says_what_is_missing() {
    let cluster = three();
    let timeout = Duration::from_millis(1);
    cluster.kill(0).unwrap();
    cluster.kill(1).unwrap();
    cluster.advance(Duration::from_secs(30)).unwrap();
    let error = cluster.wait_for_leader(timeout).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.message().contains("no node leads"), "{error}");
    assert!(error.message().contains("node-2: waits for"), "{error}");
    let error = cluster.wait_until("Godot", timeout, || false).unwrap_err();
    assert!(error.message().contains("Godot"), "{error}");
}

#[test]
fn many_clusters_live_side_by_side() {
    std::thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                let cluster = three();
                let value = number.to_string();
                write(&cluster.node(0).unwrap(), "own", &value);
                let time = Duration::from_secs(number * 3);
                let before = cluster.now();
                cluster.advance(time).unwrap();
                // Clocks are moved one by one; how much real time has passed meanwhile is unknown.
                assert!(cluster.now() - before >= time);
                cluster.wait_settled(TIMEOUT).unwrap();
                for node in cluster.nodes() {
                    assert_eq!(read(&node, "own").unwrap(), value);
                }
            });
        }
    });
}
