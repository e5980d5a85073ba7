//! The number of partitions in each state. Chunks that two views share are counted once, because the counts are read often.

use std::sync::{Arc, OnceLock};

use super::cluster_view::ClusterView;
use super::partition_ref::PartitionRef;
use super::tables::Tables;
use crate::model::{PartitionChunk, PartitionState, Topology};

/// The number of partitions in each state, and of pending copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PartitionCounts {
    by_state: [usize; PartitionState::ALL.len()],
    /// Number of pending copies.
    pub(crate) pending: usize,
    /// Number of partitions whose primary is on a serving node.
    pub(crate) with_serving_primary: usize,
}

impl PartitionCounts {
    /// Number of partitions in a state.
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
        let serves = partition.primary().is_some_and(|node| node.status.is_serving());
        self.with_serving_primary += usize::from(serves);
    }

    fn add_all(&mut self, other: &PartitionCounts) {
        for (count, more) in self.by_state.iter_mut().zip(other.by_state) {
            *count += more;
        }
        self.pending += other.pending;
        self.with_serving_primary += other.with_serving_primary;
    }
}

type ChunkCounts = Arc<OnceLock<PartitionCounts>>;

/// The counts of each chunk, computed when they are first read.
#[derive(Debug, Default)]
pub(super) struct CachedCounts {
    chunks: Vec<ChunkCounts>,
    /// Whether each node serves, in the order of the tables. The counts depend on it.
    serving: Vec<bool>,
    /// The counts depend on it, too.
    replication_factor: u32,
}

impl CachedCounts {
    /// The cache of a new topology, without any count.
    pub(super) fn new(topology: &Topology) -> Self {
        CachedCounts::with_known(topology, |_, _| None)
    }

    /// The cache of a later topology with the same nodes; it keeps the counts of the chunks that both topologies share.
    pub(super) fn updated(&self, before: &Topology, topology: &Topology) -> Self {
        let replication_factor = topology.config.replication_factor;
        let same = serving(topology).eq(self.serving.iter().copied())
            && replication_factor == self.replication_factor;
        CachedCounts::with_known(topology, |index, chunk| {
            let old = before.partitions.chunks().get(index);
            let shared = same && old.is_some_and(|old| Arc::ptr_eq(old, chunk));
            self.chunks.get(index).filter(|_| shared).cloned()
        })
    }

    fn with_known(
        topology: &Topology,
        known: impl Fn(usize, &Arc<PartitionChunk>) -> Option<ChunkCounts>,
    ) -> Self {
        let chunks = topology.partitions.chunks().iter().enumerate();
        CachedCounts {
            chunks: chunks
                .map(|(index, chunk)| known(index, chunk).unwrap_or_default())
                .collect(),
            serving: serving(topology).collect(),
            replication_factor: topology.config.replication_factor,
        }
    }
}

/// Whether each node serves, in the order of the tables.
fn serving(topology: &Topology) -> impl Iterator<Item = bool> {
    topology.nodes.values().map(|node| node.status.is_serving())
}

impl ClusterView {
    /// The number of partitions in each state. Counts the chunks that have changed since the last call, and sums.
    pub(crate) fn partition_counts(&self) -> PartitionCounts {
        let tables: &Tables = &self.tables;
        let mut all = PartitionCounts::default();
        for (index, counts) in tables.cached_counts.chunks.iter().enumerate() {
            all.add_all(counts.get_or_init(|| {
                let mut counts = PartitionCounts::default();
                PartitionRef::in_chunk(tables, index).for_each(|partition| counts.add(&partition));
                counts
            }));
        }
        all
    }
}
