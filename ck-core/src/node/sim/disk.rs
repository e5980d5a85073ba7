//! Disks that fail under nodes that write nothing.

use std::time::Duration;

use super::failure::{status, watched};
use super::tests::simulate;
use super::{SimNode, leader};
use crate::env::Instant;
use crate::env::disk::Faults;
use crate::model::NodeStatus;

/// How long it may take until the others know.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_quiet_node_whose_directory_turned_read_only_leaves_its_partitions_to_others_and_says_so() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            // It is the leader half of the time.
            let failing = (leader(&nodes, None).await + seed as usize % 2) % 3;
            let id = nodes[failing].node.id().to_string();
            let began = Instant::now();
            nodes[failing].disk.set_faults(Faults {
                read_only: true,
                ..Faults::default()
            });
            let others: Vec<&SimNode> = (0..3).filter(|i| *i != failing).map(|i| &nodes[i]).collect();
            let all: Vec<&SimNode> = nodes.iter().collect();
            watched("its failure", &all, || {
                others
                    .iter()
                    .all(|sim| status(sim, &id) == Some(NodeStatus::Failed))
            })
            .await;
            assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
            let complaint = nodes[failing].node.complaint().unwrap();
            for part in ["Raft has stopped", "its log has failed", "/data", "read-only"] {
                assert!(complaint.contains(part), "{complaint}");
            }
        });
    }
}
