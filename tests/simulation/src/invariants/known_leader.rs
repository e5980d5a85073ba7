//! Nobody is named leader who has not led for a lease (docs/consistency.md, "Reads"): what a node says of now is of now.

use std::collections::BTreeMap;

use clusterkit::model::Topology;
use clusterkit::sim::SimNode;

use crate::trace;

/// Besides the lease: clocks differ by a tenth, and nodes are asked every few milliseconds only.
const SLACK: f64 = 1.0;

/// When each node was last seen to lead, in simulated seconds.
#[derive(Default)]
pub(crate) struct KnownLeader {
    led: BTreeMap<String, f64>,
    highest: u64,
}

impl KnownLeader {
    /// A leadership is recorded, perhaps of a node that is not asked before it dies.
    pub(crate) fn applied(&mut self, topology: &Topology) {
        if let Some(leader) = topology
            .leader
            .as_ref()
            .filter(|_| topology.leader_epoch > self.highest)
        {
            self.highest = topology.leader_epoch;
            self.led.insert(leader.to_string(), trace::seconds());
        }
    }

    pub(crate) fn check(&mut self, up: &[SimNode], leading: &[SimNode]) -> Result<(), String> {
        let now = trace::seconds();
        for node in leading {
            self.led.insert(node.id().to_string(), now);
        }
        for node in up {
            let Some(named) = node.leader() else { continue };
            let lease = node.topology().config.lease_ttl().as_secs_f64();
            let led = self.led.get(&*named.leader_id).copied().unwrap_or(f64::MIN);
            if now > led + lease * 1.25 + SLACK {
                return Err(format!(
                    "{} names {} as the leader, which last led at {led:.4} s",
                    node.id(),
                    named.leader_id
                ));
            }
        }
        Ok(())
    }
}
