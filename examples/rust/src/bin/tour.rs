//! A tour of ClusterKit: three nodes hold an application's data, which the application copies itself. The same program exists
//! in C, C++ and Go, and prints the same lines (`examples/tour.txt`).
//!
//! `cargo run -p clusterkit-example-rust --bin tour`. In a real deployment each node lives in a process of its own, and copies
//! over the network.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clusterkit::model::PartitionState;
use clusterkit::prelude::*;
use clusterkit::{Error, Result};

const PARTITIONS: u32 = 16;
const KEYS: [&str; 5] = ["user:1", "user:2", "user:3", "user:4", "user:5"];
const TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// What a node holds of one partition.
#[derive(Clone, Default)]
struct PartitionData {
    entries: BTreeMap<String, String>,
    /// The epoch of the last write: one from an earlier primary has an older one, and is refused.
    epoch: u64,
}

/// The application's own storage on one node, by partition.
#[derive(Default)]
struct Storage(Mutex<HashMap<u32, PartitionData>>);

impl Storage {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<u32, PartitionData>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes to a partition that it holds, unless a later primary has written there.
    fn write_fenced(&self, partition: u32, epoch: u64, key: &str, value: &str) -> bool {
        self.with(|held| match held.get_mut(&partition) {
            Some(data) if epoch >= data.epoch => {
                data.epoch = epoch;
                data.entries.insert(key.to_owned(), value.to_owned());
                true
            }
            _ => false,
        })
    }

    fn has(&self, partition: u32, key: &str) -> bool {
        self.with(|held| {
            held.get(&partition)
                .is_some_and(|data| data.entries.contains_key(key))
        })
    }
}

type Storages = Arc<HashMap<String, Storage>>;

/// The hook that copies: what success means is that the data is there. Every node hears of every change; each acts on its own.
fn on_partition_change(me: &str, storages: &Storages, event: &Event) -> Result<(), String> {
    let EventKind::PartitionChange(change) = &event.kind else {
        return Ok(());
    };
    let Some(mine) = storages.get(me).filter(|_| *change.node_id == *me) else {
        return Ok(());
    };
    match change.change {
        RoleChange::GainedReplica => {
            let source = change
                .copy_from_nodes
                .first()
                .and_then(|node| storages.get(&*node.id));
            let copy = source.and_then(|source| source.with(|held| held.get(&change.number).cloned()));
            mine.with(|held| held.insert(change.number, copy.unwrap_or_default()));
        }
        // Of a copy that is here, or of a new partition, which is empty.
        RoleChange::GainedPrimary => mine.with(|held| {
            held.entry(change.number).or_default();
        }),
        RoleChange::LostCopy => {
            mine.with(|held| held.remove(&change.number));
        }
        _ => {}
    }
    Ok(())
}

fn start(number: usize, join: Option<String>, storages: &Storages) -> Result<ClusterKit> {
    let id = format!("node-{number}");
    let options = Options::builder(&*id, "127.0.0.1:0")
        .join_addrs(join)
        .data_dir("")
        .partition_count(PARTITIONS)
        .replication_factor(2)
        .build()?;
    let node = ClusterKit::new(options)?;
    let storages = storages.clone();
    node.on(EventType::PartitionChange, move |event| {
        on_partition_change(&id, &storages, event)
    })?;
    node.start()?;
    Ok(node)
}

/// Waits until a node sees so many members, and every partition where it should be.
fn wait_until_settled(node: &ClusterKit, members: usize) {
    let settled = || {
        let view = node.view();
        view.nodes().len() == members
            && view.partition_count() == PARTITIONS
            && view
                .partitions()
                .all(|partition| partition.state() == PartitionState::Ok)
    };
    while !settled() {
        std::thread::sleep(PAUSE);
    }
}

/// The node that takes the writes of a partition at this moment, with the epoch to fence them with.
fn primary_of(nodes: &[ClusterKit], partition: u32) -> (&ClusterKit, u64) {
    loop {
        for node in nodes {
            if let Ok(epoch) = node.primary_epoch(partition) {
                return (node, epoch);
            }
        }
        // The role is between two nodes.
        std::thread::sleep(PAUSE);
    }
}

fn partition_of(node: &ClusterKit, key: &str) -> Result<u32> {
    node.partition_number(key.as_bytes())
        .ok_or_else(|| Error::new(ErrorCode::NotFound, "there are no partitions yet"))
}

fn main() -> Result<()> {
    let names = (1..=3).map(|number| format!("node-{number}"));
    let storages: Storages = Arc::new(names.map(|name| (name, Storage::default())).collect());
    let mut nodes = Vec::new();
    for number in 1..=3 {
        let founder = nodes.first().and_then(ClusterKit::http_addr);
        nodes.push(start(number, founder, &storages)?);
    }
    nodes.iter().for_each(|node| wait_until_settled(node, 3));
    println!("3 nodes, {PARTITIONS} partitions, 2 copies of each");

    // Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
    for key in KEYS {
        let partition = partition_of(&nodes[0], key)?;
        let (_, epoch) = primary_of(&nodes, partition);
        let write = |storage: &&Storage| storage.write_fenced(partition, epoch, key, "hello");
        let written = storages.values().filter(write).count();
        println!("{key} belongs to partition {partition}, written to {written} copies");
    }

    // An earlier primary that was cut off and writes late has an older epoch.
    let partition = partition_of(&nodes[0], KEYS[0])?;
    let (primary, epoch) = primary_of(&nodes, partition);
    let storage = storages.get(&**primary.my_node_id());
    let taken = storage.is_some_and(|storage| storage.write_fenced(partition, epoch - 1, KEYS[0], "late"));
    println!(
        "a write with an older epoch is {}",
        if taken { "taken" } else { "refused" }
    );

    // A small value that every node has: written where there is none, and not a second time.
    let revision = nodes[0].set_custom_data("config/limit", "10", Expect::Absent, TIMEOUT)?;
    let second = nodes[1].set_custom_data("config/limit", "20", Expect::Absent, TIMEOUT);
    let outcome = second.map_or_else(|error| error.code().name(), |_| "OK");
    println!("writing config/limit a second time: {outcome}");
    let revision = nodes[1].set_custom_data("config/limit", "20", Expect::Revision(revision), TIMEOUT)?;
    nodes[2].wait_for_revision(revision, TIMEOUT)?;
    if let Some(entry) = nodes[2].custom_data("config/limit") {
        println!("config/limit: {}", String::from_utf8_lossy(&entry.value));
    }

    // A node leaves for ever: what it holds is copied to the others first.
    if let Some(leaver) = nodes.pop() {
        leaver.leave(TIMEOUT)?;
    }
    wait_until_settled(&nodes[0], 2);
    let mut found = 0;
    for key in KEYS {
        let partition = partition_of(&nodes[0], key)?;
        let stays = |node: &ClusterKit| storages.get(&**node.my_node_id());
        found += usize::from(
            nodes
                .iter()
                .filter_map(stays)
                .all(|storage| storage.has(partition, key)),
        );
    }
    println!(
        "node-3 has left: {found} of {} keys are on both of the others",
        KEYS.len()
    );
    for node in nodes.iter().rev() {
        node.stop()?;
    }
    println!("stopped");
    Ok(())
}
