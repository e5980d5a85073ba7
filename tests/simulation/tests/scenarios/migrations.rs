//! Moves in simulated time: how many at once, hooks that fail and hang, and whoever dies half way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::model::{EventKind, MigrationState, NodeStatus, RoleChange};
use parking_lot::Mutex;

use crate::world::{SCENARIO_TIMEOUT, TestNode, World, leader, leads, settle, simulate, until};

/// The copies that a node was told to make, in the order in which it was told, and how many are under way.
#[derive(Default)]
struct Copies {
    told: Mutex<Vec<u32>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Copies {
    fn told(&self) -> Vec<u32> {
        self.told.lock().clone()
    }

    fn begin(&self, number: u32) {
        self.told.lock().push(number);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
    }
}

/// What a hook does when it is called to copy: the number of the partition and which call of it this is.
type Copy = fn(u32, usize) -> Doing;

enum Doing {
    Take(Duration),
    Fail,
    Hang,
}

fn copies_with(sim: &TestNode, copy: Copy) -> Arc<Copies> {
    let copies = Arc::new(Copies::default());
    let seen = copies.clone();
    let calls: Arc<Mutex<BTreeMap<u32, usize>>> = Arc::default();
    let me = sim.id().clone();
    let hook = Hook::from_async(move |event| {
        let (seen, calls, me) = (seen.clone(), calls.clone(), me.clone());
        async move {
            let EventKind::PartitionChange(change) = &event.kind else {
                return Ok(());
            };
            if change.node_id != me || change.change != RoleChange::GainedReplica {
                return Ok(());
            }
            if change.copy_from_nodes.is_empty() {
                return Ok(());
            }
            let call = {
                let mut calls = calls.lock();
                let calls = calls.entry(change.number).or_default();
                *calls += 1;
                *calls
            };
            seen.begin(change.number);
            let outcome = match copy(change.number, call) {
                Doing::Take(time) => {
                    env::sleep(time).await;
                    Ok(())
                }
                Doing::Fail => Err("no route to the storage".to_owned()),
                Doing::Hang => std::future::pending().await,
            };
            seen.running.fetch_sub(1, Ordering::SeqCst);
            outcome
        }
    });
    let changes = EventFilter::only(EventType::PartitionChange);
    sim.register(changes, hook).unwrap();
    copies
}

/// A cluster of `n` whose moves are given up after `timeout`, and node `n + 1`, which joins with this hook.
async fn joined(world: &World, n: usize, timeout: Duration, copy: Copy) -> (Vec<TestNode>, Arc<Copies>) {
    let mut nodes: Vec<TestNode> = Vec::new();
    for i in 1..=n {
        let sim = world.make(options(i, timeout), Arc::default());
        sim.start().await.unwrap();
        nodes.push(sim);
    }
    settle(&nodes).await;
    let sim = world.make(options(n + 1, timeout), Arc::default());
    let copies = copies_with(&sim, copy);
    sim.start().await.unwrap();
    nodes.push(sim);
    (nodes, copies)
}

fn options(i: usize, timeout: Duration) -> clusterkit::Options {
    let through: &[usize] = if i == 1 { &[] } else { &[1] };
    let mut options = World::options(i, through);
    options.migration_timeout = timeout;
    options.max_concurrent_migrations = 2;
    options.replication_factor = Some(2);
    if i > 1 {
        options.replication_factor = None;
    }
    options
}

const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);

fn rebalances(sim: &TestNode) -> (usize, usize) {
    let events = sim.events();
    let count = |start: bool| {
        let of = |kind: &EventKind| match kind {
            EventKind::RebalanceStart(_) => start,
            EventKind::RebalanceComplete(_) => !start,
            _ => false,
        };
        events.iter().filter(|event| of(&event.kind)).count()
    };
    (count(true), count(false))
}

fn holds(sim: &TestNode, id: &str) -> usize {
    let topology = sim.topology();
    let held = topology.partitions.iter().filter(|p| p.is_synced(id));
    held.count()
}

#[test]
fn a_node_copies_no_more_at_once_than_it_may() {
    simulate(1, async |world| {
        let (nodes, copies) = joined(&world, 3, MIGRATION_TIMEOUT, |_, _| {
            Doing::Take(Duration::from_secs(3))
        })
        .await;
        until("the first copies", || copies.told().len() == 2).await;
        let before = rebalances(&nodes[0]);
        let status = nodes[1].rebalance_status(SCENARIO_TIMEOUT).await;
        assert!(status.from_leader && status.running, "{status:?}");
        let states = |state| status.migrations.iter().filter(|m| m.state == state).count();
        assert_eq!(states(MigrationState::Copying), 2, "{status:?}");
        assert!(states(MigrationState::Queued) >= 3, "{status:?}");
        settle(&nodes).await;
        assert_eq!(copies.most.load(Ordering::SeqCst), 2);
        assert!(copies.told().len() >= 5, "{:?}", copies.told());
        assert_eq!(rebalances(&nodes[0]), (before.0, before.1 + 1), "one rebalance");
        let status = nodes[1].rebalance_status(SCENARIO_TIMEOUT).await;
        assert!(!status.running && status.migrations.is_empty(), "{status:?}");
    });
}

