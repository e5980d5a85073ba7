//! Flow B: which copy of each partition is the primary.
//!
//! A unit is a primary; its number is its partition's. The costs rank what a plan should avoid. One unit of a rank costs
//! more than all of the next rank together:
//!
//! 1. a partition without a primary, given to a node that must copy the data first (it would need another primary until
//!    then: two changes, and no service before the first);
//! 2. a change of primary;
//! 3. a change to a node that must copy the data first, where another node has it.

use super::flow::{self, Assignment, Cost, Levels, Penalty};
use super::hash;
use super::input::{CurrentAssignment, NodeTable};
use super::share;

/// A node that may be primary of a partition.
#[derive(Debug, Clone, Copy)]
struct PrimaryCandidate {
    node: u32,
    cost: Cost,
}

/// The costs for a number of partitions.
#[derive(Debug, Clone, Copy)]
struct PrimaryCosts {
    /// A change of primary.
    change: Cost,
    /// A partition without a primary whose planned one waits for data.
    wait_for_data: Cost,
    /// A unit beyond a share.
    step: Cost,
    /// A unit on a node that may hold none.
    closed: Cost,
}

impl PrimaryCosts {
    fn new(partitions: usize) -> Self {
        let more = partitions as Cost + 1;
        let change = more;
        let wait_for_data = more * (change + 1);
        let step = more * wait_for_data;
        // The k-th unit beyond a share costs k steps.
        PrimaryCosts {
            change,
            wait_for_data,
            step,
            closed: more * more * step,
        }
    }
}

/// The nodes that may be primary of each partition.
pub(super) struct PrimaryCandidates {
    starts: Vec<u32>,
    list: Vec<PrimaryCandidate>,
    costs: PrimaryCosts,
}

impl PrimaryCandidates {
    /// The target copies, as if all were synced; none for a lost partition.
    pub(super) fn planned(current: &CurrentAssignment, copies: &[Vec<u32>]) -> Self {
        let PrimaryCosts {
            change,
            wait_for_data,
            ..
        } = PrimaryCosts::new(current.len());
        Self::new(current, |p, list| {
            if current.is_lost(p) {
                return;
            }
            let led = current.primary[p].is_some_and(|node| current.holds(p, node) == Some(true));
            list.extend(copies[p].iter().map(|&node| {
                let cost = if current.primary[p] == Some(node) {
                    0
                } else if !current.placed[p] || current.holds(p, node) == Some(true) {
                    change
                } else if led {
                    change + 1
                } else {
                    wait_for_data
                };
                PrimaryCandidate { node, cost }
            }));
        })
    }

    /// The copies that are synced now.
    pub(super) fn synced(current: &CurrentAssignment) -> Self {
        let PrimaryCosts { change, .. } = PrimaryCosts::new(current.len());
        Self::new(current, |p, list| {
            list.extend(
                current
                    .held(p)
                    .iter()
                    .filter(|held| held.synced)
                    .map(|held| PrimaryCandidate {
                        node: held.node,
                        cost: if current.primary[p] == Some(held.node) {
                            0
                        } else {
                            change
                        },
                    }),
            );
        })
    }

    /// The same, but a partition whose primary holds a synced copy has no other candidate.
    pub(super) fn for_failover(current: &CurrentAssignment) -> Self {
        let mut all = Self::synced(current);
        let mut starts = vec![0];
        let mut list = Vec::new();
        for p in 0..current.len() {
            let of = all.of(p);
            match of.iter().find(|candidate| candidate.cost == 0) {
                Some(&primary) => list.push(primary),
                None => list.extend_from_slice(of),
            }
            starts.push(list.len() as u32);
        }
        (all.starts, all.list) = (starts, list);
        all
    }

    fn new(current: &CurrentAssignment, mut of: impl FnMut(usize, &mut Vec<PrimaryCandidate>)) -> Self {
        let mut starts = vec![0];
        let mut list = Vec::new();
        for p in 0..current.len() {
            of(p, &mut list);
            starts.push(list.len() as u32);
        }
        PrimaryCandidates {
            starts,
            list,
            costs: PrimaryCosts::new(current.len()),
        }
    }

