//! Test clusters: what they promise to the tests of applications.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

mod beside;
mod clock;
mod cuts;
mod disks;
mod ends;
mod failures;
mod formation;
mod hooks;
mod pauses;

use std::time::Duration;

use clusterkit::testing::TestCluster;
use clusterkit::{ClusterKit, Expect, Options};

/// How long anything may take, on the clock of a cluster.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A settled cluster of three nodes with few partitions.
fn three() -> TestCluster {
    TestCluster::builder().partitions(8).start().unwrap()
}

/// Heartbeats every ten seconds: an hour is cheap.
fn rare_heartbeats(options: &mut Options) {
    options.timing.heartbeat = Some(Duration::from_secs(10));
    options.timing.election_min = Some(Duration::from_secs(30));
    options.timing.election_max = Some(Duration::from_secs(60));
    options.sync_interval = Some(Duration::from_secs(60));
}

fn write(node: &ClusterKit, key: &str, value: &str) -> u64 {
    node.set_custom_data(key, value.to_owned(), Expect::Any, TIMEOUT)
        .unwrap()
}

fn read(node: &ClusterKit, key: &str) -> Option<String> {
    let entry = node.custom_data(key)?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

/// The partitions of which a node says that it is primary.
fn claims(node: &ClusterKit) -> Vec<u32> {
    let partitions = 0..node.view().partition_count();
    partitions.filter(|number| node.is_primary(*number)).collect()
}
