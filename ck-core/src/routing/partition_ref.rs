//! One partition as a view shows it.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use crate::model::{Node, PartitionRecord, PartitionState, Partitions, Role};

use super::tables::{PartitionSlot, Tables};

/// A partition in one view. Small and `Copy`; borrows the view and allocates nothing unless a method
/// says so. It displays as its public name, `partition-5`.
#[derive(Clone, Copy)]
pub struct PartitionRef<'v> {
    tables: &'v Tables,
    slot: &'v PartitionSlot,
    /// The holders of the chunk, into which the slot refers.
    holders: &'v [u32],
    number: u32,
}

impl<'v> PartitionRef<'v> {
    /// Partition `number`, if the tables have it.
    #[inline]
    pub(super) fn new(tables: &'v Tables, number: u32) -> Option<Self> {
        let (chunk, index) = Partitions::chunk_and_index(number as usize);
        let chunk = tables.chunks.get(chunk)?;
        Some(PartitionRef {
            tables,
            slot: chunk.slots.get(index)?,
            holders: &chunk.holders,
            number,
        })
    }

    /// All partitions, by number.
    pub(super) fn all(tables: &'v Tables) -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..tables.len()).map(move |number| {
            // `len` is the number of slots.
            let (chunk, index) = Partitions::chunk_and_index(number as usize);
            let chunk = &tables.chunks[chunk];
            PartitionRef {
                tables,
                slot: &chunk.slots[index],
                holders: &chunk.holders,
                number,
            }
        })
    }

    /// The partitions of one chunk of the tables, by number.
    pub(super) fn in_chunk(tables: &'v Tables, chunk: usize) -> impl Iterator<Item = Self> {
        let first = Partitions::first_of(chunk);
        let chunk = tables.chunks.get(chunk).into_iter();
        // There are at most 65,536 partitions.
        chunk
            .flat_map(|chunk| chunk.slots.iter().map(|slot| (slot, &chunk.holders)))
            .zip(first as u32..)
            .map(move |((slot, holders), number)| PartitionRef {
                tables,
                slot,
                holders,
                number,
            })
    }

    /// Its number, from 0.
    #[inline]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its public name, `partition-5`. Allocates; to write the name elsewhere, format the reference itself.
    pub fn id(&self) -> String {
        self.to_string()
    }

    /// Grows whenever the primary changes: the fencing token for the application's storage.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.slot.epoch
    }

    /// The revision that gave the primary its role: it acts only under a lease that names this one or a later one.
    #[inline]
    pub(crate) fn granted(&self) -> u64 {
        self.slot.granted
    }

    /// The node that takes writes. `None` while the role moves and when no copy holds the data; never a
    /// node that is not a member in this view.
    #[inline]
    pub fn primary(&self) -> Option<&'v Arc<Node>> {
        let index = self.slot.primary(self.holders)?;
        self.tables.nodes.get(index as usize)
    }

    /// The other nodes that hold the data, sorted by id.
    #[inline]
    pub fn replicas(&self) -> NodeIter<'v> {
        self.iter(self.slot.replicas(self.holders))
    }

    /// Every node that holds the data: the primary first, if there is one, then the replicas.
    #[inline]
    pub fn nodes(&self) -> NodeIter<'v> {
        self.iter(self.slot.synced(self.holders))
    }

    /// The nodes that are still copying the data, sorted by id. They hold no role yet.
    #[inline]
    pub fn pending(&self) -> NodeIter<'v> {
        self.iter(self.slot.pending(self.holders))
    }

    /// The role of this node for the partition, by the replicated state of this view. Whether this node has the lease to
    /// act in it is not known here.
    #[inline]
    pub fn role(&self) -> Option<Role> {
        self.role_of(self.tables.my_index?)
    }

    /// True when this node is the primary, by the replicated state of this view; see [`Self::role`].
    #[inline]
    pub fn is_primary(&self) -> bool {
        // The role would compare with the replicas, too.
        match (self.tables.my_index, self.primary_index()) {
            (Some(me), Some(primary)) => me == primary,
            _ => false,
        }
    }

    /// True when this node holds the data and is not the primary.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.role() == Some(Role::Replica)
    }

    /// Its state.
    pub fn state(&self) -> PartitionState {
        let topology = &self.tables.topology;
        let state = topology.partitions[self.number as usize]
            .state(topology.config.replication_factor, |node| {
                topology.is_serving(node)
            });
        // A recorded primary that is no member takes no writes, whatever the record says.
        if state != PartitionState::Lost && !self.slot.has_primary() {
            PartitionState::NoPrimary
        } else {
            state
        }
    }

    /// The partition as the API shows it. Allocates.
    pub fn record(&self) -> PartitionRecord {
        PartitionRecord {
            id: self.id(),
            number: self.number,
            primary_node: self
                .primary()
                .map_or_else(|| "".into(), |node| Arc::clone(&node.id)),
            replica_nodes: self.replicas().map(|node| Arc::clone(&node.id)).collect(),
            pending: self.pending().map(|node| Arc::clone(&node.id)).collect(),
            epoch: self.epoch(),
            state: self.state(),
        }
    }

    #[inline]
    pub(super) fn role_of(&self, index: u32) -> Option<Role> {
        let holders = self.holders;
        if self.slot.primary(holders) == Some(index) {
            Some(Role::Primary)
        } else if self.slot.replicas(holders).contains(&index) {
            Some(Role::Replica)
        } else {
            None
        }
    }

    /// The primary's index in the view's nodes.
    #[doc(hidden)]
    #[inline]
    pub fn primary_index(&self) -> Option<u32> {
        self.slot.primary(self.holders)
    }

    /// The replicas' indexes in the view's nodes.
    #[doc(hidden)]
    #[inline]
    pub fn replica_indexes(&self) -> &'v [u32] {
        self.slot.replicas(self.holders)
    }

    /// The indexes in the view's nodes of those that are still copying the data.
    #[doc(hidden)]
    #[inline]
    pub fn pending_indexes(&self) -> &'v [u32] {
        self.slot.pending(self.holders)
    }

    #[inline]
    fn iter(&self, indexes: &'v [u32]) -> NodeIter<'v> {
        NodeIter {
            nodes: &self.tables.nodes,
            indexes: indexes.iter(),
        }
    }
}

impl fmt::Display for PartitionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The form that `model::partition_id` gives, without the String.
        write!(f, "partition-{}", self.number)
    }
}

impl fmt::Debug for PartitionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionRef")
            .field("number", &self.number)
            .field("epoch", &self.epoch())
            .field("primary", &self.primary().map(|node| &node.id))
            .finish_non_exhaustive()
    }
}

/// Nodes of a view, in the order that the call which gave them says. Allocates nothing.
#[derive(Debug, Clone)]
pub struct NodeIter<'v> {
    nodes: &'v [Arc<Node>],
    indexes: std::slice::Iter<'v, u32>,
}

impl<'v> Iterator for NodeIter<'v> {
    type Item = &'v Arc<Node>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let nodes = self.nodes;
        self.indexes.next().map(|index| &nodes[*index as usize])
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }
}

impl ExactSizeIterator for NodeIter<'_> {}

impl FusedIterator for NodeIter<'_> {}
