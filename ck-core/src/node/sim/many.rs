//! Many nodes that start at once: what is counted is log entries, because every one of them goes to every node.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::tests::simulate;
use super::{World, until};
use crate::env::disk::MemDisk;
use crate::model::Partition;
use crate::node::Node;

const PARTITIONS: u32 = 96;

fn is_formed(node: &Node, members: usize) -> bool {
    let view = node.view();
    let topology = view.topology();
    let in_place = |p: &Arc<Partition>| p.is_settled() && p.copies.len() == 3;
    topology.active_count() == members
        && topology.partitions.len() == PARTITIONS as usize
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
            world.make_without_hooks(&options, Arc::new(MemDisk::new()))
        };
        let founder = make(1, &[]);
        founder.start().await.unwrap();
        let others: Vec<Arc<Node>> = (2..joiners + 2).map(|i| make(i, &[1])).collect();
        for started in join_all(others.iter().map(|node| node.start())).await {
            started.unwrap();
        }
        until("all in place", || is_formed(&founder, joiners + 1)).await;
        // Nothing follows by itself.
        let revision = founder.view().revision();
        crate::env::sleep(Duration::from_secs(2)).await;
        assert_eq!(founder.view().revision(), revision);
        for node in &others {
            until("all in place everywhere", || is_formed(node, joiners + 1)).await;
        }
        revision
    })
}

#[test]
fn nodes_that_join_together_cost_a_few_entries_each() {
    let [few, many] = [4, 12].map(entries);
    // Each joins, is activated, and confirms what it holds: the first few copies, then the rest at once. What else there is
    // is for all of them together.
    assert!(few < 5 * 4 + 50, "{few} entries for 4 nodes");
    assert!(many < 5 * 12 + 50, "{many} entries for 12 nodes");
}
