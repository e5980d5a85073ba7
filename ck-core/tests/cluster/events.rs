//! What nodes tell their applications.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clusterkit::ClusterKit;
use clusterkit::Expect;
use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::model::{Event, EventKind, RoleChange};

use crate::support::{
    TIMEOUT, TestNode, cluster, durable_cluster, follower, founder, join, options, settle, step_down, stop,
    until,
};

/// The stream as every node must see it: what is told of one node alone is left out, and changes of partitions
/// of one revision, which hooks are called for at once, are put in order.
fn stream(node: &TestNode, from: u64) -> Vec<String> {
    let shared = |event: &&Event| {
        event.revision >= from
            && !matches!(
                event.kind,
                EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_)
            )
    };
    let mut lines: Vec<(u64, String)> = node
        .events()
        .iter()
        .filter(shared)
        .map(|event| (event.revision, serde_json::to_string(event).unwrap()))
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// All nodes are told the same, from the admission of the latest process on.
fn assert_same_streams(nodes: &[TestNode]) {
    let from = nodes
        .iter()
        .map(|node| node.kit.view().my_node().unwrap().incarnation)
        .max()
        .unwrap();
    let revision = nodes[0].kit.read_barrier(TIMEOUT).unwrap();
    for node in nodes {
        node.kit.wait_for_revision(revision, TIMEOUT).unwrap();
    }
    // Hooks run a little after the log.
    until("all hooks have been called", || {
        nodes.iter().all(|node| {
            node.kit
                .hook_stats()
                .iter()
                .all(|hook| hook.queued == 0 && hook.running == 0)
        })
    });
    let coalesced: u64 = nodes
        .iter()
        .flat_map(|node| node.kit.hook_stats())
        .map(|hook| hook.coalesced)
        .sum();
    let expected = stream(&nodes[0], from);
    for node in &nodes[1..] {
        let found = stream(node, from);
        if found != expected && coalesced == 0 {
            let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
            let extra: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
            panic!(
                "{} and {} differ: missing {missing:#?}, extra {extra:#?}",
                nodes[0].id(),
                node.id()
            );
        }
    }
}

#[test]
fn all_nodes_are_told_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    assert_same_streams(&nodes);
    nodes[1]
        .kit
        .set_custom_data("k", "v", Expect::Any, TIMEOUT)
        .unwrap();
    nodes.push(join(options("node-4"), &nodes[1..2]).unwrap());
    settle(&nodes);
    assert_same_streams(&nodes);
    let goes = follower(&nodes[..3]);
    let node = nodes.remove(goes);
    nodes.insert(goes, node.restart());
    settle(&nodes);
    assert_same_streams(&nodes);
    step_down(&nodes[0]);
    nodes.push(join(options("node-5"), &nodes[..1]).unwrap());
    settle(&nodes);
    assert_same_streams(&nodes);
    let gone = nodes.pop().unwrap();
    gone.kit.stop().unwrap();
    nodes[0].kit.remove_node(gone.id(), TIMEOUT).unwrap();
    settle(&nodes);
    assert_same_streams(&nodes);
    stop(nodes);
}

#[test]
fn events_of_one_node_come_in_the_order_of_the_log() {
    let nodes = cluster(5);
    for node in &nodes {
        let events = node.events();
        let of_the_log: Vec<u64> = events
            .iter()
            .filter(|event| {
                !matches!(
                    event.kind,
                    EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_) | EventKind::PartitionChange(_)
                )
            })
            .map(|event| event.revision)
            .collect();
        assert!(of_the_log.is_sorted(), "{of_the_log:?}");
        // What ends has begun; but a node may have been admitted in between.
        let mut moving = true;
        for event in &events {
            match &event.kind {
                EventKind::RebalanceStart(_) => moving = true,
                EventKind::RebalanceComplete(_) => {
                    assert!(moving, "an end without a beginning on {}", node.id());
                    moving = false;
                }
                _ => {}
            }
        }
    }
    stop(nodes);
}

#[test]
fn a_node_that_joins_late_is_told_its_own_partitions() {
    let mut nodes = cluster(3);
    nodes.push(join(options("node-4"), &nodes[..1]).unwrap());
    settle(&nodes);
    let new = &nodes[3];
    let view = new.kit.view();
    for partition in &view.topology().partitions {
        let told = |change: RoleChange| {
            !new.told(|kind| match kind {
                EventKind::PartitionChange(event)
                    if event.number == partition.number
                        && &*event.node_id == new.id()
                        && event.change == change =>
                {
                    Some(())
                }
                _ => None,
            })
            .is_empty()
        };
        if partition.primary.as_deref() == Some(new.id()) {
            until("it is told that it is primary", || {
                told(RoleChange::GainedPrimary)
            });
        }
        if partition.copy(new.id()).is_some() {
            until("it is told to copy", || told(RoleChange::GainedReplica));
        }
    }
    stop(nodes);
}

