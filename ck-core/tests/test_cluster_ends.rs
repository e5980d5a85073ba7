//! A hundred clusters, one after the other, leave nothing behind. A program of its own: it counts the threads and the
//! memory of its process.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::time::{Duration, Instant};

use clusterkit::Expect;
use clusterkit::hooks::EventType;
use clusterkit::testing::TestCluster;

const TIMEOUT: Duration = Duration::from_secs(300);
/// Clusters before the first count: what is made once, such as pools of memory, is made by then.
const WARM_UP_CLUSTERS: usize = 20;
const CLUSTERS: usize = 100;
/// How much the process may grow over all clusters. One cluster that stays is more than a hundredth of that.
const MAX_GROWTH_KIB: u64 = 16 << 10;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Memory of the process that is resident.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn one_life(number: usize) {
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(4)
        .prepare(|_, node| node.on(EventType::PartitionChange, |_| Ok(())).map(drop))
        .start()
        .unwrap();
    let node = cluster.node(number % 2).unwrap();
    node.set_custom_data("a", "1", Expect::Any, TIMEOUT).unwrap();
    match number % 4 {
        0 => cluster.kill(1).unwrap(),
        1 => cluster.pause(0).unwrap(),
        2 => cluster.isolate(1).unwrap(),
        _ => {}
    }
    cluster.advance(Duration::from_secs(1)).unwrap();
    match number % 3 {
        0 => drop(cluster),
        _ => cluster.close().unwrap(),
    }
}

#[test]
fn a_hundred_clusters_leave_nothing_behind() {
    let before = threads();
    (0..WARM_UP_CLUSTERS).for_each(one_life);
    let warm = resident_kib();
    (0..CLUSTERS).for_each(one_life);
    let grown = resident_kib().saturating_sub(warm);
    // The system may take a moment to forget a thread that was joined.
    let began = Instant::now();
    while threads() > before {
        assert!(
            began.elapsed() < TIMEOUT,
            "{} threads, {before} before",
            threads()
        );
        std::thread::yield_now();
    }
    assert!(
        grown < MAX_GROWTH_KIB,
        "{grown} KiB more than after {WARM_UP_CLUSTERS} clusters"
    );
}
