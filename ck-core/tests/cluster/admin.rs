//! Removing members.

use clusterkit::ErrorCode;
use clusterkit::Expect;
use clusterkit::model::{EventKind, LeaveReason};

use crate::support::{TIMEOUT, TestNode, cluster, durable_cluster, follower, leader, settle, stop, until};

#[test]
fn a_member_is_removed_and_its_partitions_are_copied_elsewhere() {
    let mut nodes = cluster(4);
    let goes = follower(&nodes);
    let gone = nodes.remove(goes);
    let revision = nodes[0].kit.remove_node(gone.id(), TIMEOUT).unwrap();
    assert!(nodes[0].kit.view().revision() >= revision);
    assert!(nodes[0].kit.view().node(gone.id()).is_none());
    settle(&nodes);
    for node in &nodes {
        let told = node.told(|kind| match kind {
            EventKind::NodeLeave(event) => Some((event.node.id.to_string(), event.reason)),
            _ => None,
        });
        assert_eq!(told, [(gone.id().to_owned(), LeaveReason::RemovedByAdmin)]);
        until("Raft without it", || node.kit.consensus_stats().num_peers == 2);
    }
    // The one that was removed finds out, and acts as nothing any more.
    until("the removed one knows", || {
        gone.kit.health_check().message.contains("REMOVED")
    });
    assert!(!gone.kit.is_leader());
    assert!((0..crate::support::PARTITIONS).all(|partition| !gone.kit.is_primary(partition)));
    gone.kit.stop().unwrap();
    stop(nodes);
}

#[test]
fn a_removed_node_with_its_old_data_is_refused_and_without_it_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    let goes = follower(&nodes);
    let gone = nodes.remove(goes);
    let mut options = gone.options.clone();
    let old_raft_id = gone.kit.view().my_node().unwrap().raft_id;
    gone.kit.stop().unwrap();
    drop(gone);
    nodes[0].kit.remove_node(&options.node_id, TIMEOUT).unwrap();
    // It joined through somebody, or is asked to: either way it must hear the refusal.
    options.join_addrs = vec![nodes[0].addr()];
    let error = TestNode::start(options.clone()).err().expect("it was removed");
    assert_eq!(error.code(), ErrorCode::Removed, "{error}");
    assert!(error.message().contains("was removed"), "{error}");
    assert_eq!(nodes[0].kit.view().nodes().len(), 2);

    std::fs::remove_dir_all(&options.data_dir).unwrap();
    nodes.push(TestNode::start(options).unwrap());
    settle(&nodes);
    let raft_id = nodes.last().unwrap().kit.view().my_node().unwrap().raft_id;
    assert!(raft_id > old_raft_id, "Raft ids are never reused");
    stop(nodes);
}

#[test]
fn what_cannot_be_removed_is_refused_with_the_reason() {
    let nodes = cluster(3);
    let leads = leader(&nodes);
    let asks = follower(&nodes);
    for node in [&nodes[leads], &nodes[asks]] {
        let unknown = node.kit.remove_node("nobody", TIMEOUT).unwrap_err();
        assert_eq!(unknown.code(), ErrorCode::NotFound, "{unknown}");
        let itself = node.kit.remove_node(nodes[leads].id(), TIMEOUT).unwrap_err();
        assert_eq!(itself.code(), ErrorCode::Refused, "{itself}");
        assert!(itself.message().contains("step down first"), "{itself}");
    }
    for node in &nodes {
        assert_eq!(node.kit.view().nodes().len(), 3);
    }
    stop(nodes);

    let alone = cluster(1);
    let last = alone[0].kit.remove_node("node-1", TIMEOUT).unwrap_err();
    assert_eq!(last.code(), ErrorCode::Refused, "{last}");
    alone[0]
        .kit
        .set_custom_data("k", "v", Expect::Any, TIMEOUT)
        .unwrap();
    stop(alone);
}

#[test]
fn dead_members_are_removed_until_one_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    while nodes.len() > 1 {
        let goes = follower(&nodes);
        let gone = nodes.remove(goes);
        gone.kit.stop().unwrap();
        nodes[0].kit.remove_node(gone.id(), TIMEOUT).unwrap();
        settle(&nodes);
        leader(&nodes);
        nodes[0]
            .kit
            .set_custom_data("k", gone.id().to_owned(), Expect::Any, TIMEOUT)
            .unwrap();
    }
    let view = nodes[0].kit.view();
    assert_eq!(view.nodes().len(), 1);
    stop(nodes);
}

#[test]
fn everybody_knows_who_they_are_after_a_removal() {
    let mut nodes = cluster(4);
    let goes = (0..4).find(|i| *i != leader(&nodes)).unwrap();
    let gone = nodes.remove(goes);
    nodes[0].kit.remove_node(gone.id(), TIMEOUT).unwrap();
    gone.kit.stop().unwrap();
    settle(&nodes);
    for node in &nodes {
        assert_eq!(&*node.kit.view().my_node().unwrap().id, node.id());
        assert_eq!(&*node.kit.health_check().node_id, node.id());
        for known in node.kit.view().nodes() {
            assert_eq!(node.kit.view().node(&known.id).unwrap().id, known.id);
        }
    }
    stop(nodes);
}
