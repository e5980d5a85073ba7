//! Nodes that stop, die and come back.

use std::collections::BTreeMap;

use clusterkit::Expect;
use clusterkit::model::{EventKind, LeaveReason, NodeStatus};

use crate::support::{TIMEOUT, TestNode, copies, durable_cluster, follower, leader, settle, stop, until};

/// Who was told to have come back, by one node.
fn rejoined(node: &TestNode) -> Vec<String> {
    node.told(|kind| match kind {
        EventKind::NodeRejoin(event) => Some(event.node.id.to_string()),
        _ => None,
    })
}

fn left(node: &TestNode) -> Vec<(String, LeaveReason)> {
    node.told(|kind| match kind {
        EventKind::NodeLeave(event) => Some((event.node.id.to_string(), event.reason)),
        _ => None,
    })
}

fn restart_one(which: impl Fn(&[TestNode]) -> usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    let revision = nodes[0]
        .kit
        .set_custom_data("a", "1", Expect::Any, TIMEOUT)
        .unwrap();
    let before: Vec<BTreeMap<_, _>> = nodes.iter().map(copies).collect();
    let gone = which(&nodes);
    let node = nodes.remove(gone);
    let id = node.id().to_owned();
    let addr = node.addr();
    nodes.insert(gone, node.restart());
    settle(&nodes);
    assert_eq!(nodes[gone].addr(), addr);
    nodes[gone].kit.wait_for_revision(revision, TIMEOUT).unwrap();
    assert_eq!(&nodes[gone].kit.custom_data("a").unwrap().value[..], b"1");
    for (node, before) in nodes.iter().zip(&before) {
        assert_eq!(&copies(node), before, "no copy moved");
        until("the rejoin is told", || !rejoined(node).is_empty());
        assert_eq!(rejoined(node), [id.as_str()], "told once on {}", node.id());
    }
    // Defect 12: what happened before is not told again to the one that was away.
    let incarnation = nodes[gone].kit.view().my_node().unwrap().incarnation;
    for event in nodes[gone].events() {
        assert!(
            event.revision >= incarnation,
            "revision {} is history: {event:?}",
            event.revision
        );
    }
    stop(nodes);
}

#[test]
fn a_follower_restarts_and_nothing_moves() {
    restart_one(follower);
}

#[test]
fn the_leader_restarts_and_nothing_moves() {
    restart_one(leader);
}

#[test]
fn a_single_node_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(1, dir.path());
    let mut expected = Vec::new();
    for round in 0..3 {
        let key = format!("k{round}");
        let node = nodes.remove(0);
        node.kit
            .set_custom_data(&key, "v", Expect::Absent, TIMEOUT)
            .unwrap();
        expected.push(key);
        nodes.push(node.restart());
        settle(&nodes);
        assert_eq!(nodes[0].kit.list_custom_data_keys("k", None, 10), expected);
        until("primaries again", || nodes[0].kit.is_primary(0));
    }
    stop(nodes);
}

#[test]
fn the_whole_cluster_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = durable_cluster(3, dir.path());
    let revision = nodes[1]
        .kit
        .set_custom_data("a", "1", Expect::Any, TIMEOUT)
        .unwrap();
    let before = copies(&nodes[0]);
    let epoch = nodes[0].kit.view().topology().leader_epoch;
    for node in &nodes {
        node.kit.stop().unwrap();
    }
    let threads: Vec<_> = nodes
        .into_iter()
        .map(|node| std::thread::spawn(move || node.start_again()))
        .collect();
    let nodes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    settle(&nodes);
    leader(&nodes);
    for node in &nodes {
        assert_eq!(copies(node), before);
        node.kit.wait_for_revision(revision, TIMEOUT).unwrap();
        assert_eq!(&node.kit.custom_data("a").unwrap().value[..], b"1");
        assert!(
            node.kit.view().topology().leader_epoch > epoch,
            "epochs only grow"
        );
    }
    nodes[2]
        .kit
        .set_custom_data("b", "2", Expect::Any, TIMEOUT)
        .unwrap();
    stop(nodes);
}

#[test]
fn the_whole_cluster_is_killed_and_restarts_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = durable_cluster(3, dir.path());
    nodes[1]
        .kit
        .set_custom_data("a", "1", Expect::Any, TIMEOUT)
        .unwrap();
    let before = copies(&nodes[0]);
    // Dropped without a word: nobody says goodbye.
    let threads: Vec<_> = nodes
        .into_iter()
        .map(|node| std::thread::spawn(move || node.start_again()))
        .collect();
    let nodes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    settle(&nodes);
    for node in &nodes {
        assert_eq!(copies(node), before);
        node.kit.read_barrier(TIMEOUT).unwrap();
        assert_eq!(&node.kit.custom_data("a").unwrap().value[..], b"1");
    }
    stop(nodes);
}

#[test]
fn a_member_that_died_and_comes_back_at_once_is_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    let before = copies(&nodes[0]);
    for _ in 0..3 {
        let dies = leader(&nodes);
        let node = nodes.remove(dies);
        nodes.insert(dies, node.start_again());
        settle(&nodes);
        nodes[0]
            .kit
            .set_custom_data("k", "v", Expect::Any, TIMEOUT)
            .unwrap();
    }
    for node in &nodes {
        assert_eq!(copies(node), before);
    }
    stop(nodes);
}

#[test]
fn a_stop_is_told_and_primaries_move_at_once_to_live_copies() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    for round in 0..2 {
        let goes = if round == 0 {
            follower(&nodes)
        } else {
            leader(&nodes)
        };
        let node = nodes.remove(goes);
        let id = node.id().to_owned();
        let holders = copies(&node);
        node.kit.stop().unwrap();
        node.kit.stop().unwrap();
        for other in &nodes {
            until("the leave is told", || {
                left(other).last() == Some(&(id.clone(), LeaveReason::GracefulShutdown))
            });
            let told = left(other).into_iter().filter(|(left, _)| *left == id).count();
            assert_eq!(told, 1, "told once on {}", other.id());
            until("all primaries are elsewhere", || {
                let view = other.kit.view();
                view.topology().partitions.iter().all(|partition| {
                    partition
                        .primary
                        .as_deref()
                        .is_some_and(|primary| primary != id && partition.is_synced(primary))
                })
            });
            let status = other.kit.view().node(&id).unwrap().status;
            assert_eq!(status, NodeStatus::Stopped);
            assert_eq!(copies(other), holders, "its copies wait for it");
        }
        nodes[0]
            .kit
            .set_custom_data("k", "v", Expect::Any, TIMEOUT)
            .unwrap();
        nodes.insert(goes, node.start_again());
        settle(&nodes);
    }
    stop(nodes);
}
