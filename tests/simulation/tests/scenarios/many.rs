//! Many nodes that start at once: what is counted is log entries, because every one of them goes to every node.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::env::{self, MemDisk};
use clusterkit::model::{EventKind, Partition};
use clusterkit::sim::{SimNode, observe};
use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::world::{TestNode, World, simulate, until};

const PARTITIONS: u32 = 96;

fn is_formed(node: &SimNode, members: usize) -> bool {
    are_formed(node, members, PARTITIONS)
}

fn are_formed(node: &SimNode, members: usize, partitions: u32) -> bool {
    let view = node.view();
    let topology = view.topology();
    let in_place = |p: &Arc<Partition>| p.is_stable() && p.copies.len() == 3;
    topology.active_count() == members
        && topology.partitions.len() == partitions as usize
        && topology.partitions.iter().all(in_place)
        && view
            .partition_stats()
            .replicas_per_node
            .values()
            .all(|count| *count > 0)
}

/// Founds a cluster, and has so many nodes join at once; gives how many entries the log has when all is in place.
fn entries(joiners: usize) -> u64 {
    simulate(7, |world| async move {
        let make = |i: usize, through: &[usize]| {
            let mut options = World::options(i, through);
            options.partition_count = through.is_empty().then_some(PARTITIONS);
            world.make_without_hook(options, Arc::new(MemDisk::new()))
        };
        let founder = make(1, &[]);
        founder.start().await.unwrap();
        let others: Vec<TestNode> = (2..joiners + 2).map(|i| make(i, &[1])).collect();
        for started in join_all(others.iter().map(|node| node.start())).await {
            started.unwrap();
        }
        until("all in place", || is_formed(&founder, joiners + 1)).await;
        // Nothing follows by itself.
        let revision = founder.view().revision();
        env::sleep(Duration::from_secs(2)).await;
        assert_eq!(founder.view().revision(), revision);
        for node in &others {
            until("all in place everywhere", || is_formed(node, joiners + 1)).await;
        }
        revision
    })
}

/// So many partitions are more than a plan commits at a time.
const LARGE: u32 = 3000;
/// The most that one part of a plan moves.
const PART: usize = 1024;

#[test]
fn a_large_plan_is_committed_in_parts_and_moves_all() {
    let told: Arc<Mutex<Vec<(bool, usize)>>> = Arc::default();
    let heard = told.clone();
    observe(Some(Box::new(move |applied| {
        let events = applied.events.iter().filter(|_| applied.node == "node-1");
        let mut told = heard.lock();
        told.extend(events.filter_map(|event| match &event.kind {
            EventKind::RebalanceStart(run) => Some((true, run.partitions_to_move)),
            EventKind::RebalanceComplete(run) => Some((false, run.partitions_to_move)),
            _ => None,
        }));
    })));
    simulate(11, |world| async move {
        let make = |i: usize, through: &[usize]| {
            let mut options = World::options(i, through);
            options.partition_count = through.is_empty().then_some(LARGE);
            world.make_without_hook(options, Arc::new(MemDisk::new()))
        };
        let founder = make(1, &[]);
        founder.start().await.unwrap();
        let others: Vec<TestNode> = (2..5).map(|i| make(i, &[1])).collect();
        for started in join_all(others.iter().map(|node| node.start())).await {
            started.unwrap();
        }
        for node in others.iter().chain([&founder]) {
            until("all in place everywhere", || are_formed(node, 4, LARGE)).await;
        }
    });
    observe(None);
    let told = told.lock();
    let sizes = |start: bool| told.iter().filter(move |run| run.0 == start).map(|run| run.1);
    assert!(sizes(true).all(|size| size <= PART), "{told:?}");
    assert!(sizes(false).sum::<usize>() >= LARGE as usize, "{told:?}");
}

#[test]
fn nodes_that_join_together_cost_a_few_entries_each() {
    let [few, many] = [4, 12].map(entries);
    // Each joins, is activated, and confirms what it holds: the first few copies, then the rest at once. What else there is
    // is for all of them together.
    assert!(few < 5 * 4 + 50, "{few} entries for 4 nodes");
    assert!(many < 5 * 12 + 50, "{many} entries for 12 nodes");
}