#[test]
fn a_hook_that_fails_is_called_again_and_everybody_can_see_why() {
    simulate(2, async |world| {
        let fail = |_, call| match call {
            1..=4 => Doing::Fail,
            _ => Doing::Take(Duration::ZERO),
        };
        let (nodes, copies) = joined(&world, 3, MIGRATION_TIMEOUT, fail).await;
        let mut seen = Vec::new();
        let deadline = Instant::now() + SCENARIO_TIMEOUT;
        while seen.is_empty() {
            assert!(Instant::now() < deadline, "nobody was told");
            let status = nodes[1].rebalance_status(SCENARIO_TIMEOUT).await;
            let retried = status.migrations.into_iter();
            seen = retried
                .filter(|m| m.state == MigrationState::Retrying && m.attempts >= 2)
                .collect();
            env::sleep(Duration::from_millis(20)).await;
        }
        let migration = &seen[0];
        assert_eq!(migration.reason, "no route to the storage");
        assert_eq!(&*migration.to, "node-4");
        assert!(
            migration.since.is_some() && !migration.from.is_empty(),
            "{migration:?}"
        );
        settle(&nodes).await;
        assert!(copies.told().len() >= 10, "{:?}", copies.told());
    });
}

#[test]
fn a_copy_that_hangs_is_given_up_and_made_elsewhere() {
    for seed in 1..=2 {
        simulate(seed, async |world| {
            let timeout = Duration::from_secs(4);
            // Everything hangs there: whatever it was to get stays with the others.
            let (nodes, copies) = joined(&world, 3, timeout, |_, _| Doing::Hang).await;
            until("the first copies", || copies.told().len() == 2).await;
            let first = copies.told();
            let began = Instant::now();
            let pending = |number: u32| {
                let topology = nodes[0].topology();
                topology.partitions[number as usize].copy("node-4").is_some()
            };
            until("giving up", || first.iter().all(|number| !pending(*number))).await;
            let waited = began.elapsed();
            assert!(
                waited >= timeout - Duration::from_secs(1) && waited < timeout + Duration::from_secs(2),
                "{waited:?}"
            );
            let status = nodes[2].rebalance_status(SCENARIO_TIMEOUT).await;
            for number in first {
                let avoided = status.avoided.iter().find(|avoided| avoided.number == number);
                assert_eq!(avoided.map(|avoided| avoided.times), Some(1), "{status:?}");
            }
            // All its share is given up, a few at a time; nothing is ever without its copies.
            until("the end of the first round", || {
                let topology = nodes[0].topology();
                topology
                    .partitions
                    .iter()
                    .all(|p| p.target.is_none() && p.pending().count() == 0 && p.synced().count() == 2)
            })
            .await;
            assert_eq!(holds(&nodes[0], "node-4"), 0);
            assert_eq!(
                nodes[0].view().node("node-4").map(|n| n.status),
                Some(NodeStatus::Active)
            );
        });
    }
}

#[test]
fn a_copy_that_is_given_up_once_is_made_in_the_end() {
    simulate(5, async |world| {
        let timeout = Duration::from_secs(2);
        let slow = |_, call| match call {
            1 => Doing::Take(Duration::from_secs(5)),
            _ => Doing::Take(Duration::ZERO),
        };
        let (nodes, _) = joined(&world, 3, timeout, slow).await;
        until("its share", || {
            is_settled_with(&nodes[0], 4, 2) && holds(&nodes[0], "node-4") == 6
        })
        .await;
    });
}

fn is_settled_with(sim: &TestNode, n: usize, copies: usize) -> bool {
    let topology = sim.topology();
    topology.active_count() == n
        && topology
            .partitions
            .iter()
            .all(|p| p.target.is_none() && p.synced().count() == copies && p.copies.len() == copies)
}

