//! Planned changes of primary: which roles to release or grant, and to which node.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changed_partitions::ChangedPartitions;
use crate::model::{NodeId, Partition, Topology};

/// The partitions whose role is to be released or granted.
#[derive(Default)]
pub(super) struct Handovers {
    watched: ChangedPartitions,
    due: BTreeSet<u32>,
}

impl Handovers {
    /// The partitions that are due: one that has a primary is to be released, one without is to be granted. Costs what
    /// has changed since the last check, and what is due.
    pub(super) fn due(&mut self, topology: &Topology) -> Vec<Arc<Partition>> {
        let Handovers { watched, due } = self;
        watched.changes(topology, |partition| {
            if partition.primary.is_none() || yields(topology, partition) {
                due.insert(partition.number);
            } else {
                due.remove(&partition.number);
            }
        });
        let partitions = due.iter().map(|number| topology.partitions.get(*number as usize));
        partitions.flatten().cloned().collect()
    }
}

/// Whether the primary has to yield to the target's primary, which is ready.
fn yields(topology: &Topology, partition: &Partition) -> bool {
    let target = partition.target.as_ref().map(|target| &target.primary);
    let other = target.filter(|target| partition.primary.as_ref() != Some(*target));
    other.is_some_and(|target| may_lead(topology, partition, target))
}

fn may_lead(topology: &Topology, partition: &Partition, node: &str) -> bool {
    partition.is_synced(node) && topology.is_serving(node)
}

/// The next primary of a partition without one: its target as soon as the target is ready, otherwise the first
/// successor. A target whose copy no hook has confirmed stays the target: the role was released for it, and would be
/// released again.
pub(super) fn successor(topology: &Topology, partition: &Partition) -> Option<NodeId> {
    let target = partition.target.as_ref().map(|target| &target.primary);
    let due = target.filter(|target| may_lead(topology, partition, target));
    let successors = || partition.successors(|node| topology.is_serving(node));
    due.or_else(|| successors().first().copied()).cloned()
}