    fn of(&self, partition: usize) -> &[PrimaryCandidate] {
        &self.list[self.starts[partition] as usize..self.starts[partition + 1] as usize]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// A primary for each partition that has a candidate.
///
/// Every node gets its weighted share of the partitions for which it is a candidate, rounded down or up. Where the candidates do not allow
/// that, the shares are missed as little and as evenly as possible; a node that may get nothing is primary only where no
/// other node can be.
pub(super) fn assign(table: &NodeTable, candidates: &PrimaryCandidates) -> Vec<Option<u32>> {
    let nodes = table.len();
    let mut candidate_count = vec![0u32; nodes];
    candidates
        .list
        .iter()
        .for_each(|c| candidate_count[c.node as usize] += 1);
    let partitions = (0..candidates.len())
        .filter(|&p| !candidates.of(p).is_empty())
        .count();
    let shares = share::weighted(&table.weight, &candidate_count, partitions as u64);

    let mut assignment = PrimaryAssignment {
        candidates,
        primary_of: vec![None; candidates.len()],
        list_index: vec![0; candidates.len()],
        led: vec![Vec::new(); nodes + 1],
    };
    for p in 0..candidates.len() {
        let of = candidates.of(p);
        if let Some(keeps) = of.iter().find(|c| c.cost == 0) {
            assignment.put(p, keeps.node as usize);
        } else if !of.is_empty() {
            assignment.add_to_list(p, nodes);
        }
    }
    let count: Vec<u32> = assignment.led.iter().map(|led| led.len() as u32).collect();
    let PrimaryCosts { step, closed, .. } = candidates.costs;
    let penalty = Penalty::Soft { step, closed };
    let mut levels = Levels::new(shares, count, penalty);
    flow::balance(&mut assignment, &mut levels);
    assignment.primary_of
}

struct PrimaryAssignment<'a> {
    candidates: &'a PrimaryCandidates,
    primary_of: Vec<Option<u32>>,
    /// The index of each partition in the list of its primary, so that a change needs no search.
    list_index: Vec<u32>,
    /// The partitions of which each node is primary, and last those without a primary.
    led: Vec<Vec<u32>>,
}

impl PrimaryAssignment<'_> {
    fn add_to_list(&mut self, p: usize, node: usize) {
        self.list_index[p] = self.led[node].len() as u32;
        self.led[node].push(p as u32);
    }

    fn put(&mut self, p: usize, node: usize) {
        self.primary_of[p] = Some(node as u32);
        self.add_to_list(p, node);
    }

    fn remove_from_list(&mut self, p: usize, node: usize) {
        let at = self.list_index[p] as usize;
        self.led[node].swap_remove(at);
        if let Some(&moved) = self.led[node].get(at) {
            self.list_index[moved as usize] = at as u32;
        }
    }

    fn pool(&self) -> usize {
        self.led.len() - 1
    }

    /// The cost of the partition's present primary.
    fn cost(&self, p: usize) -> Cost {
        let primary_of = self.primary_of[p];
        self.candidates
            .of(p)
            .iter()
            .find(|c| Some(c.node) == primary_of)
            .map_or(0, |c| c.cost)
    }

    /// How much more the partition would cost with `to` as its primary.
    fn extra(&self, unit: u32, from: usize, to: usize) -> Option<Cost> {
        let p = unit as usize;
        if self.primary_of[p].map_or(self.pool(), |n| n as usize) != from {
            return None;
        }
        self.candidates
            .of(p)
            .iter()
            .find(|c| c.node as usize == to)
            .map(|c| c.cost - self.cost(p))
    }

    /// The node with the lowest fill that takes the partition for so much more than it costs now.
    fn best(&self, p: usize, levels: &Levels, cost: Cost) -> Option<usize> {
        let of = self.candidates.of(p);
        let first = hash::scan_start(p, 2, of.len());
        let wanted = self.cost(p) + cost;
        of[first..]
            .iter()
            .chain(&of[..first])
            .filter(|c| c.cost == wanted && levels.wants_unit(c.node as usize))
            .map(|c| c.node as usize)
            .min_by_key(|&node| levels.fill(node))
    }
}

impl Assignment for PrimaryAssignment<'_> {
    fn moves(&mut self, from: usize, mut visit: impl FnMut(usize, Cost, u32)) {
        for &unit in &self.led[from] {
            let now = self.cost(unit as usize);
            for candidate in self.candidates.of(unit as usize) {
                if candidate.node as usize != from {
                    visit(candidate.node as usize, candidate.cost - now, unit);
                }
            }
        }
    }

    fn price(&mut self, unit: u32, from: usize, to: usize) -> Option<Cost> {
        self.extra(unit, from, to)
    }

    fn find(&mut self, from: usize, to: usize, cost: Cost, not: &[u32]) -> Option<u32> {
        let fits = |unit: &&u32| !not.contains(unit) && self.extra(**unit, from, to) == Some(cost);
        self.led[from].iter().find(fits).copied()
    }

    fn apply(&mut self, unit: u32, from: usize, to: usize) {
        self.remove_from_list(unit as usize, from);
        self.put(unit as usize, to);
    }

    fn bulk(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let mut moved = 0;
        let mut sources: Vec<usize> = (0..self.pool()).collect();
        sources.sort_by_key(|&n| hash::pair(n as u64, 3));
        sources.push(self.pool());
        for from in sources {
            // Backwards, because a removal puts the last partition into the place of the removed one.
            for at in (0..self.led[from].len()).rev() {
                if !levels.has_surplus(from) {
                    break;
                }
                let unit = self.led[from][at];
                if let Some(to) = self.best(unit as usize, levels, cost) {
                    self.apply(unit, from, to);
                    levels.record_move(from, to);
                    moved += 1;
                }
            }
        }
        moved
    }
}