#[test]
fn whoever_dies_half_way_the_others_go_on() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let (mut nodes, copies) = joined(&world, 4, MIGRATION_TIMEOUT, |_, _| {
                Doing::Take(Duration::from_secs(3))
            })
            .await;
            until("the first copies", || copies.told().len() == 2).await;
            // The node that copies, one that is copied from, or the one that leads.
            let led = leader(&nodes, None).await;
            let victim = match seed % 3 {
                0 => 4,
                1 => {
                    let number = copies.told()[0] as usize;
                    let topology = nodes[0].topology();
                    let source = topology.partitions[number].synced().next().cloned().unwrap();
                    nodes.iter().position(|sim| *sim.id() == source).unwrap()
                }
                _ => led,
            };
            let gone = nodes.remove(victim);
            let id = gone.id().clone();
            gone.kill(Some(seed));
            until("failure", || {
                nodes[0].view().node(&id).map(|n| n.status) == Some(NodeStatus::Failed)
            })
            .await;
            // It stays away: its copies are made anew elsewhere.
            until("rest", || is_settled_with(&nodes[0], 4, 2)).await;
            until("a leader", || leads(&nodes).is_some()).await;
            let primaries = nodes[0].topology();
            assert!(primaries.partitions.iter().all(|p| p.primary.is_some()));
            // That this was due is told as it was, however long ago.
            let due = async || {
                let status = nodes[0].rebalance_status(SCENARIO_TIMEOUT).await;
                let away = status.away.iter().find(|away| away.node == id).unwrap();
                away.replaced_after.unwrap().as_millis()
            };
            let first = due().await;
            env::sleep(Duration::from_secs(2)).await;
            assert!(due().await.abs_diff(first) < 100, "{first}");
        });
    }
}

#[test]
fn a_node_that_is_removed_half_way_leaves_nothing_behind() {
    simulate(3, async |world| {
        let (mut nodes, copies) = joined(&world, 3, MIGRATION_TIMEOUT, |_, _| Doing::Hang).await;
        until("the first copies", || copies.told().len() == 2).await;
        let remover = nodes[0].node.clone();
        let removing = env::spawn(async move {
            remover
                .remove_node("node-4".into(), false, SCENARIO_TIMEOUT)
                .await
        });
        until("removal", || nodes[1].view().node("node-4").is_none()).await;
        drop(removing.await);
        nodes.truncate(3);
        until("rest", || is_settled_with(&nodes[1], 3, 2)).await;
        let status = nodes[2].rebalance_status(SCENARIO_TIMEOUT).await;
        assert!(status.migrations.is_empty() && !status.running, "{status:?}");
    });
}

#[test]
fn a_new_leader_counts_anew() {
    simulate(4, async |world| {
        let timeout = Duration::from_secs(6);
        let (nodes, copies) = joined(&world, 3, timeout, |_, _| Doing::Hang).await;
        until("the first copies", || copies.told().len() == 2).await;
        env::sleep(Duration::from_secs(3)).await;
        let old = leader(&nodes, None).await;
        nodes[old].step_down(None).await.unwrap();
        let changed = Instant::now();
        let first = copies.told();
        until("giving up", || {
            let topology = nodes[0].topology();
            topology.partitions[first[0] as usize].copy("node-4").is_none()
        })
        .await;
        let waited = changed.elapsed();
        assert!(waited >= timeout - Duration::from_secs(1), "{waited:?}");
    });
}

#[test]
fn without_a_leader_a_node_says_what_it_knows() {
    simulate(6, async |world| {
        let nodes = world.cluster(3).await;
        for sim in &nodes[1..] {
            world.network.isolate(sim.addr());
        }
        until("no leader", || leads(&nodes).is_none()).await;
        let status = nodes[1].rebalance_status(Duration::from_secs(1)).await;
        assert!(
            !status.from_leader && status.answered_by == *nodes[1].id(),
            "{status:?}"
        );
    });
}

#[test]
fn lost_partitions_are_told_everywhere_until_a_holder_returns() {
    simulate(13, async |world| {
        let mut options = World::options(1, &[]);
        options.replication_factor = Some(1);
        let first = world.make(options, Arc::default());
        first.start().await.unwrap();
        let mut nodes = vec![first];
        for i in 2..=4 {
            nodes.push(world.start(i, &[1]).await);
        }
        until("rest", || {
            is_settled_with(&nodes[0], 4, 1) && holds(&nodes[0], "node-4") == 3
        })
        .await;
        let gone = nodes.remove(3);
        let lost: Vec<String> = {
            let view = nodes[0].view();
            let own = view.partitions_for_node("node-4").unwrap();
            own.primary
                .into_iter()
                .map(clusterkit::model::partition_id)
                .collect()
        };
        assert!(!lost.is_empty());
        gone.kill(None);
        let told = |sim: &TestNode| {
            let events = sim.events();
            events.iter().rev().find_map(|event| match &event.kind {
                EventKind::ClusterHealthChange(health) => {
                    Some((health.status.clone(), health.lost_partitions.clone()))
                }
                _ => None,
            })
        };
        for sim in &nodes {
            until("bad news", || {
                told(sim) == Some(("critical".to_owned(), lost.clone()))
            })
            .await;
            assert_eq!(sim.cluster(false).lost_partitions, lost);
        }
        let back = world.next_process(&gone);
        back.start().await.unwrap();
        for sim in &nodes {
            until("good news", || {
                told(sim) == Some(("healthy".to_owned(), Vec::new()))
            })
            .await;
            assert!(sim.cluster(false).lost_partitions.is_empty());
        }
    });
}
