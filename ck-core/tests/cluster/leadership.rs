//! Handing leadership over.

use std::time::{Duration, Instant};

use clusterkit::ErrorCode;
use clusterkit::Expect;
use clusterkit::model::EventKind;

use crate::support::{TIMEOUT, TestNode, cluster, founder, leader, settle, step_down, stop, until};

#[test]
fn stepping_down_gives_another_leader_soon() {
    let nodes = cluster(3);
    for caller in 0..3 {
        // From any node: it is the leader that steps down. An attempt that is refused on a busy machine may
        // change the leader too, so all is read anew for each.
        let (before, epoch, next, after) = loop {
            let before = leader(&nodes);
            let Ok(epoch) = nodes[before].kit.leader_epoch() else {
                continue;
            };
            let began = Instant::now();
            match nodes[caller].kit.step_down() {
                Ok(next) => {
                    assert!(began.elapsed() < Duration::from_secs(10), "it took long");
                    let after = leader(&nodes);
                    // A busy machine may have had another election since: that says nothing of this one.
                    if nodes[after].kit.leader_epoch().is_ok_and(|now| now == epoch + 1) {
                        break (before, epoch, next, after);
                    }
                }
                Err(error) => assert!(
                    error.is_retriable() || error.code() == ErrorCode::Refused,
                    "{error}"
                ),
            }
        };
        assert_ne!(&*next, nodes[before].id());
        assert_eq!(nodes[after].id(), &*next);
        assert!(!nodes[before].kit.is_leader());
        until("the old leader is told", || {
            nodes[before]
                .told(|kind| match kind {
                    EventKind::LoseLeadership(lost) => Some(lost.epoch),
                    _ => None,
                })
                .last()
                == Some(&epoch)
        });
        until("the new leader is told", || {
            nodes[after]
                .told(|kind| match kind {
                    EventKind::BecomeLeader(won) => Some(won.epoch),
                    _ => None,
                })
                .last()
                == Some(&(epoch + 1))
        });
        nodes[caller]
            .kit
            .set_custom_data("k", "v", Expect::Any, TIMEOUT)
            .unwrap();
    }
    stop(nodes);
}

#[test]
fn a_single_voter_does_not_step_down_and_writes_go_on() {
    for n in 1..=2 {
        let nodes = cluster(n);
        let refused = nodes[n - 1].kit.step_down().unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Refused, "{refused}");
        assert!(refused.message().contains("nobody to lead"), "{refused}");
        for node in &nodes {
            node.kit.set_custom_data("k", "v", Expect::Any, TIMEOUT).unwrap();
        }
        stop(nodes);
    }
}

#[test]
fn no_two_nodes_ever_say_that_they_lead() {
    let nodes = cluster(3);
    let kits: Vec<_> = nodes.iter().map(|node| node.kit.clone()).collect();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let watched = done.clone();
    let watch = std::thread::spawn(move || {
        let mut looks = 0u64;
        while !watched.load(std::sync::atomic::Ordering::Relaxed) {
            // Asked one after the other, so two may say yes when leadership moves between the questions:
            // then the first one asked says no when it is asked again.
            let yes: Vec<_> = kits.iter().filter(|kit| kit.is_leader()).collect();
            if yes.len() > 1 {
                let again = yes.iter().filter(|kit| kit.is_leader()).count();
                assert!(again <= 1, "two nodes lead");
            }
            looks += 1;
        }
        looks
    });
    for _ in 0..20 {
        leader(&nodes);
        step_down(&nodes[0]);
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(watch.join().unwrap() > 0);
    stop(nodes);
}

#[test]
fn writes_go_on_while_leadership_moves() {
    let nodes = cluster(3);
    let kit = nodes[0].kit.clone();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = done.clone();
    let writer = std::thread::spawn(move || {
        let mut n = 0;
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            // Absent: a write that happened twice would be refused the second time.
            kit.set_custom_data(&format!("w-{n:06}"), "x", Expect::Absent, TIMEOUT)
                .unwrap();
            n += 1;
        }
        n
    });
    for _ in 0..10 {
        leader(&nodes);
        step_down(&nodes[1]);
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let written: usize = writer.join().unwrap();
    for node in &nodes {
        node.kit.read_barrier(TIMEOUT).unwrap();
        assert_eq!(node.kit.list_custom_data_keys("w-", None, 100_000).len(), written);
    }
    stop(nodes);
}

#[test]
fn a_lone_node_leads_without_being_told_to() {
    let mut options = founder("node-1");
    options.bootstrap = None;
    let node = TestNode::start(options).unwrap();
    assert!(node.kit.is_leader());
    assert_eq!(&*node.kit.wait_for_leader(TIMEOUT).unwrap().leader_id, node.id());
    let nodes = vec![node];
    settle(&nodes);
    stop(nodes);
}

#[test]
fn a_leader_without_a_quorum_says_so_soon() {
    let mut nodes = cluster(3);
    let leads = leader(&nodes);
    let last = nodes.remove(leads);
    // The others go without a word.
    drop(nodes);
    until("the lease to run out", || !last.kit.is_leader());
    assert_eq!(
        last.kit.leader_epoch().unwrap_err().code(),
        ErrorCode::LeaseExpired
    );
    until("that to be told", || {
        !last
            .told(|kind| matches!(kind, EventKind::LoseLeadership(_)).then_some(()))
            .is_empty()
    });
    let error = last
        .kit
        .set_custom_data("k", "v", Expect::Any, Duration::from_millis(300))
        .unwrap_err();
    assert!(
        matches!(error.code(), ErrorCode::Timeout | ErrorCode::NoLeader),
        "{error}"
    );
    last.kit.stop().unwrap();
}
