//! Nodes that are killed: `kill -9`, at any moment, any of them, all of them.

use std::thread;
use std::time::{Duration, Instant};

use ck_tests::{Cluster, LeaderWatch, Load, copies, primaries};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::PROGRAM;

/// A moment that nothing in the cluster chose.
fn some_moment(random: &mut StdRng, longest: u64) {
    thread::sleep(Duration::from_millis(random.random_range(0..=longest)));
}

/// Kills and restarts one node after the other, each third time the leader, and mostly but not always waits until
/// the node is back. Then every acknowledged write must be on every node.
fn rounds(nodes: usize, rounds: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::of(PROGRAM, nodes);
    let before = copies(&cluster.settle().cluster);
    let load = Load::start(&cluster, 6, seed);
    let addrs = cluster
        .nodes()
        .iter()
        .map(|node| node.addr().to_owned())
        .collect();
    let watch = LeaderWatch::start(addrs);
    let start = Instant::now();
    for round in 0..rounds {
        if round % 10 == 0 {
            load.wait_progress(&cluster, 10);
        }
        let mut victim = random.random_range(0..nodes);
        if random.random_ratio(1, 3)
            && let Ok(leader) = cluster.api(victim).leader()
        {
            victim = cluster.place_of(&leader.leader_id);
        }
        some_moment(&mut random, 40);
        cluster.node(victim).kill();
        some_moment(&mut random, 40);
        cluster.node(victim).spawn_again();
        if random.random_ratio(3, 4) {
            cluster.node(victim).wait_ready();
        } else {
            some_moment(&mut random, 80);
        }
    }
    let took = start.elapsed();
    let journal = load.finish();
    let epochs = watch.finish();
    let after = cluster.settle().cluster;
    for api in cluster.apis() {
        let snapshot = api.cluster().unwrap();
        journal.check(&snapshot.cluster);
        journal.check_revisions(&api);
    }
    let (done, unknown) = journal.totals();
    println!(
        "{rounds} rounds with {nodes} nodes in {took:?}: {epochs} epochs, {done} writes, {unknown} unknown"
    );
    assert_eq!(copies(&after), before, "a node that comes back keeps its copies");
    assert!(epochs > rounds / 10, "leaders were killed");
}

#[test]
fn sixty_kills_of_any_of_three_nodes_lose_no_acknowledged_write() {
    rounds(3, 60, 3);
}

#[test]
fn forty_kills_of_any_of_five_nodes_lose_no_acknowledged_write() {
    rounds(5, 40, 5);
}

#[test]
fn a_leader_that_is_killed_and_returns_leads_in_a_new_term_with_a_new_epoch() {
    for nodes in [1, 3] {
        let mut cluster = Cluster::of(PROGRAM, nodes);
        let mut before = cluster.api(0).leader().unwrap();
        for _ in 0..3 {
            let place = cluster.place_of(&before.leader_id);
            cluster.node(place).kill();
            cluster.node(place).spawn_again();
            cluster.node(place).wait_ready();
            let leader = cluster.leader();
            let after = cluster.api(leader).leader().unwrap();
            // What the killed process had sent out can be told from what anybody sends now.
            assert!(after.term > before.term, "{before:?}, then {after:?}");
            assert!(after.epoch > before.epoch, "{before:?}, then {after:?}");
            before = after;
        }
    }
}

#[test]
fn a_majority_goes_on_writing_when_the_leader_is_killed() {
    for nodes in [3, 5] {
        let mut cluster = Cluster::of(PROGRAM, nodes);
        let before = cluster.api(0).put("before", "1").unwrap();
        // As many as may be missing, the leader first each time.
        for death in 0..nodes / 2 {
            let leader = cluster.leader();
            cluster.node(leader).kill();
            let start = Instant::now();
            for api in cluster.apis() {
                let revision = api.put(&format!("after/{death}"), "1").unwrap();
                assert!(revision > before);
                assert!(api.value("before", revision).unwrap().is_some());
            }
            let took = start.elapsed();
            println!("{nodes} nodes, death {death}: written through all survivors after {took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }
}

#[test]
fn when_all_nodes_are_killed_at_once_and_return_every_acknowledged_write_is_there_and_no_copy_has_moved() {
    let mut cluster = Cluster::of(PROGRAM, 5);
    let before = cluster.settle().cluster;
    let load = Load::start(&cluster, 3, 11);
    load.wait_progress(&cluster, 100);
    for place in 0..cluster.len() {
        cluster.node(place).kill();
    }
    let journal = load.finish();
    for place in 0..cluster.len() {
        cluster.node(place).spawn_again();
    }
    for place in 0..cluster.len() {
        cluster.node(place).wait_ready();
    }
    let after = cluster.settle().cluster;
    assert_eq!(copies(&after), copies(&before));
    assert_eq!(primaries(&after).len(), 64);
    assert_eq!(after.id, before.id);
    assert!(after.epoch > before.epoch);
    for api in cluster.apis() {
        journal.check(&api.cluster().unwrap().cluster);
        journal.check_revisions(&api);
    }
}
