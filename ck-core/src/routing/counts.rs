//! How many partitions are in which condition: counted once for what two views share, because it is asked again and again.

use std::sync::{Arc, OnceLock};

use super::lookup::PartitionRef;
use super::tables::Tables;
use super::view::ClusterView;
use crate::model::{Chunk, PartitionState, Topology};

/// Partitions by condition, and copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PartitionCounts {
    by_state: [usize; PartitionState::ALL.len()],
    /// Copies that are being made.
    pub(crate) pending: usize,
    /// Partitions whose primary serves.
    pub(crate) led: usize,
}

impl PartitionCounts {
    /// How many partitions are in a state.
    pub(crate) fn in_state(&self, state: PartitionState) -> usize {
        let states = PartitionState::ALL.iter().zip(self.by_state);
        states
            .filter(|(known, _)| **known == state)
            .map(|(_, count)| count)
            .sum()
    }

    fn add(&mut self, partition: &PartitionRef<'_>) {
        let state = partition.state();
        for (known, count) in PartitionState::ALL.iter().zip(&mut self.by_state) {
            *count += usize::from(*known == state);
        }
        self.pending += partition.pending().len();
        let led = partition.primary().is_some_and(|node| node.status.is_serving());
        self.led += usize::from(led);
    }

    fn add_all(&mut self, other: &PartitionCounts) {
        for (count, more) in self.by_state.iter_mut().zip(other.by_state) {
            *count += more;
        }
        self.pending += other.pending;
        self.led += other.led;
    }
}

type Counts = Arc<OnceLock<PartitionCounts>>;

/// The counts of each chunk, once somebody has asked for them.
#[derive(Debug, Default)]
pub(super) struct Counted {
    chunks: Vec<Counts>,
    /// What they depend on beside the partitions: which nodes serve, in the order of the tables', and how many copies are
    /// wanted.
    serving: Vec<bool>,
    replication_factor: u32,
}

impl Counted {
    /// Nothing is counted yet.
    pub(super) fn new(topology: &Topology) -> Self {
        Counted::taking_over(topology, |_, _| None)
    }

    /// That of a later topology with the same nodes: what is the same as in `before` is not counted again.
    pub(super) fn updated(&self, before: &Topology, topology: &Topology) -> Self {
        let replication_factor = topology.config.replication_factor;
        let same = serving(topology).eq(self.serving.iter().copied())
            && replication_factor == self.replication_factor;
        Counted::taking_over(topology, |place, chunk| {
            let old = before.partitions.chunks().get(place);
            let shared = same && old.is_some_and(|old| Arc::ptr_eq(old, chunk));
            self.chunks.get(place).filter(|_| shared).cloned()
        })
    }

    fn taking_over(topology: &Topology, known: impl Fn(usize, &Arc<Chunk>) -> Option<Counts>) -> Self {
        let chunks = topology.partitions.chunks().iter().enumerate();
        Counted {
            chunks: chunks
                .map(|(place, chunk)| known(place, chunk).unwrap_or_default())
                .collect(),
            serving: serving(topology).collect(),
            replication_factor: topology.config.replication_factor,
        }
    }
}

/// The nodes that serve, in the order of the tables'.
fn serving(topology: &Topology) -> impl Iterator<Item = bool> {
    topology.nodes.values().map(|node| node.status.is_serving())
}

impl ClusterView {
    /// How many partitions are in which condition. Costs what has changed since a view was asked, and a sum.
    pub(crate) fn partition_counts(&self) -> PartitionCounts {
        let tables: &Tables = &self.tables;
        let mut all = PartitionCounts::default();
        for (place, counted) in tables.counted.chunks.iter().enumerate() {
            all.add_all(counted.get_or_init(|| {
                let mut counts = PartitionCounts::default();
                PartitionRef::in_chunk(tables, place).for_each(|partition| counts.add(&partition));
                counts
            }));
        }
        all
    }
}
