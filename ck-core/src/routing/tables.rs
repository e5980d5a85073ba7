//! The flat arrays of a view. Node ids are resolved to indexes once, so that a lookup resolves none.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::partition_counts::CachedCounts;
use crate::model::{Node, Partition, Topology};

/// The data of a view, except its revision. Shared by all views of one topology.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) topology: Arc<Topology>,
    /// This node's id.
    pub(super) me: Arc<str>,
    /// This node's index in `nodes`, if it is a member.
    pub(super) my_index: Option<u32>,
    /// Every member, sorted by id.
    pub(super) nodes: Vec<Arc<Node>>,
    /// The partitions, in the chunks of `topology.partitions`: two views share the chunks that their topologies share.
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// The divisor of a key's hash: the cluster's partition count, fixed at bootstrap. It is not the number of slots, so
    /// that no content of the tables can route a key to another partition.
    pub(super) modulus: u32,
    pub(super) cached_counts: CachedCounts,
    /// What a binding for another language has made of the nodes.
    pub(super) binding: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// The partitions of one chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The partitions, by number.
    pub(super) slots: Vec<PartitionSlot>,
    /// The holders of all partitions, as indexes into [`Tables::nodes`]; each [`PartitionSlot`] has a range of them.
    pub(super) holders: Vec<u32>,
}

/// One partition, with its range of [`Chunk::holders`]:
///
/// ```text
/// start          start + has_primary     pending           end
///   [ primary? ]   [ replicas ... ]        [ pending ... ]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionSlot {
    pub(super) epoch: u64,
    /// The revision that gave the primary its role.
    pub(super) granted: u64,
    start: u32,
    pending: u32,
    end: u32,
    has_primary: bool,
}

impl Tables {
    /// Resolves every id in `topology`. An id of no member is left out, so that an answer names only nodes that are in the
    /// same view.
    pub(super) fn new(topology: Arc<Topology>, me: Arc<str>) -> Self {
        let nodes: Vec<Arc<Node>> = topology.nodes.values().cloned().collect();
        let by_id: HashMap<&str, u32> = nodes.iter().map(|node| &*node.id).zip(0..).collect();
        let resolve = |id: &str| by_id.get(id).copied();
        let chunks = topology.partitions.chunks().iter();
        let chunks = chunks
            .map(|chunk| Arc::new(Chunk::new(chunk.partitions(), resolve)))
            .collect();
        drop(by_id);
        let cached_counts = CachedCounts::new(&topology);
        Tables::assemble(topology, me, nodes, (chunks, cached_counts))
    }

    /// The same as [`Tables::new`] for this node; shares the unchanged parts with `self`. If the members are the same, which
    /// is the usual case, a commit costs only the partitions that it changes.
    pub(super) fn updated(&self, topology: Arc<Topology>) -> Self {
        let same_members = self.nodes.len() == topology.nodes.len()
            && self
                .nodes
                .iter()
                .zip(topology.nodes.values())
                .all(|(old, new)| Arc::ptr_eq(old, new) || old.id == new.id);
        if !same_members {
            return Tables::new(topology, Arc::clone(&self.me));
        }
        let nodes: Vec<Arc<Node>> = topology.nodes.values().cloned().collect();
        let before = self.topology.partitions.chunks().iter().zip(&self.chunks);
        let mut before = before.map(Some).chain(std::iter::repeat(None));
        let chunks = topology.partitions.chunks().iter();
        let chunks = chunks
            .map(|chunk| match before.next().flatten() {
                Some((old, table)) if Arc::ptr_eq(old, chunk) => Arc::clone(table),
                Some((old, table)) => {
                    let old = (old.partitions(), &**table);
                    Arc::new(Chunk::updated(old, chunk.partitions(), |id| index_of(&nodes, id)))
                }
                None => Arc::new(Chunk::new(chunk.partitions(), |id| index_of(&nodes, id))),
            })
            .collect();
        let cached_counts = self.cached_counts.updated(&self.topology, &topology);
        Tables::assemble(topology, Arc::clone(&self.me), nodes, (chunks, cached_counts))
    }

    fn assemble(
        topology: Arc<Topology>,
        me: Arc<str>,
        nodes: Vec<Arc<Node>>,
        (chunks, cached_counts): (Vec<Arc<Chunk>>, CachedCounts),
    ) -> Self {
        Tables {
            my_index: index_of(&nodes, &me),
            modulus: topology.config.partition_count,
            chunks,
            cached_counts,
            nodes,
            me,
            topology,
            binding: OnceLock::new(),
        }
    }

