//! Large values on links that carry little, over simulated connections: they arrive, and slow nothing else down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::net::sim::LinkConditions;
use clusterkit::{Expect, TimingProfile};

use crate::world::{SCENARIO_TIMEOUT, TestNode, World, leader, settle, simulate, until};

const MEBIBYTE: usize = 1 << 20;
/// Ten megabits.
const SLOW: u64 = 1_250_000;

async fn set(sim: &TestNode, key: &str, bytes: usize, timeout: Duration) -> clusterkit::Result<u64> {
    let value = vec![7; bytes].into();
    sim.set_data(key.to_owned(), value, Expect::Any, timeout).await
}

async fn cluster(world: &World, n: usize, timing: TimingProfile) -> Vec<TestNode> {
    world.network.use_connections();
    if timing == TimingProfile::Wan {
        world.network.set_conditions(LinkConditions {
            min_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(25),
            ..LinkConditions::default()
        });
    }
    let nodes = world.cluster_of(n, timing).await;
    settle(&nodes).await;
    nodes
}

/// How long each of some small writes took, until told to stop or `count` are made.
async fn small_writes(sim: &TestNode, count: usize, stop: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.len() < count && !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        set(sim, "small", 10, SCENARIO_TIMEOUT).await.unwrap();
        took.push(began.elapsed());
        env::sleep(Duration::from_millis(5)).await;
    }
    took.sort();
    took
}

/// The 99th percentile.
fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// The 99th percentiles of small writes, alone and beside large ones, and how long the large ones took.
async fn beside(nodes: &[TestNode], small: usize, large: usize) -> (Duration, Duration, Vec<Duration>) {
    let stop = Arc::new(AtomicBool::new(false));
    let alone = small_writes(&nodes[small], 200, &stop).await;
    let writing = async {
        let mut took = Vec::new();
        for _ in 0..4 {
            let began = Instant::now();
            set(&nodes[large], "large", MEBIBYTE, SCENARIO_TIMEOUT)
                .await
                .unwrap();
            took.push(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        took
    };
    let (took, beside) =
        futures_util::future::join(writing, small_writes(&nodes[small], usize::MAX, &stop)).await;
    (p99(&alone), p99(&beside), took)
}

#[test]
fn large_values_on_slow_links_arrive_and_small_writes_pass_between_them() {
    let lan = [(0, 0), (1, 0), (0, 1)].map(|who| (TimingProfile::Lan, who));
    let others = [(TimingProfile::Fast, (1, 0)), (TimingProfile::Wan, (0, 0))];
    for (timing, (small, large)) in lan.into_iter().chain(others) {
        simulate(3, async |world| {
            let nodes = cluster(&world, 3, timing).await;
            let leads = leader(&nodes, None).await;
            let epoch = nodes[leads].leader_epoch();
            for sim in &nodes {
                world.network.set_rate(sim.addr(), Some(SLOW));
            }
            let of = |i: usize| (leads + i) % nodes.len();
            let (alone, beside, took) = beside(&nodes, of(small), of(large)).await;
            let what = format!(
                "{}, small on {small}, large on {large} after the leader: small {alone:?} alone, {beside:?} beside, \
                     large {took:?}",
                timing.name()
            );
            assert!(beside < alone * 10, "{what}");
            assert!(took.iter().all(|took| *took < Duration::from_secs(8)), "{what}");
            assert!(nodes[leads].is_leader(), "{what}");
            assert_eq!(nodes[leads].leader_epoch(), epoch, "{what}");
        });
    }
}

#[test]
fn one_slow_voter_slows_nobody() {
    simulate(4, async |world| {
        let nodes = cluster(&world, 3, TimingProfile::Lan).await;
        let leads = leader(&nodes, None).await;
        world
            .network
            .set_rate(nodes[(leads + 1) % 3].addr(), Some(SLOW / 50));
        for _ in 0..5 {
            let began = Instant::now();
            set(&nodes[leads], "large", MEBIBYTE, SCENARIO_TIMEOUT)
                .await
                .unwrap();
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
        assert!(nodes[leads].is_leader());
    });
}

/// What a follower that is so many bytes behind takes of what its link could carry meanwhile.
fn share_of_link(mebibytes: usize) -> f64 {
    simulate(5, async move |world| {
        let nodes = cluster(&world, 3, TimingProfile::Lan).await;
        let leads = leader(&nodes, None).await;
        let behind = &nodes[(leads + 1) % 3];
        let epoch = nodes[leads].leader_epoch();
        world.network.isolate(behind.addr());
        let mut revision = 0;
        for i in 0..mebibytes {
            revision = set(&nodes[leads], &format!("{i:03}"), MEBIBYTE, SCENARIO_TIMEOUT)
                .await
                .unwrap();
        }
        for sim in &nodes {
            world.network.set_rate(sim.addr(), Some(SLOW));
        }
        world.network.heal();
        let began = Instant::now();
        let deadline = Duration::from_secs(30 + 4 * mebibytes as u64);
        while behind.revision() < revision {
            assert!(
                began.elapsed() < deadline,
                "at {} of {revision}",
                behind.revision()
            );
            env::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(nodes[leads].leader_epoch(), epoch, "there was an election");
        let least = (mebibytes * MEBIBYTE) as f64 / SLOW as f64;
        least / began.elapsed().as_secs_f64()
    })
}

#[test]
fn a_follower_that_is_far_behind_catches_up_as_fast_as_its_link_carries() {
    // By the log, and by a snapshot.
    for mebibytes in [10, 40] {
        let share = share_of_link(mebibytes);
        assert!(share > 0.8, "{mebibytes} MiB: {:.0} % of the link", share * 100.0);
    }
}

#[test]
fn a_large_value_passes_on_any_link_that_carries_anything() {
    for (timing, rate) in [
        (TimingProfile::Fast, SLOW * 10),
        (TimingProfile::Lan, SLOW / 5),
        (TimingProfile::Wan, SLOW * 2),
    ] {
        simulate(6, async |world| {
            let nodes = cluster(&world, 3, timing).await;
            let leads = leader(&nodes, None).await;
            for sim in &nodes {
                world.network.set_rate(sim.addr(), Some(rate));
            }
            let revision = set(&nodes[leads], "large", MEBIBYTE, SCENARIO_TIMEOUT)
                .await
                .unwrap();
            for sim in &nodes {
                until("everybody has it", || sim.revision() >= revision).await;
                assert_eq!(sim.data("large").map(|entry| entry.value.len()), Some(MEBIBYTE));
            }
            assert!(nodes[leads].is_leader());
        });
    }
}
