//! The flat arrays behind a view: ids resolved to indexes once, so that a lookup follows none.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Node, Partition, Topology};

/// Everything a view knows except its revision. Shared by all views of one topology.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) topology: Arc<Topology>,
    /// This node's id.
    pub(super) me: Arc<str>,
    /// This node's index in `nodes`, when it is a member.
    pub(super) my_index: Option<u32>,
    /// Every member, sorted by id.
    pub(super) nodes: Vec<Arc<Node>>,
    /// By partition number; as long as `topology.partitions`.
    pub(super) slots: Vec<Slot>,
    /// The holders of all partitions, as indexes into `nodes`; [`Slot`] says which are whose.
    pub(super) holders: Vec<u32>,
    /// What a key's hash is divided by: the cluster's partition count, fixed at bootstrap. Not the
    /// length of `slots`, so that no state of the table could ever route a key elsewhere.
    pub(super) modulus: u32,
    /// How many members may serve partitions.
    pub(super) serving: usize,
}

/// One partition's part of [`Tables::holders`]:
///
/// ```text
/// start          start + has_primary     pending           end
///   [ primary? ]   [ replicas ... ]        [ pending ... ]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) epoch: u64,
    start: u32,
    pending: u32,
    end: u32,
    has_primary: bool,
}

impl Tables {
    /// Resolves every id in `topology`. An id that names no member is left out: an answer only ever
    /// names nodes that can be looked up in the same view.
    pub(super) fn new(topology: Arc<Topology>, me: Arc<str>) -> Self {
        let nodes: Vec<Arc<Node>> = topology.nodes.values().cloned().collect();
        let by_id: HashMap<&str, u32> = nodes.iter().map(|node| &*node.id).zip(0..).collect();
        let mut table = PartitionTable::with_capacity(&topology);
        for partition in &topology.partitions {
            table.push(partition, |id| by_id.get(id).copied());
        }
        drop(by_id);
        Tables::assemble(topology, me, nodes, table)
    }

    /// The same as [`Tables::new`] for this node, taking over from `self` what has not changed. With the
    /// same members, which is nearly always, a commit costs the partitions that it touched.
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
        let mut table = PartitionTable::with_capacity(&topology);
        for (number, partition) in topology.partitions.iter().enumerate() {
            match self.topology.partitions.get(number) {
                Some(old) if Arc::ptr_eq(old, partition) => {
                    table.push_again(&self.slots[number], &self.holders);
                }
                _ => table.push(partition, |id| index_of(&nodes, id)),
            }
        }
        Tables::assemble(topology, Arc::clone(&self.me), nodes, table)
    }

    fn assemble(topology: Arc<Topology>, me: Arc<str>, nodes: Vec<Arc<Node>>, table: PartitionTable) -> Self {
        Tables {
            my_index: index_of(&nodes, &me),
            modulus: topology.config.partition_count,
            serving: topology.serving_count(),
            slots: table.slots,
            holders: table.holders,
            nodes,
            me,
            topology,
        }
    }

    /// The index in `nodes` of the member with this id.
    pub(super) fn index_of(&self, id: &str) -> Option<u32> {
        index_of(&self.nodes, id)
    }
}

impl Slot {
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

/// `slots` and `holders` while they grow.
struct PartitionTable {
    slots: Vec<Slot>,
    holders: Vec<u32>,
}

impl PartitionTable {
    fn with_capacity(topology: &Topology) -> Self {
        let partitions = topology.partitions.len();
        PartitionTable {
            slots: Vec::with_capacity(partitions),
            holders: Vec::with_capacity(partitions * topology.config.replication_factor.min(16) as usize),
        }
    }

    // At most 65536 partitions: `holders` outgrows a u32 only with 65536 copies of each.
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
        self.slots.push(Slot {
            epoch: partition.epoch,
            start,
            pending,
            end: self.len(),
            has_primary: primary.is_some(),
        });
    }

    /// Takes over a partition that has not changed from tables with the same members.
    fn push_again(&mut self, slot: &Slot, holders: &[u32]) {
        let start = self.len();
        self.holders
            .extend_from_slice(&holders[slot.start as usize..slot.end as usize]);
        self.slots.push(Slot {
            epoch: slot.epoch,
            start,
            pending: start + (slot.pending - slot.start),
            end: self.len(),
            has_primary: slot.has_primary,
        });
    }
}
