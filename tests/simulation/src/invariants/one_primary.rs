//! At no instant do two nodes hold primary for one partition.
//!
//! By what nodes answer: a node that nobody can ask, because it is paused or dead, holds nothing at that instant; the
//! moment it wakes it is asked like everybody else.

use std::collections::BTreeMap;

use clusterkit::sim::SimNode;

/// Asks every node about every partition.
pub(crate) fn check(up: &[SimNode]) -> Result<(), String> {
    let mut claimed = BTreeMap::new();
    for node in up {
        for number in node.claims() {
            if let Some(other) = claimed.insert(number, node) {
                return Err(format!(
                    "{} (revision {}) and {} (revision {}) are both primary of partition {number}",
                    other.id(),
                    other.revision(),
                    node.id(),
                    node.revision()
                ));
            }
        }
    }
    Ok(())
}
