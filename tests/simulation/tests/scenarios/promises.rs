//! What users of such systems ask for, and what earlier systems got wrong, in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clusterkit::Options;
use clusterkit::env::disk::MemDisk;
use clusterkit::env::{self, Instant};
use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::{EventKind, NodeStatus, RoleChange};
use clusterkit::net::sim::LinkConditions;
use parking_lot::Mutex;

use crate::claims::{claims, served, status, watched};
use crate::world::{
    SCENARIO_TIMEOUT, TestNode, World, all, is_settled, leader, settle, simulate, until, write,
};

/// An earlier system's health check asked for readiness, which one dead node ended everywhere: one death evicted all.
#[test]
fn one_death_of_a_default_cluster_costs_nobody_else() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            // As many nodes as copies: then nothing can be placed anew, and nobody may mind.
            let mut nodes = world.cluster(3).await;
            let gone = nodes.remove((leader(&nodes, None).await + seed as usize) % 3);
            match seed {
                1 => gone.stop().await.unwrap(),
                2 => gone.kill(None),
                // Its program goes on without it.
                _ => drop(gone.close_immediately().await),
            }
            let id = gone.id().clone();
            until("its absence to be known", || {
                nodes
                    .iter()
                    .all(|sim| status(sim, &id).is_some_and(|status| !status.is_up()))
            })
            .await;
            served(&all(&nodes)).await;
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(30) {
                claims(&all(&nodes));
                for sim in &nodes {
                    for other in &nodes {
                        assert_eq!(status(sim, other.id()), Some(NodeStatus::Active));
                    }
                }
                env::sleep(Duration::from_millis(50)).await;
            }
            served(&all(&nodes)).await;
            write(&nodes[0], "after").await;
        });
    }
}

/// What the applications of all nodes hold, by node and partition.
type Stores = Arc<Mutex<BTreeMap<String, BTreeSet<u32>>>>;

/// An application that keeps its data in memory, and takes its time to copy.
fn application(stores: &Stores, me: &str) -> Hook {
    let (stores, me) = (stores.clone(), me.to_owned());
    Hook::from_async(move |event| {
        let (stores, me) = (stores.clone(), me.clone());
        async move {
            let EventKind::PartitionChange(change) = &event.kind else {
                return Ok(());
            };
            if *change.node_id != *me {
                return Ok(());
            }
            let is_new = change.copy_from_nodes.is_empty() && change.old_primary.is_empty();
            match change.change {
                RoleChange::GainedReplica if !is_new => {
                    env::sleep(Duration::from_millis(200)).await;
                    let mut stores = stores.lock();
                    let has = |id: &str| stores.get(id).is_some_and(|held| held.contains(&change.number));
                    if !change.copy_from_nodes.iter().any(|node| has(&node.id)) {
                        return Err(format!("nobody that was named has partition {}", change.number));
                    }
                    stores.entry(me).or_default().insert(change.number);
                }
                RoleChange::GainedReplica | RoleChange::GainedPrimary if is_new && change.epoch <= 1 => {
                    let mut stores = stores.lock();
                    stores.entry(me).or_default().insert(change.number);
                }
                RoleChange::LostCopy => {
                    let mut stores = stores.lock();
                    stores.entry(me).or_default().remove(&change.number);
                }
                _ => {}
            }
            Ok(())
        }
    })
}

/// Watches until `condition`: whoever claims to be primary has the data.
async fn with_data(what: &str, stores: &Stores, nodes: &[&TestNode], condition: impl Fn() -> bool) {
    watched(what, nodes, || {
        let stores = stores.lock();
        for sim in nodes {
            let id = &**sim.id();
            let partitions = sim.view().partition_count();
            for number in (0..partitions).filter(|number| sim.is_primary(*number)) {
                assert!(
                    stores.get(id).is_some_and(|held| held.contains(&number)),
                    "{id} is primary of partition {number} and has no data of it, at {:?}",
                    Instant::now()
                );
            }
        }
        drop(stores);
        condition()
    })
    .await;
}

/// Everything is in place, as these nodes see it.
fn at_rest(nodes: &[&TestNode]) -> bool {
    nodes.iter().all(|sim| is_settled(sim, nodes.len()))
}

async fn with_application(world: &World, stores: &Stores, options: Options, disk: Arc<MemDisk>) -> TestNode {
    let sim = world.make(options, disk);
    let hook = application(stores, sim.id());
    sim.register(EventFilter::ALL, hook).unwrap();
    let node = sim.node.clone();
    env::spawn(async move { node.start().await });
    sim
}

/// Three nodes with applications, and a fourth that joins; all hold their data at the end.
async fn four_with_applications(world: &World, stores: &Stores) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for i in 1..=3 {
        let through: &[usize] = if i == 1 { &[] } else { &[1] };
        nodes.push(with_application(world, stores, World::options(i, through), Arc::default()).await);
        let present = all(&nodes);
        until("rest", || at_rest(&present)).await;
    }
    nodes.push(with_application(world, stores, World::options(4, &[1]), Arc::default()).await);
    let present = all(&nodes);
    with_data("a join", stores, &present, || at_rest(&present)).await;
    nodes
}

#[test]
fn a_new_node_is_primary_of_nothing_before_its_application_has_the_data() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let stores = Stores::default();
            let nodes = four_with_applications(&world, &stores).await;
            // It came to lead its share.
            watched("its share", &all(&nodes), || claims(&all(&nodes))[3] >= 3).await;
        });
    }
}

