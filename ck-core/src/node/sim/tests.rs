//! Scenarios in simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use super::{SCENARIO_TIMEOUT, SimNode, World, leader, leads, settle, until};
use crate::env::disk::MemDisk;
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::logger::Logger;
use crate::model::NodeStatus;
use crate::net::Handler;
use crate::net::sim::LinkConditions;
use crate::node::{Close, Listen, Listening, Node};
use crate::sim::SimListen;
use crate::state::Expect;

/// Runs a scenario in a simulation of its own.
pub(super) fn simulate<T, F: Future<Output = T>>(seed: u64, scenario: impl FnOnce(World) -> F) -> T {
    SimRuntime::with_seed(seed).block_on(async move { scenario(World::new(seed)).await })
}

pub(super) async fn write(sim: &SimNode, key: &str) -> u64 {
    let value = key.as_bytes().to_vec().into();
    sim.node
        .set_data(key.to_owned(), value, Expect::Absent, SCENARIO_TIMEOUT)
        .await
        .unwrap()
}

pub(super) async fn all_have(nodes: &[SimNode], revision: u64, keys: &[&str]) {
    for sim in nodes {
        until("everybody is up to date", || {
            sim.node.view().revision() >= revision
        })
        .await;
        for key in keys {
            assert!(sim.node.data(key).is_some(), "{} lacks {key}", sim.node.id());
        }
    }
}

/// At rest all nodes have been told the same; of the last commit a follower hears a moment later.
pub(super) async fn assert_same_streams(nodes: &[SimNode]) {
    let revision = |sim: &SimNode| sim.node.view().revision();
    until("one revision on all", || {
        nodes.iter().all(|sim| revision(sim) == revision(&nodes[0]))
    })
    .await;
    // Hooks run in tasks of their own.
    env::sleep(Duration::from_millis(1)).await;
    let from = nodes.iter().map(SimNode::incarnation).max().unwrap_or(0);
    let expected = nodes[0].shared_events(from);
    for sim in &nodes[1..] {
        let (told, first) = (sim.shared_events(from), nodes[0].node.id());
        let same = told
            .iter()
            .zip(&expected)
            .take_while(|(one, other)| one == other)
            .count();
        let (one, other) = (told.get(same), expected.get(same));
        assert_eq!(one, other, "event {same} of {} and of {first}", sim.node.id());
    }
}

/// Forms, writes, cuts the leader off, heals; gives everything that was seen.
async fn the_leader_is_cut_off(world: World) -> Vec<String> {
    let nodes = world.cluster(3).await;
    let mut trace = vec![format!("formed at {}", Instant::now().nanos())];
    let first = write(&nodes[1], "before").await;
    all_have(&nodes, first, &["before"]).await;
    let old = leader(&nodes, None).await;
    let epoch = nodes[old].node.leader_epoch().unwrap();
    world.network.isolate(nodes[old].addr());
    let began = Instant::now();
    let new = leader(&nodes, Some(old)).await;
    trace.push(format!("{old} -> {new} after {:?}", began.elapsed()));
    assert!(nodes[new].node.leader_epoch().unwrap() > epoch);
    assert!(!nodes[old].node.is_leader());
    let lost = nodes[old]
        .node
        .set_data(
            "lost".to_owned(),
            "x".into(),
            Expect::Any,
            Duration::from_millis(200),
        )
        .await
        .unwrap_err();
    assert!(
        matches!(lost.code(), ErrorCode::Timeout | ErrorCode::NoLeader),
        "{lost}"
    );
    let during = write(&nodes[new], "during").await;
    world.network.heal();
    let after = write(&nodes[old], "after").await;
    assert!(after > during);
    all_have(&nodes, after, &["before", "during", "after"]).await;
    settle(&nodes).await;
    leader(&nodes, None).await;
    env::sleep(Duration::from_secs(5)).await;
    leads(&nodes);
    assert_same_streams(&nodes).await;
    for sim in &nodes {
        trace.push(format!("{} at {}", sim.node.id(), sim.node.view().revision()));
        trace.extend(
            sim.events()
                .iter()
                .map(|event| serde_json::to_string(event).unwrap()),
        );
    }
    for sim in nodes.iter().rev() {
        sim.node.stop().await.unwrap();
    }
    trace.push(format!("ended at {}", Instant::now().nanos()));
    trace
}

