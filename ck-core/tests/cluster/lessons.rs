//! What earlier systems got wrong with several nodes.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clusterkit::Expect;
use clusterkit::model::Role;
use clusterkit::{ClusterKit, ErrorCode};
use hyper::StatusCode;

use crate::support::{
    PARTITIONS, TIMEOUT, TestNode, cluster, copies, durable_cluster, follower, founder, join, leader,
    options, post_join, send, settle, step_down, stop, until,
};

/// Short: nobody answers any more.
const SHORT: Duration = Duration::from_millis(300);

fn status(addr: &str, path: &str) -> StatusCode {
    send("GET", addr, path, Vec::new()).0
}

/// The probe of a StatefulSet lets the second pod start only when the first is ready, and asks each one that
/// waits for the cluster whether it lives.
#[test]
fn readiness_needs_no_other_node_and_waiting_for_the_cluster_is_no_death() {
    // A node alone is ready, however many copies are wanted.
    let first = TestNode::start(founder("node-1")).unwrap();
    until("one node is ready", || status(&first.addr(), "/ready") == 200);
    let addr = first.addr();
    first.kit.stop().unwrap();

    // One that waits for others lives and is not ready; it joins as soon as somebody is there.
    let mut waits = options("node-2");
    waits.join_addrs = vec![addr.clone()];
    let kit = ClusterKit::new(waits).unwrap();
    let starting = kit.clone();
    let starts = std::thread::spawn(move || starting.start());
    until("it listens", || kit.http_addr().is_some());
    let second = kit.http_addr().unwrap();
    assert_eq!(status(&second, "/health"), 200);
    assert_eq!(status(&second, "/ready"), 503);
    let mut first = founder("node-1");
    first.http_addr = addr;
    let first = TestNode::start(first).unwrap();
    starts.join().unwrap().unwrap();
    for addr in [first.addr(), second] {
        until("both are ready", || status(&addr, "/ready") == 200);
    }
    kit.stop().unwrap();
    stop(vec![first]);
}

/// All that a node says of its own part.
fn own_part(node: &TestNode) -> Vec<(bool, Option<Role>)> {
    (0..PARTITIONS)
        .map(|number| (node.kit.is_primary(number), node.kit.role(number)))
        .collect()
}

/// An earlier system wrote its own map before the commit, and never took it back.
fn fails_without_a_trace(survivor: impl Fn(&[TestNode]) -> usize) {
    let mut nodes = cluster(3);
    let left = survivor(&nodes);
    let left = nodes.remove(left);
    let addrs: Vec<String> = nodes.iter().map(TestNode::addr).collect();
    // They die without a word: nothing can be committed from here on. Nodes of another cluster get their ports.
    drop(nodes);
    let mut squatters = Vec::new();
    for addr in addrs {
        until("it is gone", || TcpStream::connect(&addr).is_err());
        let mut squatter = founder("node-9");
        squatter.http_addr = addr;
        squatters.extend(TestNode::start(squatter));
    }
    // A leader may still say so that there is nothing to do, for as long as its lease lasts.
    until("nobody leads", || !left.kit.is_leader());
    let (before, part) = (copies(&left), own_part(&left));
    for _ in 0..3 {
        for call in [ClusterKit::create_partitions, ClusterKit::rebalance_partitions] {
            let error = call(&left.kit, SHORT).unwrap_err();
            assert!(error.is_retriable(), "{error}");
            assert_eq!(copies(&left), before, "the map changed");
            for (number, (now, then)) in own_part(&left).into_iter().zip(&part).enumerate() {
                // A role may end meanwhile, with the lease; none may begin.
                assert!(
                    !now.0 || then.0,
                    "primary of partition {number} by a call that failed"
                );
                assert!(now.1.is_none() || now.1 == then.1, "partition {number}: {now:?}");
            }
        }
    }
    drop(left);
}