    /// Number of partitions.
    pub(super) fn len(&self) -> u32 {
        // Bounded by the configuration's 65536.
        self.topology.partitions.len() as u32
    }

    /// The index in `nodes` of the member with this id.
    pub(super) fn index_of(&self, id: &str) -> Option<u32> {
        index_of(&self.nodes, id)
    }
}

impl PartitionSlot {
    /// True when there is a primary.
    #[inline]
    pub(super) fn has_primary(&self) -> bool {
        self.has_primary
    }

    /// The primary's index among `holders`, when there is a primary.
    #[inline]
    pub(super) fn primary(&self, holders: &[u32]) -> Option<u32> {
        if self.has_primary {
            holders.get(self.start as usize).copied()
        } else {
            None
        }
    }

    /// Every holder of the data, the primary first.
    #[inline]
    pub(super) fn synced<'a>(&self, holders: &'a [u32]) -> &'a [u32] {
        &holders[self.start as usize..self.pending as usize]
    }

    /// The holders of the data other than the primary.
    #[inline]
    pub(super) fn replicas<'a>(&self, holders: &'a [u32]) -> &'a [u32] {
        &holders[self.start as usize + usize::from(self.has_primary)..self.pending as usize]
    }

    /// The holders that are still copying.
    #[inline]
    pub(super) fn pending<'a>(&self, holders: &'a [u32]) -> &'a [u32] {
        &holders[self.pending as usize..self.end as usize]
    }
}

fn index_of(nodes: &[Arc<Node>], id: &str) -> Option<u32> {
    let index = nodes.binary_search_by(|node| (*node.id).cmp(id)).ok()?;
    u32::try_from(index).ok()
}

impl Chunk {
    fn new(partitions: &[Arc<Partition>], resolve: impl Fn(&str) -> Option<u32>) -> Self {
        let mut chunk = Chunk::with_capacity_for(partitions);
        for partition in partitions {
            chunk.push(partition, &resolve);
        }
        chunk
    }

    /// The same as [`Chunk::new`]; copies the slots of unchanged partitions from the chunk of an earlier topology with the
    /// same members, which is given as its partitions and its table.
    fn updated(
        (before, table): (&[Arc<Partition>], &Chunk),
        partitions: &[Arc<Partition>],
        resolve: impl Fn(&str) -> Option<u32>,
    ) -> Self {
        let mut chunk = Chunk::with_capacity_for(partitions);
        let mut before = before
            .iter()
            .zip(&table.slots)
            .map(Some)
            .chain(std::iter::repeat(None));
        for partition in partitions {
            match before.next().flatten() {
                Some((old, slot)) if Arc::ptr_eq(old, partition) => {
                    chunk.push_unchanged(slot, &table.holders)
                }
                _ => chunk.push(partition, &resolve),
            }
        }
        chunk
    }

    fn with_capacity_for(partitions: &[Arc<Partition>]) -> Self {
        let copies = partitions.first().map_or(0, |partition| partition.copies.len());
        Chunk {
            slots: Vec::with_capacity(partitions.len()),
            holders: Vec::with_capacity(partitions.len() * copies),
        }
    }

    // The partitions of a chunk have fewer than four billion copies.
    fn len(&self) -> u32 {
        self.holders.len() as u32
    }

    fn push(&mut self, partition: &Partition, resolve: impl Fn(&str) -> Option<u32>) {
        let start = self.len();
        let primary = partition.primary.as_deref().and_then(&resolve);
        self.holders.extend(primary);
        self.holders.extend(
            partition
                .synced()
                .filter_map(|id| resolve(id))
                .filter(|index| Some(*index) != primary),
        );
        let pending = self.len();
        self.holders.extend(
            partition
                .pending()
                .filter_map(|id| resolve(id))
                .filter(|index| Some(*index) != primary),
        );
        self.slots.push(PartitionSlot {
            epoch: partition.epoch,
            granted: partition.granted,
            start,
            pending,
            end: self.len(),
            has_primary: primary.is_some(),
        });
    }

    /// Copies the slot of an unchanged partition from a table with the same members.
    fn push_unchanged(&mut self, slot: &PartitionSlot, holders: &[u32]) {
        let start = self.len();
        self.holders
            .extend_from_slice(&holders[slot.start as usize..slot.end as usize]);
        self.slots.push(PartitionSlot {
            epoch: slot.epoch,
            granted: slot.granted,
            start,
            pending: start + (slot.pending - slot.start),
            end: self.len(),
            has_primary: slot.has_primary,
        });
    }
}