#[test]
fn one_seed_gives_one_history() {
    for seed in 1..=4 {
        let first = simulate(seed, the_leader_is_cut_off);
        let second = simulate(seed, the_leader_is_cut_off);
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(first.len(), second.len());
    }
}

/// What it takes each of three nodes to stop when all do so at once, in simulated time.
async fn all_stop_at_once(world: World) -> Vec<Duration> {
    let nodes = world.cluster(3).await;
    let leaving: Vec<_> = nodes
        .iter()
        .map(|sim| {
            let node = sim.node.clone();
            env::spawn(async move {
                let began = Instant::now();
                node.stop().await.unwrap();
                began.elapsed()
            })
        })
        .collect();
    let mut took = Vec::new();
    for stop in leaving {
        took.push(stop.await.unwrap());
    }
    took
}

#[test]
fn nodes_that_all_stop_at_once_do_not_wait_for_each_other() {
    for seed in 1..=20 {
        let took = simulate(seed, all_stop_at_once);
        let longest = took.iter().max().unwrap();
        assert!(*longest < Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}

/// A node that stops while a quorum is there waits until it has told, however slow the others are.
#[test]
fn who_stops_while_another_is_down_is_still_taken_leave_of() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let leads = leader(&nodes, None).await;
            let (down, goes) = ((leads + 1) % 3, (leads + 2) % 3);
            world.network.unserve(nodes[down].addr());
            drop(nodes[down].node.close_immediately().await);
            world.network.set_conditions(LinkConditions {
                min_delay: Duration::from_millis(10),
                max_delay: Duration::from_millis(15),
                ..LinkConditions::default()
            });
            nodes[goes].node.stop().await.unwrap();
            let id = nodes[goes].node.id().to_string();
            // Who leads knows; one that was just told so by its leader may be the only one that does.
            let knows = |sim: &SimNode| {
                sim.node.view().node(&id).map(|node| node.status) == Some(NodeStatus::Stopped)
            };
            until("the leave is committed", || {
                knows(&nodes[leads]) || knows(&nodes[goes])
            })
            .await;
        });
    }
}

/// Counts how often the listeners of a node are closed.
struct CountedListen {
    inner: SimListen,
    closed: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountedClose {
    inner: Box<dyn Close>,
    closed: Arc<AtomicUsize>,
}

impl Listen for CountedListen {
    fn listen(&self, node: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>> {
        async move {
            let mut listening = self.inner.listen(node, handler).await?;
            listening.close = Box::new(CountedClose {
                inner: listening.close,
                closed: self.closed.clone(),
            });
            Ok(listening)
        }
        .boxed()
    }
}

impl Close for CountedClose {
    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.inner.close()
    }
}

/// A start that is given up cleans up, and so does whatever ends the node meanwhile: everything is closed once.
#[test]
fn a_node_that_is_closed_while_it_starts_is_closed_once() {
    for micros in (0..400_000).step_by(7919) {
        simulate(micros, |world| async move {
            let options = World::options(1, &[]);
            let closed = Arc::<AtomicUsize>::default();
            let mut deps = world.deps(&options, Arc::new(MemDisk::new()));
            deps.listen = Arc::new(CountedListen {
                inner: SimListen::new(&world.network, &options),
                closed: closed.clone(),
            });
            let node = Node::new(options, deps, Arc::new(Logger::default())).unwrap();
            let ending = async {
                env::sleep(Duration::from_micros(micros)).await;
                node.close_immediately().await
            };
            let (started, ended) = futures_util::join!(node.start(), ending);
            ended.unwrap();
            let started = started.map_err(|error| error.code());
            assert!(matches!(started, Ok(()) | Err(ErrorCode::Stopped)), "{started:?}");
            assert!(node.has_stopped());
            let closed = closed.load(Ordering::SeqCst);
            assert!(closed <= 1, "closed {closed} times after {micros} us");
        });
    }
}