/// A node whose hooks, one that blocks and one that is a future, call everything that there is to call.
fn busy_node(options: clusterkit::Options) -> (TestNode, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let node = TestNode::start_with(options, |kit| {
        let kit_of_hook = kit.clone();
        kit.on_event(move |event| call_everything(&kit_of_hook, event))?;
        let kit_of_hook = kit.clone();
        let hook = Hook::from_async(move |event| {
            let (kit, counted) = (kit_of_hook.clone(), counted.clone());
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                call_everything(&kit, &event)?;
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        });
        kit.register_hook(EventFilter::ALL, hook).map(drop)
    });
    (node.unwrap(), calls)
}

fn call_everything(kit: &ClusterKit, event: &Event) -> Result<(), String> {
    look_at_everything(kit);
    if !matches!(event.kind, EventKind::PartitionChange(_)) {
        let key = format!("{}-{}", kit.my_node_id(), event.revision);
        kit.set_custom_data(&key, event.kind.name(), Expect::Any, TIMEOUT)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn look_at_everything(kit: &ClusterKit) {
    let view = kit.view();
    for key in [&b"user:1"[..], b"user:2"] {
        let _ = (
            view.partition(key),
            view.primary_node(key),
            view.replica_nodes(key),
            view.nodes_for_key(key),
            view.is_primary_for_key(key),
            view.should_handle_key(key),
            kit.partition_number(key),
            kit.is_primary_for_key(key),
            kit.should_handle_key(key),
        );
    }
    let _ = (
        kit.cluster(),
        kit.metrics(),
        kit.health_check(),
        kit.node_health(kit.my_node_id()),
        kit.is_leader(),
        kit.leader_epoch(),
        kit.leader(),
        kit.consensus_stats(),
        kit.custom_data("k"),
        kit.list_custom_data_keys("", None, 10),
        kit.hook_stats(),
        kit.http_addr(),
        view.partition_stats(),
        view.list_partitions(),
    );
    // What waits for hooks cannot be called in one, and says so.
    assert_eq!(kit.stop().unwrap_err().code(), clusterkit::ErrorCode::InHook);
}

#[test]
fn hooks_call_everything_and_nothing_hangs() {
    let (first, first_calls) = busy_node(founder("node-1"));
    let mut nodes = vec![first];
    let mut calls = vec![first_calls];
    for i in 2..=4 {
        let mut options = options(&format!("node-{i}"));
        options.join_addrs = vec![nodes[0].addr()];
        let (node, made) = busy_node(options);
        nodes.push(node);
        calls.push(made);
        settle(&nodes);
    }
    for (node, calls) in nodes.iter().zip(&calls) {
        until("every hook has returned", || {
            node.kit
                .hook_stats()
                .iter()
                .all(|hook| hook.queued == 0 && hook.running == 0)
        });
        assert!(calls.load(Ordering::Relaxed) > 0);
        for stats in node.kit.hook_stats() {
            assert_eq!((stats.failures, stats.panics), (0, 0), "{stats:?}");
        }
    }
    stop(nodes);
}

#[test]
fn hooks_that_block_in_their_futures_stop_nobody() {
    let (sender, began) = std::sync::mpsc::channel();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let node = TestNode::start_with(founder("node-1"), |kit| {
        let hook = Hook::from_async(move |_| {
            let (sender, gate) = (sender.clone(), gate.clone());
            async move {
                sender.send(()).map_err(|error| error.to_string())?;
                // Until the test lets go of the other end.
                drop(gate.lock().map(|gate| gate.recv()));
                Ok(())
            }
        });
        kit.register_hook(EventFilter::only(EventType::PartitionChange), hook)
            .map(drop)
    })
    .unwrap();
    // More of them than the runtime has threads, on any machine.
    for _ in 0..8 {
        began.recv_timeout(TIMEOUT).unwrap();
    }
    node.kit.set_custom_data("k", "v", Expect::Any, TIMEOUT).unwrap();
    drop(open);
    stop(vec![node]);
}

#[test]
fn a_hook_that_fails_harms_nobody() {
    let first = TestNode::start(founder("node-1")).unwrap();
    first.kit.on_event(|_| panic!("a hook panics")).unwrap();
    let nodes = vec![first];
    nodes[0]
        .kit
        .on(EventType::NodeJoin, |_| Err("a hook fails".to_owned()))
        .unwrap();
    let mut nodes = nodes;
    nodes.push(join(options("node-2"), &nodes[..1]).unwrap());
    // Copies that a panicking hook was asked for are never confirmed on the first node; the rest goes on.
    until("two members", || {
        nodes.iter().all(|node| node.kit.view().nodes().len() == 2)
    });
    nodes[0]
        .kit
        .set_custom_data("k", "v", Expect::Any, TIMEOUT)
        .unwrap();
    stop(nodes);
}
