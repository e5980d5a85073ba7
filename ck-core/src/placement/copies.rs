//! Flow A: which nodes hold a copy of each partition.
//!
//! A unit is a copy; its number is its partition's. A copy on a node that has a synced one is free, on a node that has an
//! unsynced one it costs 1, and a new copy costs more than all of those together. So the flow makes the fewest new copies,
//! and keeps synced ones before unsynced ones.

use super::copy_plan::CopyPlan;
use super::flow::{self, Assignment, Cost, Levels, Penalty};
use super::hash;
use super::input::{CurrentAssignment, NodeTable};
use super::share;
use super::spread::Spread;

/// How many candidate nodes one choice compares.
const CANDIDATE_WINDOW: usize = 512;
/// How many partitions are compared when one is moved off a node.
const PARTITION_WINDOW: usize = 48;
/// How many nodes are compared for each of these partitions.
const NODE_WINDOW: usize = 32;

/// The target copies of every partition, by node number.
pub(super) fn place(
    table: &NodeTable,
    current: &CurrentAssignment,
    replication_factor: u32,
) -> Vec<Vec<u32>> {
    let eligible = (0..table.len()).filter(|&n| table.is_eligible(n)).count();
    let copies = replication_factor.max(1).min(eligible as u32);
    if copies == 0 {
        return keep_current(current, replication_factor);
    }
    let mut sizes = vec![0; table.zones];
    (0..table.len())
        .filter(|&n| table.is_eligible(n))
        .for_each(|n| sizes[table.zone[n] as usize] += 1);
    let bounds = share::zone_bounds(&sizes, copies);
    let shares = share::copies(&table.weight, &table.zone, &bounds, current.len() as u32, copies);

    let mut plan = CopyPlan::new(table, current, bounds, copies as usize, Spread::new(&shares));
    let mut count: Vec<u32> = plan.by_node.iter().map(|units| units.len() as u32).collect();
    count.push((current.len() * copies as usize) as u32 - count.iter().sum::<u32>());
    let mut levels = Levels::new(shares, count, Penalty::Strict);
    flow::balance(&mut plan, &mut levels);
    (0..current.len()).map(|p| plan.sorted(p)).collect()
}

/// The plan if no node may get copies: every partition stays on its nodes, at most on as many as the replication factor.
fn keep_current(current: &CurrentAssignment, replication_factor: u32) -> Vec<Vec<u32>> {
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

impl Assignment for CopyPlan<'_> {
    fn moves(&mut self, from: usize, mut visit: impl FnMut(usize, Cost, u32)) {
        let from_zone = self.zone(from);
        // Copies of the highest cost first, so that the first move to a node that gets a new copy is a cheapest one. Then
        // few partitions are enough to reach all nodes.
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
        for &node in &self.eligible {
            left[self.table.zone[node as usize] as usize].push(node);
        }
        let mut zones: Vec<usize> = (0..left.len()).filter(|&z| !left[z].is_empty()).collect();
        for (cost, unit) in partitions {
            let p = unit as usize;
            let view = self.load(p);
            for held in self.current.held(p) {
                let to = held.node as usize;
                let zone = self.table.zone[to] as usize;
                if self.table.is_eligible(to) && !self.is_on(p, to) && self.fits(&view, from_zone, zone) {
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
            None => (self.has_empty_slot(p), 0),
            Some(_) => (self.is_on(p, from), self.cost(p, from)),
        };
        let view = self.load(p);
        let fits = self.fits(&view, self.zone(from), self.table.zone[to] as usize);
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
        if from < self.by_node.len() {
            self.empty_slot(p, from);
        }
        self.fill_slot(p, to);
        if from == self.by_node.len() && !self.has_empty_slot(p) {
            self.unfilled.retain(|&q| q != unit);
        }
    }

    fn bulk(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        self.fill_empty_slots(levels, cost) + self.move_surplus(levels, cost)
    }
}

impl CopyPlan<'_> {
    /// Makes single moves out of the pool.
    fn fill_empty_slots(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let (pool, mut moved) = (self.by_node.len(), 0);
        let unfilled = std::mem::take(&mut self.unfilled);
        for &unit in &unfilled {
            let p = unit as usize;
            while let Some(to) = self.best_node_for_empty_slot(p, levels, cost) {
                self.fill_slot(p, to);
                levels.record_move(pool, to);
                moved += 1;
            }
        }
        self.unfilled = unfilled
            .into_iter()
            .filter(|&p| self.has_empty_slot(p as usize))
            .collect();
        moved
    }

    /// The node that can take a copy of `p` at this cost, is filled least relative to its share, and shares the fewest
    /// partitions with the other holders of `p`.
    fn best_node_for_empty_slot(&mut self, p: usize, levels: &Levels, cost: Cost) -> Option<usize> {
        if !self.has_empty_slot(p) {
            return None;
        }
        let view = self.load(p);
        let mut best: Option<(u64, i64, usize)> = None;
        let first = hash::scan_start(p, self.nodes_of(p).count(), self.eligible.len());
        let mut seen = 0;
        for &node in self.eligible[first..].iter().chain(&self.eligible[..first]) {
            let to = node as usize;
            let fill = levels.fill(to);
            if best.is_some_and(|best| fill > best.0)
                || !levels.wants_unit(to)
                || !self.fits(&view, None, self.table.zone[to] as usize)
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
            if seen == CANDIDATE_WINDOW {
                break;
            }
        }
        self.unload(p);
        best.map(|(_, _, to)| to)
    }

    /// Makes single moves from nodes with too many copies to nodes with too few.
    fn move_surplus(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let mut moved = 0;
        let mut sources = self.eligible.clone();
        sources.sort_by_key(|&n| hash::pair(n.into(), 1));
        loop {
            let before = moved;
            let targets: Vec<u32> = self
                .eligible
                .iter()
                .copied()
                .filter(|&n| levels.wants_unit(n as usize))
                .collect();
            for &from in &sources {
                let from = from as usize;
                if !levels.has_surplus(from) {
                    continue;
                }
                if let Some((unit, to)) = self.best_move_from(from, &targets, levels, cost) {
                    self.apply(unit, from, to);
                    levels.record_move(from, to);
                    moved += 1;
                }
            }
            if moved == before {
                return moved;
            }
        }
    }

    fn best_move_from(
        &mut self,
        from: usize,
        targets: &[u32],
        levels: &Levels,
        cost: Cost,
    ) -> Option<(u32, usize)> {
        let mut best: Option<((bool, i64), u32, usize)> = None;
        let partitions = self.by_node[from].len();
        let first = hash::scan_start(from, levels.count(from) as usize, partitions);
        let mut seen = 0;
        for i in 0..partitions {
            let unit = self.by_node[from][(first + i) % partitions];
            let p = unit as usize;
            let wanted = cost + self.cost(p, from);
            if wanted < 0 || wanted > self.new_cost {
                continue;
            }
            let view = self.load(p);
            let relief = self.spread.load(from, self.nodes_of(p).filter(|&n| n != from));
            let leads = self.current.primary[p] == Some(from as u32);
            let start = hash::scan_start(p, from, targets.len());
            let mut tried = 0;
            for &to in targets[start..].iter().chain(&targets[..start]) {
                let to = to as usize;
                if !levels.wants_unit(to)
                    || !self.fits(&view, self.zone(from), self.table.zone[to] as usize)
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
                if tried == NODE_WINDOW {
                    break;
                }
            }
            self.unload(p);
            seen += usize::from(tried > 0);
            if seen == PARTITION_WINDOW {
                break;
            }
        }
        best.map(|(_, unit, to)| (unit, to))
    }
}
