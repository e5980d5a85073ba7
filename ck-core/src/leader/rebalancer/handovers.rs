//! Which roles are to be taken or given, and to whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changed_partitions::ChangedPartitions;
use crate::model::{NodeId, Partition, Topology};

/// The partitions whose role is to be taken or given.
#[derive(Default)]
pub(super) struct Handovers {
    watched: ChangedPartitions,
    due: BTreeSet<u32>,
}

impl Handovers {
    /// Those of them that have a primary are to be released. Costs what has changed since the last look, and what is due.
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

/// Whether the primary is to yield to the target's, which is ready.
fn yields(topology: &Topology, partition: &Partition) -> bool {
    let target = partition.target.as_ref().map(|target| &target.primary);
    let other = target.filter(|target| partition.primary.as_ref() != Some(*target));
    other.is_some_and(|target| may_lead(topology, partition, target))
}

fn may_lead(topology: &Topology, partition: &Partition, node: &str) -> bool {
    partition.is_synced(node) && topology.is_serving(node)
}

/// Who gets a partition that nobody leads: its target as soon as that may lead, or else the first heir. A target whose
/// copy no hook has confirmed is the target all the same: the role was released for it, and would be again.
pub(super) fn successor(topology: &Topology, partition: &Partition) -> Option<NodeId> {
    let target = partition.target.as_ref().map(|target| &target.primary);
    let due = target.filter(|target| may_lead(topology, partition, target));
    let successors = || partition.successors(|node| topology.is_serving(node));
    due.or_else(|| successors().first().copied()).cloned()
}
