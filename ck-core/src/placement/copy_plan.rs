//! A plan of copies under construction: the node in each slot, and what the zones allow.

use super::flow::Cost;
use super::hash;
use super::input::{CurrentAssignment, HeldCopy, NodeTable};
use super::share::ZoneBounds;
use super::spread::Spread;

/// A slot without a node: a copy that has no place yet.
const EMPTY_SLOT: u32 = u32::MAX;

/// A plan of copies under construction.
pub(super) struct CopyPlan<'a> {
    pub(super) table: &'a NodeTable,
    pub(super) current: &'a CurrentAssignment,
    pub(super) bounds: Vec<ZoneBounds>,
    /// Zones that must hold copies of every partition.
    required_zones: Vec<usize>,
    pub(super) eligible: Vec<u32>,
    copies: usize,
    /// `copies` slots for each partition: a node, or [`EMPTY_SLOT`].
    slots: Vec<u32>,
    /// The index of each slot's partition in the list of its node, so that a removal needs no search.
    list_index: Vec<u32>,
    /// The partitions on each node.
    pub(super) by_node: Vec<Vec<u32>>,
    /// The partitions with an empty slot.
    pub(super) unfilled: Vec<u32>,
    pub(super) spread: Spread,
    /// The cost of a new copy.
    pub(super) new_cost: Cost,
    /// Copies of the loaded partition in each zone.
    in_zone: Vec<u32>,
}

impl<'a> CopyPlan<'a> {
    /// Keeps as many of the present copies as the zones allow, synced ones first: an assignment of least cost.
    pub(super) fn new(
        table: &'a NodeTable,
        current: &'a CurrentAssignment,
        bounds: Vec<ZoneBounds>,
        copies: usize,
        spread: Spread,
    ) -> Self {
        let mut plan = CopyPlan {
            table,
            current,
            required_zones: (0..bounds.len()).filter(|&z| bounds[z].least > 0).collect(),
            in_zone: vec![0; bounds.len()],
            bounds,
            eligible: (0..table.len() as u32)
                .filter(|&n| table.is_eligible(n as usize))
                .collect(),
            copies,
            slots: vec![EMPTY_SLOT; current.len() * copies],
            list_index: vec![0; current.len() * copies],
            by_node: vec![Vec::new(); table.len()],
            unfilled: Vec::new(),
            spread,
            new_cost: (current.len() * copies) as Cost + 1,
        };
        let mut held: Vec<HeldCopy> = Vec::new();
        for p in 0..current.len() {
            held.clear();
            held.extend(
                current
                    .held(p)
                    .iter()
                    .copied()
                    .filter(|h| table.is_eligible(h.node as usize)),
            );
            held.sort_by_key(|h| {
                (
                    !h.synced,
                    current.primary[p] != Some(h.node),
                    hash::pair(p as u64, h.node.into()),
                )
            });
            for h in &held {
                let view = plan.load(p);
                let fits = plan.fits(&view, None, table.zone[h.node as usize] as usize);
                plan.unload(p);
                if fits {
                    plan.fill_slot(p, h.node as usize);
                }
            }
            if plan.has_empty_slot(p) {
                plan.unfilled.push(p as u32);
            }
        }
        plan
    }

    fn slots_of(&self, p: usize) -> &[u32] {
        &self.slots[p * self.copies..][..self.copies]
    }

    /// The nodes that hold a partition in this plan.
    pub(super) fn nodes_of(&self, p: usize) -> impl Iterator<Item = usize> {
        holders(self.slots_of(p))
    }

    /// True while the partition has fewer copies than planned.
    pub(super) fn has_empty_slot(&self, p: usize) -> bool {
        self.slots_of(p).contains(&EMPTY_SLOT)
    }

    /// The partitions on a node; for the pool, those with an empty slot.
    pub(super) fn partitions_on(&self, node: usize) -> &[u32] {
        self.by_node.get(node).unwrap_or(&self.unfilled)
    }

    /// The nodes of a partition, ascending.
    pub(super) fn sorted(&self, p: usize) -> Vec<u32> {
        let mut nodes: Vec<u32> = self.nodes_of(p).map(|n| n as u32).collect();
        nodes.sort_unstable();
        nodes
    }

