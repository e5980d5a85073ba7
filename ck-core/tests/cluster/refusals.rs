//! What must be refused, with a reason, and without changing anything.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::http::JoinNode;
use clusterkit::model::NodeStatus;
use clusterkit::{Error, ErrorCode, Options};

use crate::support::{
    PARTITIONS, TIMEOUT, TestNode, cluster, durable_cluster, founder, join, leader, options, post_join,
    settle, stop,
};

/// What of a cluster must not have changed.
fn fingerprint(node: &TestNode) -> (u64, usize, Vec<String>) {
    let view = node.kit.view();
    let nodes = view
        .nodes()
        .iter()
        .map(|node| format!("{} {} {}", node.id, node.incarnation, node.ip))
        .collect();
    (view.topology().leader_epoch, view.nodes().len(), nodes)
}

/// Starts a node that must be refused by a cluster, and shows that this changed nothing.
fn refused(nodes: &[TestNode], options: Options) -> Error {
    let before: Vec<_> = nodes.iter().map(fingerprint).collect();
    let error = TestNode::start(options).err().expect("it should be refused");
    for (node, before) in nodes.iter().zip(before) {
        node.kit.read_barrier(TIMEOUT).unwrap();
        assert_eq!(fingerprint(node), before, "something changed on {}", node.id());
    }
    nodes[0]
        .kit
        .set_custom_data("still", "writable", Expect::Any, TIMEOUT)
        .unwrap();
    error
}

fn through(mut options: Options, nodes: &[TestNode]) -> Options {
    options.join_addrs = nodes.iter().map(TestNode::addr).collect();
    options
}

#[test]
fn a_second_live_node_with_the_same_id() {
    let nodes = cluster(3);
    for twin in ["node-2", "node-1"] {
        let error = refused(&nodes, through(options(twin), &nodes[..1]));
        assert_eq!(error.code(), ErrorCode::DuplicateNode, "{error}");
        assert!(error.message().contains(twin), "{error}");
    }
    stop(nodes);
}

#[test]
fn the_data_of_another_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let others = tempfile::tempdir().unwrap();
    let nodes = durable_cluster(1, dir.path());
    // A whole other cluster of the same name; one of its nodes is told to join the first.
    let mut theirs = durable_cluster(2, others.path());
    let stray = theirs.pop().unwrap();
    stray.kit.stop().unwrap();
    let mut options = through(stray.options.clone(), &nodes);
    stop(theirs);
    let before = fingerprint(&nodes[0]);
    // Its own cluster is away, and the other one is nobody to it: it goes on looking for its own.
    options.join_timeout = Duration::from_secs(2);
    let stray = TestNode::start(options).unwrap();
    let waits = stray.kit.waiting_for().unwrap().expect("it is no member");
    assert!(waits.contains("another cluster"), "{waits}");
    assert_eq!(fingerprint(&nodes[0]), before);
    stop(vec![stray]);
    stop(nodes);
}

#[test]
fn another_cluster_name() {
    let nodes = cluster(1);
    let mut options = through(options("node-2"), &nodes);
    options.cluster_name = "other".to_owned();
    let error = refused(&nodes, options);
    assert_eq!(error.code(), ErrorCode::WrongCluster, "{error}");
    let own = nodes[0].options.cluster_name.clone();
    assert!(
        error.message().contains("\"other\"") && error.message().contains(&format!("{own:?}")),
        "both names: {error}"
    );
    stop(nodes);
}

#[test]
fn another_partition_count() {
    let nodes = cluster(2);
    for member in 0..2 {
        let mut options = through(options("node-3"), &nodes[member..=member]);
        options.partition_count = Some(PARTITIONS + 8);
        let error = refused(&nodes, options);
        assert_eq!(error.code(), ErrorCode::ClusterMismatch, "{error}");
        for value in [PARTITIONS, PARTITIONS + 8] {
            assert!(
                error.message().contains(&value.to_string()),
                "both values: {error}"
            );
        }
    }
    // One that did not ask gets the cluster's.
    let mut nodes = nodes;
    nodes.push(join(options("node-3"), &nodes[..1]).unwrap());
    settle(&nodes);
    assert_eq!(nodes[2].kit.view().partition_count(), PARTITIONS);
    stop(nodes);
}

#[test]
fn a_founder_that_comes_back_with_other_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(1, dir.path());
    let node = nodes.remove(0);
    node.kit.stop().unwrap();
    let mut other = node.options.clone();
    other.partition_count = Some(PARTITIONS * 2);
    let error = TestNode::start(other).err().expect("it is fixed");
    assert_eq!(error.code(), ErrorCode::ClusterMismatch, "{error}");
    let nodes = vec![node.start_again()];
    settle(&nodes);
    stop(nodes);
}

