//! The epoch of a partition grows whenever its primary changes, and the leader epoch with each leader (three
//! counters fence stale actors). So one epoch never has two holders, whichever node one asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use clusterkit::model::Topology;

#[derive(Default)]
pub(crate) struct Epochs {
    /// The topology that each process showed last.
    last: BTreeMap<(String, u64), Arc<Topology>>,
    holders: BTreeMap<(u32, u64), String>,
    leaders: BTreeMap<u64, String>,
}

impl Epochs {
    pub(crate) fn check(&mut self, node: &str, process: u64, now: &Arc<Topology>) -> Result<(), String> {
        let before = self.last.insert((node.to_owned(), process), now.clone());
        if let Some(before) = &before {
            if Arc::ptr_eq(before, now) {
                return Ok(());
            }
            if now.leader_epoch < before.leader_epoch {
                return Err(format!(
                    "on {node} the leader epoch fell from {} to {}",
                    before.leader_epoch, now.leader_epoch
                ));
            }
        }
        if let Some(leader) = &now.leader {
            let known = self
                .leaders
                .entry(now.leader_epoch)
                .or_insert_with(|| leader.to_string());
            if **known != **leader {
                return Err(format!(
                    "leader epoch {} is {known}'s and {leader}'s",
                    now.leader_epoch
                ));
            }
        }
        for (i, partition) in now.partitions.iter().enumerate() {
            if let Some(old) = before.as_ref().and_then(|before| before.partitions.get(i)) {
                if Arc::ptr_eq(old, partition) {
                    continue;
                }
                if partition.epoch < old.epoch {
                    return Err(format!(
                        "on {node} the epoch of partition {i} fell from {} to {}",
                        old.epoch, partition.epoch
                    ));
                }
            }
            let Some(primary) = &partition.primary else {
                continue;
            };
            let known = self
                .holders
                .entry((partition.number, partition.epoch))
                .or_insert_with(|| primary.to_string());
            if **known != **primary {
                return Err(format!(
                    "epoch {} of partition {i} is {known}'s and {primary}'s",
                    partition.epoch
                ));
            }
        }
        Ok(())
    }
}
