//! Flow B: which copy of each partition is the primary.
//!
//! A unit is a primary; its number is its partition's. The costs rank what a plan should avoid, each rank dearer than
//! everything of the next together:
//!
//! 1. a partition that nobody leads now, given to a node that must copy the data first (it would need a primary for
//!    the time being: two changes, and no service before the first);
//! 2. a change of primary;
//! 3. a change to a node that must copy the data first, where one that has it would do.

use super::flow::{self, Assignment, Cost, Levels, Penalty};
use super::hash;
use super::input::{Current, Topology};
use super::share;

/// A node that may be primary of a partition.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    node: u32,
    cost: Cost,
}

/// The costs for a number of partitions.
#[derive(Debug, Clone, Copy)]
struct Costs {
    /// A change of primary.
    change: Cost,
    /// A partition without a primary that waits for data.
    wait: Cost,
    /// A unit beyond a share.
    step: Cost,
    /// A unit on a node that may hold none.
    closed: Cost,
}

impl Costs {
    fn new(partitions: usize) -> Self {
        let more = partitions as Cost + 1;
        let change = more;
        let wait = more * (change + 1);
        let step = more * wait;
        // The k-th unit beyond a share costs k steps.
        Costs {
            change,
            wait,
            step,
            closed: more * more * step,
        }
    }
}

/// Which nodes may lead each partition.
pub(super) struct Candidates {
    starts: Vec<u32>,
    list: Vec<Candidate>,
    costs: Costs,
}

impl Candidates {
    /// The target copies, as if all were synced; none for a lost partition.
    pub(super) fn planned(current: &Current, copies: &[Vec<u32>]) -> Self {
        let Costs { change, wait, .. } = Costs::new(current.len());
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
                    wait
                };
                Candidate { node, cost }
            }));
        })
    }

    /// The copies that are synced now.
    pub(super) fn synced(current: &Current) -> Self {
        let Costs { change, .. } = Costs::new(current.len());
        Self::new(current, |p, list| {
            list.extend(
                current
                    .held(p)
                    .iter()
                    .filter(|held| held.synced)
                    .map(|held| Candidate {
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
    pub(super) fn orphaned(current: &Current) -> Self {
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

    fn new(current: &Current, mut of: impl FnMut(usize, &mut Vec<Candidate>)) -> Self {
        let mut starts = vec![0];
        let mut list = Vec::new();
        for p in 0..current.len() {
            of(p, &mut list);
            starts.push(list.len() as u32);
        }
        Candidates {
            starts,
            list,
            costs: Costs::new(current.len()),
        }
    }

    fn of(&self, partition: usize) -> &[Candidate] {
        &self.list[self.starts[partition] as usize..self.starts[partition + 1] as usize]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// A primary for each partition that has a candidate.
///
/// Every node gets its weighted share, of what it can lead, rounded down or up. Where the candidates do not allow
/// that, the shares are missed as little and as evenly as possible; a node that may get nothing leads only what
/// nobody else can.
pub(super) fn assign(topology: &Topology, candidates: &Candidates) -> Vec<Option<u32>> {
    let nodes = topology.len();
    let mut able = vec![0u32; nodes];
    candidates.list.iter().for_each(|c| able[c.node as usize] += 1);
    let partitions = (0..candidates.len())
        .filter(|&p| !candidates.of(p).is_empty())
        .count();
    let shares = share::weighted(&topology.weight, &able, partitions as u64);

    let mut duty = Duty {
        candidates,
        leader: vec![None; candidates.len()],
        at: vec![0; candidates.len()],
        led: vec![Vec::new(); nodes + 1],
    };
    for p in 0..candidates.len() {
        let of = candidates.of(p);
        if let Some(keeps) = of.iter().find(|c| c.cost == 0) {
            duty.put(p, keeps.node as usize);
        } else if !of.is_empty() {
            duty.enlist(p, nodes);
        }
    }
    let count: Vec<u32> = duty.led.iter().map(|led| led.len() as u32).collect();
    let Costs { step, closed, .. } = candidates.costs;
    let penalty = Penalty::Soft { step, closed };
    let mut levels = Levels::new(shares, count, penalty);
    flow::settle(&mut duty, &mut levels);
    duty.leader
}

struct Duty<'a> {
    candidates: &'a Candidates,
    leader: Vec<Option<u32>>,
    /// Where each partition stands in its leader's list, so that a change needs no search.
    at: Vec<u32>,
    /// The partitions that each node leads, and those without a leader.
    led: Vec<Vec<u32>>,
}

impl Duty<'_> {
    fn enlist(&mut self, p: usize, node: usize) {
        self.at[p] = self.led[node].len() as u32;
        self.led[node].push(p as u32);
    }

    fn put(&mut self, p: usize, node: usize) {
        self.leader[p] = Some(node as u32);
        self.enlist(p, node);
    }

    fn relieve(&mut self, p: usize, node: usize) {
        let at = self.at[p] as usize;
        self.led[node].swap_remove(at);
        if let Some(&moved) = self.led[node].get(at) {
            self.at[moved as usize] = at as u32;
        }
    }

    fn pool(&self) -> usize {
        self.led.len() - 1
    }

    /// What the partition costs where it is.
    fn cost(&self, p: usize) -> Cost {
        let leader = self.leader[p];
        self.candidates
            .of(p)
            .iter()
            .find(|c| Some(c.node) == leader)
            .map_or(0, |c| c.cost)
    }

    /// What the partition would cost more at `to`.
    fn extra(&self, unit: u32, from: usize, to: usize) -> Option<Cost> {
        let p = unit as usize;
        if self.leader[p].map_or(self.pool(), |n| n as usize) != from {
            return None;
        }
        self.candidates
            .of(p)
            .iter()
            .find(|c| c.node as usize == to)
            .map(|c| c.cost - self.cost(p))
    }

    /// The emptiest node that takes the partition for this much more than it costs now.
    fn best(&self, p: usize, levels: &Levels, cost: Cost) -> Option<usize> {
        let of = self.candidates.of(p);
        let first = hash::start(p, 2, of.len());
        let wanted = self.cost(p) + cost;
        of[first..]
            .iter()
            .chain(&of[..first])
            .filter(|c| c.cost == wanted && levels.takes(c.node as usize))
            .map(|c| c.node as usize)
            .min_by_key(|&node| levels.fill(node))
    }
}

impl Assignment for Duty<'_> {
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
        self.relieve(unit as usize, from);
        self.put(unit as usize, to);
    }

    fn bulk(&mut self, levels: &mut Levels, cost: Cost) -> usize {
        let mut moved = 0;
        let mut givers: Vec<usize> = (0..self.pool()).collect();
        givers.sort_by_key(|&n| hash::pair(n as u64, 3));
        givers.push(self.pool());
        for from in givers {
            // Backwards, because a move takes the last partition to the place of the one that leaves.
            for at in (0..self.led[from].len()).rev() {
                if !levels.gives(from) {
                    break;
                }
                let unit = self.led[from][at];
                if let Some(to) = self.best(unit as usize, levels, cost) {
                    self.apply(unit, from, to);
                    levels.settle(from, to);
                    moved += 1;
                }
            }
        }
        moved
    }
}