#[test]
fn a_data_dir_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = durable_cluster(1, dir.path());
    let mut second = nodes[0].options.clone();
    second.http_addr = "127.0.0.1:0".to_owned();
    let error = refused(&nodes, second);
    assert_eq!(error.code(), ErrorCode::DataDirInUse, "{error}");
    assert!(error.message().contains(&nodes[0].options.data_dir), "{error}");
    stop(nodes);
}

#[test]
fn a_port_in_use() {
    let nodes = cluster(1);
    let mut options = through(options("node-2"), &nodes);
    options.http_addr = nodes[0].addr();
    let error = refused(&nodes, options);
    assert_eq!(error.code(), ErrorCode::AddressInUse, "{error}");
    assert!(error.message().contains(&nodes[0].addr()), "{error}");
    stop(nodes);
}

#[test]
fn nobody_to_join_names_what_was_tried() {
    let gone = TestNode::start(founder("gone")).unwrap();
    let dead = gone.addr();
    gone.kit.stop().unwrap();
    let mut options = options("node-2");
    options.join_addrs = vec![dead.clone(), "nowhere.invalid:80".to_owned()];
    options.join_timeout = Duration::from_millis(500);
    let error = TestNode::start(options).err().expect("nobody is there");
    assert_eq!(error.code(), ErrorCode::JoinFailed, "{error}");
    assert!(
        error.message().contains(&dead) && error.message().contains("nowhere.invalid:80"),
        "{error}"
    );
}

#[test]
fn only_itself_to_join() {
    let gone = TestNode::start(founder("gone")).unwrap();
    let own = gone.addr();
    gone.kit.stop().unwrap();
    let mut options = options("node-2");
    options.http_addr.clone_from(&own);
    options.join_addrs = vec![own];
    options.join_timeout = Duration::from_millis(300);
    let error = TestNode::start(options).err().expect("it is alone");
    assert_eq!(error.code(), ErrorCode::JoinFailed, "{error}");
}

#[test]
fn a_joiner_that_gives_a_dead_address_costs_nothing() {
    for n in [1, 3] {
        let nodes = cluster(n);
        let before: Vec<_> = nodes.iter().map(fingerprint).collect();
        let dead = JoinNode {
            id: "liar".to_owned(),
            ip: "127.0.0.1:1".to_owned(),
            ..JoinNode::default()
        };
        for target in &nodes {
            let error = post_join(target, dead.clone(), "127.0.0.1:1").unwrap_err();
            assert_eq!(error.code(), ErrorCode::JoinRefused, "{error}");
            assert!(error.message().contains("127.0.0.1:1"), "{error}");
        }
        // An address where somebody else answers is no better.
        let error = post_join(&nodes[0], dead, &nodes[n - 1].addr()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::JoinRefused, "{error}");
        // Nor can it take a member's place.
        let twin = JoinNode {
            id: "node-1".to_owned(),
            ip: "127.0.0.1:1".to_owned(),
            ..JoinNode::default()
        };
        let error = post_join(&nodes[0], twin, "127.0.0.1:1").unwrap_err();
        assert_eq!(error.code(), ErrorCode::DuplicateNode, "{error}");
        leader(&nodes);
        for (node, before) in nodes.iter().zip(before) {
            node.kit.set_custom_data("k", "v", Expect::Any, TIMEOUT).unwrap();
            assert_eq!(fingerprint(node), before);
        }
        stop(nodes);
    }
}

#[test]
fn nobody_can_be_joined_by_somebody_else() {
    // A node that answers pings, and has not asked to be let in: somebody else says that it has.
    let nodes = cluster(3);
    let mut waiting = options("half");
    waiting.join_addrs = vec!["127.0.0.1:1".to_owned()];
    waiting.join_timeout = TIMEOUT;
    let kit = clusterkit::ClusterKit::new(waiting).unwrap();
    let starting = kit.clone();
    let starts = std::thread::spawn(move || starting.start());
    crate::support::until("it listens", || kit.http_addr().is_some());
    let addr = kit.http_addr().unwrap();
    let half = JoinNode {
        id: "half".to_owned(),
        ip: addr.clone(),
        ..JoinNode::default()
    };
    // Its process number is not told: the lie is noticed.
    let error = post_join(&nodes[0], half, &addr).unwrap_err();
    assert_eq!(error.code(), ErrorCode::JoinRefused, "{error}");
    // It waits for a cluster; stopping it breaks that off.
    let began = std::time::Instant::now();
    kit.stop().unwrap();
    let broken_off = starts.join().unwrap().unwrap_err();
    assert_eq!(broken_off.code(), ErrorCode::Stopped, "{broken_off}");
    assert!(began.elapsed() < TIMEOUT / 3, "it waited for its own timeout");
    for node in &nodes {
        assert!(
            node.kit
                .view()
                .nodes()
                .iter()
                .all(|node| node.status == NodeStatus::Active && &*node.id != "half")
        );
    }
    stop(nodes);
}
