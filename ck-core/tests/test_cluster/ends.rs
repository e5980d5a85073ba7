//! Ends: of clusters with calls that wait, with hooks that block, in hooks.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clusterkit::prelude::*;
use clusterkit::testing::TestCluster;

use crate::{TIMEOUT, three};

/// How long something may take in real time before a test fails.
const REAL_TIMEOUT: Duration = Duration::from_secs(120);
/// How many clusters end where one in ten would not.
const ENDS: usize = 15;

#[test]
fn calls_that_wait_end_with_the_cluster() {
    let cluster = three();
    let nodes = cluster.nodes();
    let (done, ends) = channel();
    let (begun, begins) = channel();
    let mut threads = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let (node, done, begun) = (node.clone(), done.clone(), begun.clone());
        threads.push(std::thread::spawn(move || {
            begun.send(()).unwrap();
            let forever = Duration::from_secs(7 * 24 * 3600);
            let outcome = match number {
                0 => node.wait_for_revision(u64::MAX, forever),
                1 => tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(node.into_async().wait_for_revision(u64::MAX, forever)),
                _ => node.wait_for_revision(u64::MAX - 1, forever),
            };
            done.send(outcome.unwrap_err().code()).unwrap();
        }));
    }
    for _ in &threads {
        begins.recv_timeout(REAL_TIMEOUT).unwrap();
    }
    cluster.pause(2).unwrap();
    drop(cluster);
    for _ in &threads {
        let code = ends.recv_timeout(REAL_TIMEOUT).unwrap();
        assert!(matches!(code, ErrorCode::Stopped | ErrorCode::Timeout), "{code}");
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Handles that are left are those of stopped nodes.
    for node in nodes {
        assert_eq!(node.read_barrier(TIMEOUT).unwrap_err().code(), ErrorCode::Stopped);
        assert_eq!(node.start().unwrap_err().code(), ErrorCode::Stopped);
        assert!(!node.is_leader() && !node.is_primary(0));
        node.stop().unwrap();
        node.close().unwrap();
    }
}

#[test]
fn an_end_says_which_hook_does_not_return() {
    let (entered, is_entered) = channel();
    let (open, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let cluster = TestCluster::start(1).unwrap();
    cluster
        .node(0)
        .unwrap()
        .on_event(move |_| {
            entered.send(()).map_err(|error| error.to_string())?;
            // Ends when the other end is dropped.
            drop(gate.lock().map(|gate| gate.recv()));
            Ok(())
        })
        .unwrap();
    cluster.add_node().unwrap();
    is_entered.recv_timeout(REAL_TIMEOUT).unwrap();
    let error = cluster.close().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.message().contains("hook"), "{error}");
    assert!(error.message().contains("node_join"), "{error}");
    drop(open);
}

#[test]
fn a_cluster_that_its_own_hook_drops_ends() {
    let cluster = Arc::new(Mutex::new(None));
    let (held, told) = (Arc::new(()), channel());
    let (dropped, is_dropped) = told;
    let (inside, witness) = (cluster.clone(), held.clone());
    let started = three();
    let node = started.node(0).unwrap();
    node.on_event(move |_| {
        let _held = &witness;
        let ended: Option<TestCluster> = inside.lock().unwrap().take();
        drop(ended);
        dropped.send(()).map_err(|error| error.to_string())
    })
    .unwrap();
    *cluster.lock().unwrap() = Some(started);
    node.set_custom_data("a", "1", Expect::Any, TIMEOUT).unwrap();
    let other = node.clone();
    let stopping = std::thread::spawn(move || other.maintenance(Some("an event"), TIMEOUT));
    drop(stopping.join().unwrap());
    // Any event will do: a node that stops is one.
    drop(node.step_down());
    is_dropped.recv_timeout(REAL_TIMEOUT).unwrap();
    let began = std::time::Instant::now();
    while Arc::strong_count(&held) > 1 {
        assert!(began.elapsed() < REAL_TIMEOUT, "the hook is still there");
        std::thread::yield_now();
    }
}

/// The end of a hook's thread takes real time, in which the clock of the nodes must not run on: a stop would give up. One with
/// many calls behind it is slow to end.
#[test]
fn a_stop_waits_for_threads_of_hooks_to_end() {
    for _ in 0..ENDS {
        let observe = |_: usize, node: &ClusterKit| {
            let hook = Hook::deferred(|_, completion| completion.complete(Ok(())));
            node.register_hook(EventFilter::ALL, hook).map(drop)
        };
        let cluster = TestCluster::builder()
            .nodes(1)
            .partitions(8192)
            .prepare(observe)
            .start()
            .unwrap();
        cluster.stop(0).unwrap();
    }
}