#[test]
fn a_followers_call_that_fails_leaves_its_map_alone() {
    fails_without_a_trace(follower);
}

#[test]
fn a_cut_off_leaders_call_that_fails_leaves_its_map_alone() {
    fails_without_a_trace(leader);
}

/// An earlier system's rejoining pod was listed at its new address and never got the log.
#[test]
fn a_node_that_returns_at_another_address_is_known_there_by_all_and_gets_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    for moves in [follower(&nodes), leader(&nodes)] {
        let before = copies(&nodes[moves]);
        let mut node = nodes.remove(moves);
        let old = node.addr();
        node.kit.stop().unwrap();
        // What it missed, it has to be sent at its new address.
        let missed = nodes[0]
            .kit
            .set_custom_data("missed", old.clone(), Expect::Any, TIMEOUT)
            .unwrap();
        // Somebody else has its old port.
        let squatter = std::net::TcpListener::bind(&old);
        node.options.http_addr = "127.0.0.1:0".to_owned();
        nodes.insert(moves, node.start_again());
        settle(&nodes);
        let new = nodes[moves].addr();
        assert_ne!(old, new);
        let id = nodes[moves].id().to_owned();
        for node in &nodes {
            let view = node.kit.view();
            let known = view.node(&id).unwrap();
            assert_eq!(
                (&*known.ip, &*known.peer_addr),
                (&*new, &*new),
                "on {}",
                node.id()
            );
        }
        assert_eq!(copies(&nodes[moves]), before, "no copy moved");
        nodes[moves].kit.wait_for_revision(missed, TIMEOUT).unwrap();
        assert_eq!(
            &nodes[moves].kit.custom_data("missed").unwrap().value[..],
            old.as_bytes()
        );
        let later = nodes[0]
            .kit
            .set_custom_data("later", new.clone(), Expect::Any, TIMEOUT)
            .unwrap();
        nodes[moves].kit.wait_for_revision(later, TIMEOUT).unwrap();
        assert_eq!(nodes[moves].kit.consensus_stats().num_peers, 2);
        drop(squatter);
    }
    stop(nodes);
}

/// An earlier system's `/join` with an id that exists overwrote that node's address.
#[test]
fn a_join_with_the_id_of_a_living_node_leaves_its_address_alone() {
    use clusterkit::http::JoinNode;
    let nodes = cluster(3);
    let stranger = TestNode::start(founder("stranger")).unwrap();
    let addresses = |node: &TestNode| -> Vec<(String, String)> {
        let view = node.kit.view();
        let of = |node: &Arc<clusterkit::model::Node>| (node.ip.to_string(), node.peer_addr.to_string());
        view.nodes().iter().map(of).collect()
    };
    let before = addresses(&nodes[0]);
    // Nobody there, a node of another cluster, another member, and itself.
    for place in [
        "127.0.0.1:1".to_owned(),
        stranger.addr(),
        nodes[0].addr(),
        nodes[1].addr(),
    ] {
        for asked in &nodes {
            let twin = JoinNode {
                id: "node-2".to_owned(),
                ip: place.clone(),
                ..JoinNode::default()
            };
            let error = post_join(asked, twin, &place).unwrap_err();
            assert_eq!(error.code(), ErrorCode::DuplicateNode, "{place}: {error}");
        }
    }
    for node in &nodes {
        node.kit.read_barrier(TIMEOUT).unwrap();
        assert_eq!(addresses(node), before, "on {}", node.id());
    }
    stop(vec![stranger]);
    stop(nodes);
}

