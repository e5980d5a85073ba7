//! A plan of copies in the making: which slots are filled, by whom, and what the zones allow.

use super::flow::Cost;
use super::hash;
use super::input::{Current, Held, Topology};
use super::share::ZoneBounds;
use super::spread::Spread;

/// A copy of the partition that lies nowhere yet.
const HOLE: u32 = u32::MAX;

/// A plan in the making.
pub(super) struct Plan<'a> {
    pub(super) topology: &'a Topology,
    pub(super) current: &'a Current,
    pub(super) bounds: Vec<ZoneBounds>,
    /// Zones that must hold copies of every partition.
    needy: Vec<usize>,
    pub(super) open: Vec<u32>,
    copies: usize,
    /// `copies` slots for each partition: a node, or [`HOLE`].
    slots: Vec<u32>,
    /// Where the copy of each slot stands in its node's list, so that giving up one needs no search.
    at: Vec<u32>,
    /// The partitions on each node, and those with holes.
    pub(super) on: Vec<Vec<u32>>,
    pub(super) holes: Vec<u32>,
    pub(super) spread: Spread,
    /// The cost of a new copy.
    pub(super) new_cost: Cost,
    /// Copies of the loaded partition in each zone.
    in_zone: Vec<u32>,
}

impl<'a> Plan<'a> {
    /// Keeps as many of the present copies as the zones allow, synced ones first: an assignment of least cost.
    pub(super) fn new(
        topology: &'a Topology,
        current: &'a Current,
        bounds: Vec<ZoneBounds>,
        copies: usize,
        spread: Spread,
    ) -> Self {
        let mut plan = Plan {
            topology,
            current,
            needy: (0..bounds.len()).filter(|&z| bounds[z].least > 0).collect(),
            in_zone: vec![0; bounds.len()],
            bounds,
            open: (0..topology.len() as u32)
                .filter(|&n| topology.is_open(n as usize))
                .collect(),
            copies,
            slots: vec![HOLE; current.len() * copies],
            at: vec![0; current.len() * copies],
            on: vec![Vec::new(); topology.len()],
            holes: Vec::new(),
            spread,
            new_cost: (current.len() * copies) as Cost + 1,
        };
        let mut held: Vec<Held> = Vec::new();
        for p in 0..current.len() {
            held.clear();
            held.extend(
                current
                    .held(p)
                    .iter()
                    .copied()
                    .filter(|h| topology.is_open(h.node as usize)),
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
                let fits = plan.fits(&view, None, topology.zone[h.node as usize] as usize);
                plan.unload(p);
                if fits {
                    plan.put(p, h.node as usize);
                }
            }
            if plan.has_hole(p) {
                plan.holes.push(p as u32);
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

    /// True while the partition has fewer copies than it shall have.
    pub(super) fn has_hole(&self, p: usize) -> bool {
        self.slots_of(p).contains(&HOLE)
    }

    /// The partitions on a node, or those with holes.
    pub(super) fn partitions_on(&self, node: usize) -> &[u32] {
        self.on.get(node).unwrap_or(&self.holes)
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

    /// What a copy of the partition costs on a node, wherever it comes from.
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

    /// Fills a hole of the partition.
    pub(super) fn put(&mut self, p: usize, node: usize) {
        let Some(slot) = self.slot(p, HOLE) else { return };
        let Plan {
            slots,
            spread,
            copies,
            ..
        } = self;
        spread.join(node, holders(&slots[p * *copies..][..*copies]));
        self.slots[slot] = node as u32;
        self.at[slot] = self.on[node].len() as u32;
        self.on[node].push(p as u32);
    }

    /// Makes a hole of the partition's copy on the node.
    pub(super) fn take(&mut self, p: usize, node: usize) {
        let Some(slot) = self.slot(p, node as u32) else {
            return;
        };
        self.slots[slot] = HOLE;
        let at = self.at[slot];
        self.on[node].swap_remove(at as usize);
        let moved = self.on[node].get(at as usize);
        if let Some(slot) = moved.and_then(|&moved| self.slot(moved as usize, node as u32)) {
            self.at[slot] = at;
        }
        let Plan {
            slots,
            spread,
            copies,
            ..
        } = self;
        spread.part(node, holders(&slots[p * *copies..][..*copies]));
    }

    /// Counts a partition's copies by zone for [`Plan::fits`]; [`Plan::unload`] must follow.
    pub(super) fn load(&mut self, p: usize) -> View {
        let Plan {
            slots,
            copies,
            in_zone,
            topology,
            ..
        } = self;
        let slots = &slots[p * *copies..][..*copies];
        holders(slots).for_each(|node| in_zone[topology.zone[node] as usize] += 1);
        let holes = slots.iter().filter(|&&n| n == HOLE).count() as u32;
        let owed: u32 = self
            .needy
            .iter()
            .map(|&z| self.bounds[z].least.saturating_sub(self.in_zone[z]))
            .sum();
        View { free: holes > owed }
    }

    /// Ends what [`Plan::load`] began.
    pub(super) fn unload(&mut self, p: usize) {
        let Plan {
            slots,
            copies,
            in_zone,
            topology,
            ..
        } = self;
        holders(&slots[p * *copies..][..*copies]).for_each(|node| in_zone[topology.zone[node] as usize] = 0);
    }

    /// True when the loaded partition may get a copy in zone `to` for a hole, or for its copy in zone `from`.
    pub(super) fn fits(&self, view: &View, from: Option<usize>, to: usize) -> bool {
        let ZoneBounds { least, most } = self.bounds[to];
        let here = self.in_zone[to];
        match from {
            None => here < least || (view.free && here < most),
            Some(from) => {
                from == to || (self.in_zone[from] > self.bounds[from].least && here.max(least) < most)
            }
        }
    }

    /// The zone of a node; none of the pool.
    pub(super) fn zone(&self, node: usize) -> Option<usize> {
        self.topology.zone.get(node).map(|&z| z as usize)
    }
}

/// What is known of the loaded partition besides the counts.
pub(super) struct View {
    /// It has more holes than zones that must be served first.
    free: bool,
}

/// The nodes in these slots.
fn holders(slots: &[u32]) -> impl Iterator<Item = usize> {
    slots.iter().filter(|&&n| n != HOLE).map(|&n| n as usize)
}
