//! Flow A: which nodes hold a copy of each partition.
//!
//! A unit is a copy; its number is its partition's. A copy where a synced one lies is free, one where an unsynced
//! one lies costs 1, and a new copy costs more than all of those together: so the flow makes the fewest new copies,
//! and keeps synced ones before unsynced ones.

use super::flow::{self, Assignment, Cost, Levels, Penalty};
use super::hash;
use super::input::{Current, Held, Topology};
use super::share::{self, ZoneBounds};
use super::spread::Spread;

/// A copy of the partition that lies nowhere yet.
const HOLE: u32 = u32::MAX;
/// How many candidates one choice weighs against each other.
const WINDOW: usize = 512;
/// The same for the partitions that a node could give away, times the nodes that could take each.
const GIVE_WINDOW: usize = 48;
const TAKE_WINDOW: usize = 32;

/// The target copies of every partition, by node number.
pub(super) fn place(topology: &Topology, current: &Current, replication_factor: u32) -> Vec<Vec<u32>> {
    let open = (0..topology.len()).filter(|&n| topology.is_open(n)).count();
    let copies = replication_factor.max(1).min(open as u32);
    if copies == 0 {
        return stay(current, replication_factor);
    }
    let mut sizes = vec![0; topology.zones];
    (0..topology.len()).filter(|&n| topology.is_open(n)).for_each(|n| sizes[topology.zone[n] as usize] += 1);
    let bounds = share::zone_bounds(&sizes, copies);
    let shares = share::copies(&topology.weight, &topology.zone, &bounds, current.len() as u32, copies);

    let mut plan = Plan::new(topology, current, bounds, copies as usize, Spread::new(&shares));
    let mut count: Vec<u32> = plan.on.iter().map(|on| on.len() as u32).collect();
    count.push((current.len() * copies as usize) as u32 - count.iter().sum::<u32>());
    let mut levels = Levels::new(shares, count, Penalty::Strict);
    flow::settle(&mut plan, &mut levels);
    (0..current.len()).map(|p| plan.sorted(p)).collect()
}

/// No node may get anything: every partition stays where it is, on at most as many nodes as it should have.
fn stay(current: &Current, replication_factor: u32) -> Vec<Vec<u32>> {
    (0..current.len())
        .map(|p| {
            let mut held = current.held(p).to_vec();
            held.sort_by_key(|h| (current.primary[p] != Some(h.node), !h.synced, h.node));
            let mut nodes: Vec<u32> =
                held.iter().take(replication_factor.max(1) as usize).map(|h| h.node).collect();
            nodes.sort_unstable();
            nodes
        })
        .collect()
}

struct Plan<'a> {
    topology: &'a Topology,
    current: &'a Current,
    bounds: Vec<ZoneBounds>,
    /// Zones that must hold copies of every partition.
    needy: Vec<usize>,
    open: Vec<u32>,
    copies: usize,
    /// `copies` slots for each partition: a node, or [`HOLE`].
    slots: Vec<u32>,
    /// The partitions on each node, and those with holes.
    on: Vec<Vec<u32>>,
    holes: Vec<u32>,
    spread: Spread,
    /// The cost of a new copy.
    new_cost: Cost,
    /// Copies of the loaded partition in each zone.
    in_zone: Vec<u32>,
}

