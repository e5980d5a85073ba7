//! What the rebalancer keeps between checks equals what a first check would find, for any log.

mod scenarios;

use std::collections::BTreeSet;
use std::time::Duration;

use super::copy_watchdog::CopyWatchdog;
use super::handovers::Handovers;
use crate::env::Instant;
use crate::model::CopyState;
use crate::state::tests::random_topologies;

#[test]
fn what_is_kept_between_looks_is_what_a_first_look_finds() {
    let timeout = Duration::from_secs(1000);
    let mut found = [0, 0];
    for (log, topologies) in random_topologies(30).into_iter().enumerate() {
        let (mut roles, mut watchdog) = (Handovers::default(), CopyWatchdog::default());
        let start = Instant::now();
        for (step, topology) in topologies.iter().enumerate() {
            // Some changes are skipped, so that a later check sees several at once.
            if (log + step) % 4 == 3 {
                continue;
            }
            let due: Vec<u32> = roles.due(topology).iter().map(|p| p.number).collect();
            let anew: Vec<u32> = Handovers::default()
                .due(topology)
                .iter()
                .map(|p| p.number)
                .collect();
            assert_eq!(due, anew, "log {log}, step {step}");
            let now = start + Duration::from_secs(step as u64);
            watchdog.tick(topology, timeout, now);
            let copying: BTreeSet<_> = topology
                .partitions
                .iter()
                .filter(|p| {
                    topology.maintenance.is_none() && p.synced().any(|node| topology.is_serving(node))
                })
                .flat_map(|p| p.copies.iter().map(|copy| (p.number, copy)))
                .filter(|(_, copy)| copy.state == CopyState::Pending && topology.is_serving(&copy.node))
                .map(|(number, copy)| (number, copy.node.clone(), copy.since))
                .collect();
            assert_eq!(watchdog.copying(), copying, "log {log}, step {step}");
            found[0] += due.len();
            found[1] += copying.len();
        }
    }
    assert!(found.iter().all(|found| *found > 100), "{found:?}");
}
