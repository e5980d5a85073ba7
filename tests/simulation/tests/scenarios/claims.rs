//! What nodes say of themselves and of each other: of which partitions they are primary, and who is there.

use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::model::NodeStatus;
use clusterkit::sim::SimNode;

use crate::world::{SCENARIO_TIMEOUT, TestNode};

/// How many partitions each node answers that it is primary of; fails where two answer it of one.
pub(crate) fn claims(nodes: &[&TestNode]) -> Vec<usize> {
    let partitions = nodes.iter().map(|sim| sim.view().partition_count()).max();
    let mut counts = vec![0; nodes.len()];
    for number in 0..partitions.unwrap_or(0) {
        let claimed: Vec<usize> = (0..nodes.len())
            .filter(|i| nodes[*i].is_primary(number))
            .collect();
        assert!(
            claimed.len() <= 1,
            "partition-{number} has primaries {claimed:?} at {:?}",
            Instant::now()
        );
        for i in claimed {
            counts[i] += 1;
        }
    }
    counts
}

/// Watches the claims of all for as long as `condition` has not come about.
pub(crate) async fn watched(what: &str, nodes: &[&TestNode], condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SCENARIO_TIMEOUT;
    while !condition() {
        claims(nodes);
        assert!(Instant::now() < deadline, "{what} did not come about");
        env::sleep(Duration::from_millis(1)).await;
    }
}

/// Every partition is claimed by somebody.
pub(crate) async fn served(nodes: &[&TestNode]) {
    let total = nodes[0].view().partition_count() as usize;
    watched("service of every partition", nodes, || {
        claims(nodes).iter().sum::<usize>() == total
    })
    .await;
}

/// The status of a member, as `sim` sees it.
pub(crate) fn status(sim: &SimNode, id: &str) -> Option<NodeStatus> {
    sim.view().node(id).map(|node| node.status)
}