impl<'a> Plan<'a> {
    /// Keeps as many of the present copies as the zones allow, synced ones first: an assignment of least cost.
    fn new(
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
            open: (0..topology.len() as u32).filter(|&n| topology.is_open(n as usize)).collect(),
            copies,
            slots: vec![HOLE; current.len() * copies],
            on: vec![Vec::new(); topology.len()],
            holes: Vec::new(),
            spread,
            new_cost: (current.len() * copies) as Cost + 1,
        };
        let mut held: Vec<Held> = Vec::new();
        for p in 0..current.len() {
            held.clear();
            held.extend(current.held(p).iter().copied().filter(|h| topology.is_open(h.node as usize)));
            held.sort_by_key(|h| {
                (!h.synced, current.primary[p] != Some(h.node), hash::pair(p as u64, h.node.into()))
            });
            for h in &held {
                let view = plan.load(p);
                let fits = plan.fits(&view, None, topology.zone[h.node as usize] as usize);
                plan.unload(p);
                if fits {
                    plan.put(p, h.node as usize);
                }
            }
            if plan.slots_of(p).contains(&HOLE) {
                plan.holes.push(p as u32);
            }
        }
        plan
    }

    fn slots_of(&self, p: usize) -> &[u32] {
        &self.slots[p * self.copies..][..self.copies]
    }

    fn nodes_of(&self, p: usize) -> impl Iterator<Item = usize> {
        self.slots_of(p).iter().filter(|&&n| n != HOLE).map(|&n| n as usize)
    }

    fn sorted(&self, p: usize) -> Vec<u32> {
        let mut nodes: Vec<u32> = self.nodes_of(p).map(|n| n as u32).collect();
        nodes.sort_unstable();
        nodes
    }

    fn is_on(&self, p: usize, node: usize) -> bool {
        self.slots_of(p).contains(&(node as u32))
    }

    fn cost(&self, p: usize, node: usize) -> Cost {
        match self.current.holds(p, node as u32) {
            Some(true) => 0,
            Some(false) => 1,
            None => self.new_cost,
        }
    }

    fn put(&mut self, p: usize, node: usize) {
        let Plan { slots, spread, copies, on, .. } = self;
        let slots = &mut slots[p * *copies..][..*copies];
        spread.join(node, slots.iter().filter(|&&n| n != HOLE).map(|&n| n as usize));
        if let Some(slot) = slots.iter_mut().find(|n| **n == HOLE) {
            *slot = node as u32;
            on[node].push(p as u32);
        }
    }

    fn take(&mut self, p: usize, node: usize) {
        let Plan { slots, spread, copies, on, .. } = self;
        let slots = &mut slots[p * *copies..][..*copies];
        if let Some(slot) = slots.iter_mut().find(|n| **n == node as u32) {
            *slot = HOLE;
        }
        spread.part(node, slots.iter().filter(|&&n| n != HOLE).map(|&n| n as usize));
        if let Some(at) = on[node].iter().position(|&q| q as usize == p) {
            on[node].swap_remove(at);
        }
    }

    /// Counts a partition's copies by zone for [`Plan::fits`]; [`Plan::unload`] must follow.
    fn load(&mut self, p: usize) -> View {
        let Plan { slots, copies, in_zone, topology, .. } = self;
        let mut holes = 0;
        for &node in &slots[p * *copies..][..*copies] {
            if node == HOLE {
                holes += 1;
            } else {
                in_zone[topology.zone[node as usize] as usize] += 1;
            }
        }
        let owed: u32 =
            self.needy.iter().map(|&z| self.bounds[z].least.saturating_sub(self.in_zone[z])).sum();
        View { free: holes > owed }
    }

    fn unload(&mut self, p: usize) {
        let Plan { slots, copies, in_zone, topology, .. } = self;
        for &node in slots[p * *copies..][..*copies].iter().filter(|&&n| n != HOLE) {
            in_zone[topology.zone[node as usize] as usize] = 0;
        }
    }

    /// True when the loaded partition may get a copy in zone `to` for a hole, or for its copy in zone `from`.
    fn fits(&self, view: &View, from: Option<usize>, to: usize) -> bool {
        let ZoneBounds { least, most } = self.bounds[to];
        let here = self.in_zone[to];
        match from {
            None => here < least || (view.free && here < most),
            Some(from) => from == to || (self.in_zone[from] > self.bounds[from].least && here.max(least) < most),
        }
    }

    fn zone(&self, node: usize) -> Option<usize> {
        self.topology.zone.get(node).map(|&z| z as usize)
    }
}

/// What is known of the loaded partition besides the counts.
struct View {
    /// It has more holes than zones that must be served first.
    free: bool,
}

impl Assignment for Plan<'_> {
    fn moves(&mut self, from: usize, mut visit: impl FnMut(usize, Cost, u32)) {
        let from_zone = self.zone(from);
        // Dearest copies first, so that the first move to a node that gets a new copy is a cheapest one; then few
        // partitions are enough to reach all nodes.
        let partitions = if from == self.on.len() { &self.holes } else { &self.on[from] };
        let mut partitions: Vec<(Cost, u32)> = match from_zone {
            None => partitions.iter().map(|&p| (0, p)).collect(),
            Some(_) => partitions.iter().map(|&p| (self.cost(p as usize, from), p)).collect(),
        };
        partitions.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
        let mut left: Vec<Vec<u32>> = vec![Vec::new(); self.bounds.len()];
        for &node in &self.open {
            left[self.topology.zone[node as usize] as usize].push(node);
        }
        let mut zones: Vec<usize> = (0..left.len()).filter(|&z| !left[z].is_empty()).collect();
        for (cost, unit) in partitions {
            let p = unit as usize;
            let view = self.load(p);
            for held in self.current.held(p) {
                let to = held.node as usize;
                let zone = self.topology.zone[to] as usize;
                if self.topology.is_open(to) && !self.is_on(p, to) && self.fits(&view, from_zone, zone) {
                    visit(to, Cost::from(!held.synced) - cost, unit);
                }
            }
            for &zone in &zones {
                if self.fits(&view, from_zone, zone) {
                    left[zone].retain(|&to| {
                        let new = !self.is_on(p, to as usize) && self.current.holds(p, to).is_none();
                        if new {
                            visit(to as usize, self.new_cost - cost, unit);
                        }
                        !new
                    });
                }
            }
            zones.retain(|&zone| !left[zone].is_empty());
            self.unload(p);
        }
    }

    fn can_move(&self, unit: u32, from: usize, to: usize) -> bool {
        let p = unit as usize;
        let in_zone = |zone: usize| {
            self.nodes_of(p).filter(|&n| self.topology.zone[n] as usize == zone).count() as u32
        };
        let zone = self.topology.zone[to] as usize;
        let ZoneBounds { least, most } = self.bounds[zone];
        let here = in_zone(zone);
        let fits = match self.zone(from) {
            None => {
                let holes = self.slots_of(p).iter().filter(|&&n| n == HOLE).count() as u32;
                let owed: u32 = self.needy.iter().map(|&z| self.bounds[z].least.saturating_sub(in_zone(z))).sum();
                holes > 0 && (here < least || (holes > owed && here < most))
            }
            Some(old) => {
                self.is_on(p, from)
                    && (old == zone || (in_zone(old) > self.bounds[old].least && here.max(least) < most))
            }
        };
        fits && !self.is_on(p, to)
    }

    fn apply(&mut self, unit: u32, from: usize, to: usize) {
        let p = unit as usize;
        if from < self.on.len() {
            self.take(p, from);
        }
        self.put(p, to);
        if from == self.on.len() && !self.slots_of(p).contains(&HOLE) {
            self.holes.retain(|&q| q != unit);
        }
    }

    fn bulk(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        self.fill_holes(levels, cost) + self.relieve(levels, cost)
    }
}

