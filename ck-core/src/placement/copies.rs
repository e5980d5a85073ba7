//! Flow A: which nodes hold a copy of each partition.
//!
//! A unit is a copy; its number is its partition's. A copy where a synced one lies is free, one where an unsynced
//! one lies costs 1, and a new copy costs more than all of those together: so the flow makes the fewest new copies,
//! and keeps synced ones before unsynced ones.

use super::flow::{self, Assignment, Cost, Levels, Penalty};
use super::hash;
use super::input::{Current, Topology};
use super::plan::Plan;
use super::share;
use super::spread::Spread;

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
    (0..topology.len())
        .filter(|&n| topology.is_open(n))
        .for_each(|n| sizes[topology.zone[n] as usize] += 1);
    let bounds = share::zone_bounds(&sizes, copies);
    let shares = share::copies(
        &topology.weight,
        &topology.zone,
        &bounds,
        current.len() as u32,
        copies,
    );

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
            let mut nodes: Vec<u32> = held
                .iter()
                .take(replication_factor.max(1) as usize)
                .map(|h| h.node)
                .collect();
            nodes.sort_unstable();
            nodes
        })
        .collect()
}

impl Assignment for Plan<'_> {
    fn moves(&mut self, from: usize, mut visit: impl FnMut(usize, Cost, u32)) {
        let from_zone = self.zone(from);
        // Dearest copies first, so that the first move to a node that gets a new copy is a cheapest one; then few
        // partitions are enough to reach all nodes.
        let partitions = self.partitions_on(from);
        let mut partitions: Vec<(Cost, u32)> = match from_zone {
            None => partitions.iter().map(|&p| (0, p)).collect(),
            Some(_) => partitions
                .iter()
                .map(|&p| (self.cost(p as usize, from), p))
                .collect(),
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

    fn price(&mut self, unit: u32, from: usize, to: usize) -> Option<Cost> {
        let p = unit as usize;
        let (lies, now) = match self.zone(from) {
            None => (self.has_hole(p), 0),
            Some(_) => (self.is_on(p, from), self.cost(p, from)),
        };
        let view = self.load(p);
        let fits = self.fits(&view, self.zone(from), self.topology.zone[to] as usize);
        self.unload(p);
        (fits && lies && !self.is_on(p, to)).then(|| self.cost(p, to) - now)
    }

    fn find(&mut self, from: usize, to: usize, cost: Cost, not: &[u32]) -> Option<u32> {
        for i in 0..self.partitions_on(from).len() {
            let unit = self.partitions_on(from)[i];
            if !not.contains(&unit) && self.price(unit, from, to) == Some(cost) {
                return Some(unit);
            }
        }
        None
    }

    fn apply(&mut self, unit: u32, from: usize, to: usize) {
        let p = unit as usize;
        if from < self.on.len() {
            self.take(p, from);
        }
        self.put(p, to);
        if from == self.on.len() && !self.has_hole(p) {
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
        self.holes = holes.into_iter().filter(|&p| self.has_hole(p as usize)).collect();
        moved
    }

    /// The node that takes a copy of `p` at this cost, holds the fewest beside its share, and shares least with the
    /// partition's other holders.
    fn best_for_hole(&mut self, p: usize, levels: &Levels, cost: Cost) -> Option<usize> {
        if !self.has_hole(p) {
            return None;
        }
        let view = self.load(p);
        let mut best: Option<(u64, i64, usize)> = None;
        let first = hash::start(p, self.nodes_of(p).count(), self.open.len());
        let mut seen = 0;
        for &node in self.open[first..].iter().chain(&self.open[..first]) {
            let to = node as usize;
            let fill = levels.fill(to);
            if best.is_some_and(|best| fill > best.0)
                || !levels.takes(to)
                || !self.fits(&view, None, self.topology.zone[to] as usize)
                || self.is_on(p, to)
                || self.cost(p, to) != cost
            {
                continue;
            }
            let load = self.spread.load(to, self.nodes_of(p));
            if best.is_none_or(|best| (fill, load) < (best.0, best.1)) {
                best = Some((fill, load, to));
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
            let takers: Vec<u32> = self
                .open
                .iter()
                .copied()
                .filter(|&n| levels.takes(n as usize))
                .collect();
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
            let relief = self.spread.load(from, self.nodes_of(p).filter(|&n| n != from));
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
                let load = self.spread.load(to, self.nodes_of(p).filter(|&n| n != from));
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