    /// True when the partition has a copy on the node.
    pub(super) fn is_on(&self, p: usize, node: usize) -> bool {
        self.slots_of(p).contains(&(node as u32))
    }

    /// The cost of a copy of the partition on a node.
    pub(super) fn cost(&self, p: usize, node: usize) -> Cost {
        match self.current.holds(p, node as u32) {
            Some(true) => 0,
            Some(false) => 1,
            None => self.new_cost,
        }
    }

    fn slot(&self, p: usize, holds: u32) -> Option<usize> {
        self.slots_of(p)
            .iter()
            .position(|&n| n == holds)
            .map(|i| p * self.copies + i)
    }

    /// Puts a node into an empty slot of the partition.
    pub(super) fn fill_slot(&mut self, p: usize, node: usize) {
        let Some(slot) = self.slot(p, EMPTY_SLOT) else {
            return;
        };
        let CopyPlan {
            slots,
            spread,
            copies,
            ..
        } = self;
        spread.add_copy(node, holders(&slots[p * *copies..][..*copies]));
        self.slots[slot] = node as u32;
        self.list_index[slot] = self.by_node[node].len() as u32;
        self.by_node[node].push(p as u32);
    }

    /// Empties the slot of the partition's copy on the node.
    pub(super) fn empty_slot(&mut self, p: usize, node: usize) {
        let Some(slot) = self.slot(p, node as u32) else {
            return;
        };
        self.slots[slot] = EMPTY_SLOT;
        let at = self.list_index[slot];
        self.by_node[node].swap_remove(at as usize);
        let moved = self.by_node[node].get(at as usize);
        if let Some(slot) = moved.and_then(|&moved| self.slot(moved as usize, node as u32)) {
            self.list_index[slot] = at;
        }
        let CopyPlan {
            slots,
            spread,
            copies,
            ..
        } = self;
        spread.remove_copy(node, holders(&slots[p * *copies..][..*copies]));
    }

    /// Counts a partition's copies by zone for [`CopyPlan::fits`]; [`CopyPlan::unload`] must follow.
    pub(super) fn load(&mut self, p: usize) -> LoadedPartition {
        let CopyPlan {
            slots,
            copies,
            in_zone,
            table,
            ..
        } = self;
        let slots = &slots[p * *copies..][..*copies];
        holders(slots).for_each(|node| in_zone[table.zone[node] as usize] += 1);
        let empty = slots.iter().filter(|&&n| n == EMPTY_SLOT).count() as u32;
        let required: u32 = self
            .required_zones
            .iter()
            .map(|&z| self.bounds[z].least.saturating_sub(self.in_zone[z]))
            .sum();
        LoadedPartition {
            has_free_slot: empty > required,
        }
    }

    /// Ends what [`CopyPlan::load`] began.
    pub(super) fn unload(&mut self, p: usize) {
        let CopyPlan {
            slots,
            copies,
            in_zone,
            table,
            ..
        } = self;
        holders(&slots[p * *copies..][..*copies]).for_each(|node| in_zone[table.zone[node] as usize] = 0);
    }

    /// True when the loaded partition may get a copy in zone `to` for an empty slot, or for its copy in zone `from`.
    pub(super) fn fits(&self, view: &LoadedPartition, from: Option<usize>, to: usize) -> bool {
        let ZoneBounds { least, most } = self.bounds[to];
        let here = self.in_zone[to];
        match from {
            None => here < least || (view.has_free_slot && here < most),
            Some(from) => {
                from == to || (self.in_zone[from] > self.bounds[from].least && here.max(least) < most)
            }
        }
    }

    /// The zone of a node; none of the pool.
    pub(super) fn zone(&self, node: usize) -> Option<usize> {
        self.table.zone.get(node).map(|&z| z as usize)
    }
}

/// What is known of the loaded partition, besides the counts by zone.
pub(super) struct LoadedPartition {
    /// It has more empty slots than its required zones need.
    has_free_slot: bool,
}

/// The nodes in these slots.
fn holders(slots: &[u32]) -> impl Iterator<Item = usize> {
    slots.iter().filter(|&&n| n != EMPTY_SLOT).map(|&n| n as usize)
}