impl Plan<'_> {
    /// Single moves out of the pool.
    fn fill_holes(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let (pool, mut moved) = (self.on.len(), 0);
        let holes = std::mem::take(&mut self.holes);
        for &unit in &holes {
            let p = unit as usize;
            while let Some(to) = self.best_for_hole(p, levels, cost) {
                self.put(p, to);
                levels.settle(pool, to);
                moved += 1;
            }
        }
        self.holes = holes;
        let Plan { slots, copies, holes, .. } = self;
        holes.retain(|&p| slots[p as usize * *copies..][..*copies].contains(&HOLE));
        moved
    }

    /// The node that takes a copy of `p` at this cost, holds the fewest beside its share, and shares least with the
    /// partition's other holders.
    fn best_for_hole(&mut self, p: usize, levels: &Levels, cost: Cost) -> Option<usize> {
        if !self.slots_of(p).contains(&HOLE) {
            return None;
        }
        let view = self.load(p);
        let mut best: Option<(u64, u64, usize)> = None;
        let first = hash::start(p, self.slots_of(p).iter().filter(|&&n| n == HOLE).count(), self.open.len());
        let mut seen = 0;
        for &node in self.open[first..].iter().chain(&self.open[..first]) {
            let to = node as usize;
            if !levels.takes(to)
                || !self.fits(&view, None, self.topology.zone[to] as usize)
                || self.is_on(p, to)
                || self.cost(p, to) != cost
            {
                continue;
            }
            let key = (levels.fill(to), self.spread.load(to, self.nodes_of(p)), to);
            if best.is_none_or(|best| (key.0, key.1) < (best.0, best.1)) {
                best = Some(key);
            }
            seen += 1;
            if seen == WINDOW {
                break;
            }
        }
        self.unload(p);
        best.map(|(_, _, to)| to)
    }

    /// Single moves from nodes with too many copies to nodes with too few.
    fn relieve(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let mut moved = 0;
        let mut givers = self.open.clone();
        givers.sort_by_key(|&n| hash::pair(n.into(), 1));
        loop {
            let before = moved;
            let takers: Vec<u32> = self.open.iter().copied().filter(|&n| levels.takes(n as usize)).collect();
            for &from in &givers {
                let from = from as usize;
                if !levels.gives(from) {
                    continue;
                }
                if let Some((unit, to)) = self.best_to_give(from, &takers, levels, cost) {
                    self.apply(unit, from, to);
                    levels.settle(from, to);
                    moved += 1;
                }
            }
            if moved == before {
                return moved;
            }
        }
    }

    fn best_to_give(
        &mut self,
        from: usize,
        takers: &[u32],
        levels: &Levels,
        cost: Cost,
    ) -> Option<(u32, usize)> {
        let mut best: Option<((bool, i64), u32, usize)> = None;
        let partitions = self.on[from].len();
        let first = hash::start(from, levels.count(from) as usize, partitions);
        let mut seen = 0;
        for i in 0..partitions {
            let unit = self.on[from][(first + i) % partitions];
            let p = unit as usize;
            let wanted = cost + self.cost(p, from);
            if wanted < 0 || wanted > self.new_cost {
                continue;
            }
            let view = self.load(p);
            let relief = self.spread.load(from, self.nodes_of(p).filter(|&n| n != from)) as i64;
            let leads = self.current.primary[p] == Some(from as u32);
            let start = hash::start(p, from, takers.len());
            let mut tried = 0;
            for &to in takers[start..].iter().chain(&takers[..start]) {
                let to = to as usize;
                if !levels.takes(to)
                    || !self.fits(&view, self.zone(from), self.topology.zone[to] as usize)
                    || self.is_on(p, to)
                    || self.cost(p, to) != wanted
                {
                    continue;
                }
                let load = self.spread.load(to, self.nodes_of(p).filter(|&n| n != from)) as i64;
                let key = (leads, load - relief);
                if best.is_none_or(|(best, _, _)| key < best) {
                    best = Some((key, unit, to));
                }
                tried += 1;
                if tried == TAKE_WINDOW {
                    break;
                }
            }
            self.unload(p);
            seen += usize::from(tried > 0);
            if seen == GIVE_WINDOW {
                break;
            }
        }
        best.map(|(_, unit, to)| (unit, to))
    }
}
