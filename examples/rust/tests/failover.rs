//! How an application tests itself: its code is that of production, its cluster is one in memory, and nobody waits for a
//! timeout. `docs/testing.md` has more.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clusterkit::model::PartitionChangeEvent;
use clusterkit::prelude::*;
use clusterkit::testing::TestCluster;

const TIMEOUT: Duration = Duration::from_secs(120);

/// The values of one partition.
type Values = BTreeMap<String, String>;

/// A store that keeps the partitions of its node, and takes writes of those that the node is primary of.
#[derive(Default)]
struct Store {
    partitions: Mutex<BTreeMap<u32, Values>>,
}

/// Where the stores of all nodes are found. In production this is a network.
type Stores = Arc<BTreeMap<String, Store>>;

/// Copies what the node gains and forgets what it loses: the hook of the application.
fn follow(stores: &Stores, me: &str, change: &PartitionChangeEvent) -> Result<(), String> {
    let store = stores.get(me).ok_or("this node has no store")?;
    if &*change.node_id != me {
        return Ok(());
    }
    match change.change {
        RoleChange::GainedReplica => {
            let source = change
                .copy_from_nodes
                .first()
                .and_then(|node| stores.get(&*node.id));
            let copied =
                source.and_then(|source| source.partitions.lock().unwrap().get(&change.number).cloned());
            let mut own = store.partitions.lock().unwrap();
            match copied {
                Some(values) => drop(own.insert(change.number, values)),
                None => drop(own.entry(change.number).or_default()),
            }
        }
        RoleChange::LostCopy => drop(store.partitions.lock().unwrap().remove(&change.number)),
        _ => {}
    }
    Ok(())
}

/// Writes a value on the node, if it is primary, and on all its replicas.
fn write(stores: &Stores, node: &ClusterKit, key: &str, value: &str) -> Result<(), String> {
    let leased = node.leased_view();
    let partition = leased
        .view()
        .partition(key.as_bytes())
        .ok_or("no partitions yet")?;
    if !leased.is_primary(&partition) {
        return Err(format!("{} is not primary of {partition}", node.my_node_id()));
    }
    for holder in partition.nodes() {
        let store = stores.get(&*holder.id).ok_or("no store")?;
        let mut partitions = store.partitions.lock().unwrap();
        partitions
            .entry(partition.number())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

fn read(stores: &Stores, node: &ClusterKit, key: &str) -> Option<String> {
    let number = node.partition_number(key.as_bytes())?;
    let store = stores.get(&**node.my_node_id())?;
    let partitions = store.partitions.lock().unwrap();
    partitions.get(&number)?.get(key).cloned()
}

fn cluster() -> (TestCluster, Stores) {
    let stores: Stores = Arc::new(
        (0..4)
            .map(|index| (format!("node-{index}"), Store::default()))
            .collect(),
    );
    let hooked = stores.clone();
    let cluster = TestCluster::builder()
        .nodes(4)
        .partitions(16)
        .replication_factor(2)
        .prepare(move |_, node| {
            let (stores, me) = (hooked.clone(), node.my_node_id().clone());
            node.on(EventType::PartitionChange, move |event| match &event.kind {
                EventKind::PartitionChange(change) => follow(&stores, &me, change),
                _ => Ok(()),
            })
            .map(drop)
        })
        .start()
        .unwrap();
    (cluster, stores)
}

#[test]
fn what_was_written_survives_the_death_of_each_node() {
    let (cluster, stores) = cluster();
    let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
    let primary = |key: &str| {
        let index = cluster.primary_of(key.as_bytes()).unwrap();
        cluster.node(index).unwrap()
    };
    for key in &keys {
        write(&stores, &primary(key), key, "written").unwrap();
    }
    // One after the other: with two copies of everything, one node may be missing at a time.
    for index in 0..4 {
        cluster.kill(index).unwrap();
        cluster.wait_settled(TIMEOUT).unwrap();
        for key in &keys {
            assert_eq!(
                read(&stores, &primary(key), key).as_deref(),
                Some("written"),
                "{key}"
            );
        }
        cluster.restart(index).unwrap();
        cluster.wait_settled(TIMEOUT).unwrap();
    }
}

#[test]
fn a_primary_that_was_paused_takes_no_write() {
    let (cluster, stores) = cluster();
    let paused = cluster.primary_of(b"key").unwrap();
    let node = cluster.node(paused).unwrap();
    write(&stores, &node, "key", "1").unwrap();
    cluster.pause(paused).unwrap();
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    let successor = cluster.node(cluster.primary_of(b"key").unwrap()).unwrap();
    write(&stores, &successor, "key", "2").unwrap();
    // It does not know of its successor, but its lease has ended.
    let refused = write(&stores, &node, "key", "3").unwrap_err();
    assert!(refused.contains("is not primary"), "{refused}");
    cluster.resume(paused).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    let holders: BTreeSet<_> = (0..4)
        .filter_map(|index| read(&stores, &cluster.node(index).unwrap(), "key"))
        .collect();
    assert_eq!(holders, BTreeSet::from(["2".to_owned()]));
}