/// One answer of each call that reads, held to what must be true of any one revision.
fn check_answers(kit: &ClusterKit, seen: &mut (u64, u64)) {
    let view = kit.view();
    assert!(view.revision() >= seen.0, "revisions only grow");
    seen.0 = view.revision();
    let mut primaries = 0;
    for partition in view.partitions() {
        let record = partition.record();
        let holders = record.replica_nodes.iter().chain(&record.pending);
        for holder in holders
            .clone()
            .chain(Some(&record.primary_node).filter(|id| !id.is_empty()))
        {
            assert!(
                view.node(holder).is_some(),
                "{holder} holds {record:?} and is no member"
            );
        }
        assert!(holders.clone().all(|id| *id != record.primary_node), "{record:?}");
        let mine = record.primary_node == *view.my_id();
        assert_eq!(view.is_primary(record.number), mine, "{record:?}");
        assert_eq!(partition.primary().map(|node| &node.id), {
            Some(&record.primary_node).filter(|id| !id.is_empty())
        });
        primaries += usize::from(!record.primary_node.is_empty());
    }
    let stats = view.partition_stats();
    assert_eq!(stats.partitions_per_node.values().sum::<usize>(), primaries);
    for key in [&b"a"[..], b"user:1", b"\xff"] {
        let partition = view.partition(key).unwrap();
        assert_eq!(Some(partition.record().number), kit.partition_number(key));
        assert_eq!(view.primary_node(key), partition.primary());
        let all: Vec<_> = view
            .all_nodes_for_key(key)
            .unwrap()
            .map(|node| &node.id)
            .collect();
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len(), "a node twice in {all:?}");
    }
    assert_eq!(view.list_partitions().len(), PARTITIONS as usize);

    let whole = kit.cluster();
    assert!(whole.revision >= seen.0, "revisions only grow");
    seen.0 = whole.revision;
    let member = |id: &str| whole.nodes.iter().any(|node| &*node.id == id);
    assert_eq!(whole.partition_map.partitions.len(), PARTITIONS as usize);
    for (id, record) in &whole.partition_map.partitions {
        assert_eq!(*id, record.id);
        let holders = record.replica_nodes.iter().chain(&record.pending);
        for holder in holders.chain(Some(&record.primary_node).filter(|id| !id.is_empty())) {
            assert!(member(holder), "{holder} holds {record:?} and is no member");
        }
    }
    assert!(
        whole.leader.is_empty() || member(&whole.leader),
        "{} leads",
        whole.leader
    );
    if let Some(leader) = kit.leader() {
        assert!(leader.epoch >= seen.1, "epochs only grow");
        assert!(!leader.leader_ip.is_empty());
        seen.1 = leader.epoch;
    }
    assert!(kit.metrics().node_count >= 3);
    assert_eq!(kit.health_check().node_id, *kit.my_node_id());
    assert!(kit.consensus_stats().num_peers <= 4);
    assert!(kit.node_health("node-1").is_ok());
    assert!(kit.list_custom_data_keys("", None, 10).len() <= 1);
}

/// An earlier system's calls shared maps that the log wrote, without its lock.
#[test]
fn no_answer_is_torn_while_nodes_come_and_go_and_partitions_move() {
    let mut nodes = cluster(3);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (kit, done) = (node.kit.clone(), done.clone());
            std::thread::spawn(move || {
                let (mut seen, mut rounds) = ((0, 0), 0_usize);
                while !done.load(Ordering::Relaxed) {
                    check_answers(&kit, &mut seen);
                    rounds += 1;
                    // The nodes have the same two cores.
                    std::thread::yield_now();
                }
                rounds
            })
        })
        .collect();
    let before = nodes[0].kit.view().revision();
    for round in 0..2 {
        nodes.push(join(options("node-4"), &nodes[..1]).unwrap());
        settle(&nodes);
        step_down(&nodes[round]);
        nodes[0]
            .kit
            .set_custom_data("k", "v", Expect::Any, TIMEOUT)
            .unwrap();
        let goes = nodes.pop().unwrap();
        goes.kit.stop().unwrap();
        nodes[1].kit.remove_node(goes.id(), TIMEOUT).unwrap();
        settle(&nodes);
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0, "a reader never read");
    }
    assert!(nodes[0].kit.view().revision() > before);
    stop(nodes);
}