#[test]
fn whoever_leads_has_the_data_through_stops_crashes_and_departures() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let stores = Stores::default();
            let mut nodes = four_with_applications(&world, &stores).await;
            for graceful in [true, false] {
                let place = (leader(&nodes, None).await + usize::from(!graceful)) % 4;
                let gone = nodes.remove(place);
                if graceful {
                    gone.stop().await.unwrap();
                } else {
                    gone.kill(None);
                }
                // Its memory is gone.
                let id = gone.id().to_string();
                stores.lock().remove(&id);
                let present = all(&nodes);
                with_data("failover", &stores, &present, || {
                    claims(&present).iter().sum::<usize>() == 12
                })
                .await;
                nodes.insert(
                    place,
                    with_application(&world, &stores, gone.options().clone(), gone.disk().clone()).await,
                );
                let present = all(&nodes);
                with_data("return", &stores, &present, || at_rest(&present)).await;
            }
            let leaving = nodes.remove(1);
            let node = leaving.node.clone();
            env::spawn(async move { node.leave(SCENARIO_TIMEOUT).await });
            let watched_nodes: Vec<&TestNode> = nodes.iter().chain([&leaving]).collect();
            let present = all(&nodes);
            with_data("departure", &stores, &watched_nodes, || at_rest(&present)).await;
        });
    }
}

/// An earlier system removed from Raft first and from the list second: a failure in between left a member that was none.
#[test]
fn a_removal_that_a_dying_leader_began_is_whole_or_not_at_all() {
    let mut outcomes = BTreeSet::new();
    for seed in 1..=6 {
        outcomes.insert(simulate(seed, async |world| {
            let nodes = world.cluster(5).await;
            let old = leader(&nodes, None).await;
            let id = nodes[(old + 1) % 5].id().clone();
            let remover = nodes[(old + 2) % 5].node.clone();
            let removing = id.clone();
            env::spawn(async move { remover.remove_node(removing, false, SCENARIO_TIMEOUT).await });
            env::sleep(Duration::from_micros(600 * seed)).await;
            world.network.isolate(nodes[old].addr());
            leader(&nodes, Some(old)).await;
            env::sleep(Duration::from_secs(5)).await;
            world.network.heal();
            env::sleep(Duration::from_secs(10)).await;
            let lead = leader(&nodes, None).await;
            let whole = || {
                let view = nodes[lead].view();
                let listed: BTreeSet<u64> = view.nodes().iter().map(|node| node.raft_id).collect();
                let raft = nodes[lead].raft_members().unwrap();
                listed == raft.all && !raft.joint
            };
            until("one list of members", whole).await;
            let removed = status(&nodes[lead], &id).is_none();
            let rest: Vec<&TestNode> = nodes.iter().filter(|sim| !removed || *sim.id() != id).collect();
            served(&rest).await;
            removed
        }));
    }
    assert!(!outcomes.is_empty());
}

/// An earlier system's followers counted failures too, and evicted at once when they came to lead.
#[test]
fn a_new_leader_fails_nobody_for_what_the_old_one_did_not_hear() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let nodes = world.cluster(4).await;
            let old = leader(&nodes, None).await;
            let silent = (old + 1) % 4;
            // It cannot reach this leader, which is about to fail it, and goes itself.
            world.network.cut(nodes[old].addr(), nodes[silent].addr());
            env::sleep(Duration::from_millis(1_400)).await;
            world.network.isolate(nodes[old].addr());
            let id = nodes[silent].id().clone();
            let new = leader(&nodes, Some(old)).await;
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(5) {
                claims(&all(&nodes));
                assert_ne!(status(&nodes[new], &id), Some(NodeStatus::Failed));
                env::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}

#[test]
fn a_cluster_that_was_cut_in_two_for_ten_minutes_heals_without_a_human() {
    for (seed, count, smaller, seconds) in [(1, 5, vec![0, 1], 30), (2, 3, vec![2], 600)] {
        simulate(seed, async |world| {
            let nodes = world.cluster(count).await;
            let addrs: Vec<&str> = nodes.iter().map(|sim| sim.addr()).collect();
            let (cut, rest): (Vec<usize>, Vec<usize>) = (0..count).partition(|place| smaller.contains(place));
            let pick = |places: &[usize]| places.iter().map(|place| addrs[*place]).collect::<Vec<_>>();
            world.network.partition(&[&pick(&cut), &pick(&rest)]);
            env::sleep(Duration::from_secs(seconds)).await;
            write(&nodes[rest[0]], "meanwhile").await;
            for place in &cut {
                assert_eq!(claims(&all(&nodes))[*place], 0);
                assert_eq!(
                    status(&nodes[rest[0]], nodes[*place].id()),
                    Some(NodeStatus::Failed)
                );
            }
            world.network.heal();
            settle(&nodes).await;
            served(&all(&nodes)).await;
            for sim in &nodes {
                until("what was written meanwhile", || sim.data("meanwhile").is_some()).await;
            }
        });
    }
}

/// olric asked each partition of a slow node in turn under the table's lock: joins timed out.
#[test]
fn one_slow_node_holds_up_neither_writes_nor_a_join() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let nodes = world.cluster(4).await;
            let lead = leader(&nodes, None).await;
            let slow = &nodes[(lead + 1) % 4];
            for other in nodes.iter().filter(|other| other.addr() != slow.addr()) {
                let conditions = LinkConditions {
                    min_delay: Duration::from_millis(400),
                    max_delay: Duration::from_millis(600),
                    ..LinkConditions::default()
                };
                world
                    .network
                    .set_link(slow.addr(), other.addr(), conditions.clone());
                world.network.set_link(other.addr(), slow.addr(), conditions);
            }
            let began = Instant::now();
            for i in 0..50 {
                write(&nodes[lead], &format!("k{i}")).await;
            }
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            let began = Instant::now();
            let fifth = world.start(5, &[lead + 1]).await;
            until("its share", || {
                let view = fifth.view();
                view.partitions().any(|partition| partition.role().is_some())
            })
            .await;
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        });
    }
}
