//! The solver: a min-cost flow on the graph of nodes, not of (partition, node) pairs.
//!
//! Units (copies, or primaries) sit on nodes. Each node has a share, and each single move of one unit has a cost.
//! [`balance`] brings all nodes into their shares at the least total cost by successive shortest paths:
//!
//! - It starts from an assignment of least cost that ignores the shares (everything stays where it is), and from a
//!   flow into the sink, `claim`, that is as near to the assignment as the shares allow. The difference of the two
//!   is what remains to be done: on a cluster where one node came or went, few units.
//! - The invariant of the method: no cycle of residual moves has a negative cost. It holds at the start, because
//!   every unit is where it is cheapest, and each augmentation along a *shortest* path from surplus to deficit keeps
//!   it. With the last surplus gone the assignment is therefore a cheapest one among all that meet the shares.
//! - Path lengths never shrink. So once a search has found the length `d` of a shortest path, *every* single move
//!   of cost `d` from surplus to deficit is itself a shortest path: these are made in bulk, without a search and in
//!   whatever order spreads best ([`Assignment::bulk`]), and only the few units that no single move can settle cost
//!   a search each.
//! - Among paths of one length a search takes one of fewest moves. Such a path never takes a unit of the same
//!   partition across zones twice (the shortcut past the detour would be as cheap and shorter), so that moves which
//!   are legal one by one are legal together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash;
use super::share::Share;

/// What a move costs. Wide, because the ranks of the goals are powers of the number of units.
pub(super) type Cost = i128;

/// The units of one kind and where they sit. Nodes are `0..n`; node `n` is the *pool* of units without a node.
pub(super) trait Assignment {
    /// Calls `visit(to, cost, unit)` for single moves out of `from`: at least one cheapest move to each node.
    fn moves(&mut self, from: usize, visit: impl FnMut(usize, Cost, u32));
    /// The cost of moving `unit` from `from` to `to`; none when it cannot.
    fn price(&mut self, unit: u32, from: usize, to: usize) -> Option<Cost>;
    /// A unit that can move at exactly this cost and is none of `not`.
    fn find(&mut self, from: usize, to: usize, cost: Cost, not: &[u32]) -> Option<u32>;
    /// Moves `unit`. The caller keeps the levels.
    fn apply(&mut self, unit: u32, from: usize, to: usize);
    /// Makes single moves of exactly this cost from nodes with a surplus to nodes with a deficit, as many as it finds,
    /// and returns their number.
    fn bulk(&mut self, levels: &mut Levels, cost: Cost) -> usize;
}

/// What a share costs when it cannot be met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Penalty {
    /// The shares can always be met; nothing else is considered.
    Strict,
    /// The k-th unit above or below a share costs k times this, so that what cannot be met is missed evenly. It
    /// must exceed the cost of any assignment. On a node that may hold nothing (ceil 0) a unit costs `closed` more,
    /// which must exceed all of those together.
    Soft { step: Cost, closed: Cost },
}

/// How far the nodes are from their shares.
#[derive(Debug)]
pub(super) struct Levels {
    share: Vec<Share>,
    /// Units on each node; the pool last.
    count: Vec<u32>,
    /// Flow from each node into the sink. At the end it equals `count`.
    claim: Vec<u32>,
    /// Units that the sink was promised beyond those that exist: surplus of the sink when positive.
    slack: i64,
    penalty: Penalty,
    /// The mean share, rounded up.
    mean: u64,
    phase: Vec<u64>,
    /// The result of [`Levels::fill`], which is read far more often than it changes.
    fill: Vec<u64>,
}

impl Levels {
    /// `count` is the units on each node and then those in the pool.
    pub(super) fn new(share: Vec<Share>, count: Vec<u32>, penalty: Penalty) -> Self {
        debug_assert_eq!(share.len() + 1, count.len());
        let mut claim: Vec<u32> = share
            .iter()
            .zip(&count)
            .map(|(s, &c)| c.clamp(s.floor, s.ceil))
            .collect();
        claim.push(0);
        let sum = |of: &[u32]| of.iter().map(|&x| i64::from(x)).sum::<i64>();
        let slack = sum(&claim) - sum(&count);
        let ceil = |s: &Share| u64::from(s.ceil);
        let eligible = share.iter().filter(|s| s.ceil > 0).count().max(1) as u64;
        let mean = share.iter().map(ceil).sum::<u64>().div_ceil(eligible);
        let phase = share
            .iter()
            .enumerate()
            .map(|(n, s)| hash::pair(n as u64, 4) % ceil(s).max(1))
            .collect();
        let fill = vec![0; share.len()];
        let mut levels = Levels {
            share,
            count,
            claim,
            slack,
            penalty,
            mean,
            phase,
            fill,
        };
        (0..levels.pool()).for_each(|node| levels.refill(node));
        levels
    }

    /// The number of nodes, which is the index of the pool.
    pub(super) fn pool(&self) -> usize {
        self.share.len()
    }

    /// Units on a node.
    pub(super) fn count(&self, node: usize) -> u32 {
        self.count[node]
    }

    /// How full a node is, in steps of one unit of a node of mean share: equal for nodes that a choice may treat
    /// alike. The steps of nodes with other shares fall at different times (`phase`), or nodes of equal weight
    /// would be chosen together always.
    pub(super) fn fill(&self, node: usize) -> u64 {
        self.fill[node]
    }

    fn refill(&mut self, node: usize) {
        if let Some(share) = self.share.get(node) {
            let progress = u64::from(self.count[node]) * self.mean + self.phase[node];
            self.fill[node] = progress / u64::from(share.ceil.max(1));
        }
    }

    /// True while a unit should move away from the node.
    pub(super) fn has_surplus(&self, node: usize) -> bool {
        self.count[node] > self.claim[node] || (self.slack > 0 && self.claim[node] > self.floor(node))
    }

    /// True while the node should get a unit.
    pub(super) fn wants_unit(&self, node: usize) -> bool {
        self.count[node] < self.claim[node] || (self.slack < 0 && self.claim[node] < self.share[node].ceil)
    }

    /// Records a single move from a node with a surplus to a node with a deficit.
    pub(super) fn record_move(&mut self, from: usize, to: usize) {
        if self.count[from] <= self.claim[from] {
            self.claim[from] -= 1;
            self.slack -= 1;
        }
        if self.count[to] >= self.claim[to] {
            self.claim[to] += 1;
            self.slack += 1;
        }
        self.shift(from, to);
    }

    fn shift(&mut self, from: usize, to: usize) {
        self.count[from] -= 1;
        self.count[to] += 1;
        self.refill(from);
        self.refill(to);
    }

    fn floor(&self, node: usize) -> u32 {
        self.share.get(node).map_or(0, |s| s.floor)
    }

    /// The cost of the unit of flow into the sink that comes after the first `units`; none when there is none.
    fn slope(&self, node: usize, units: u32) -> Option<Cost> {
        let Share { floor, ceil } = self.share[node];
        if (floor..ceil).contains(&units) {
            return Some(0);
        }
        let Penalty::Soft { step, closed } = self.penalty else {
            return None;
        };
        if units < floor {
            return Some(-step * Cost::from(floor - units));
        }
        Some(step * Cost::from(units - ceil + 1) + if ceil == 0 { closed } else { 0 })
    }

    fn raise(&self, node: usize) -> Option<Cost> {
        self.slope(node, self.claim[node])
    }

    fn lower(&self, node: usize) -> Option<Cost> {
        self.claim[node]
            .checked_sub(1)
            .and_then(|units| self.slope(node, units))
            .map(|cost| -cost)
    }

    fn is_of_sink(&self, step: PathStep) -> bool {
        step.from.max(step.to) > self.pool()
    }

    /// The present price of a step into the sink or out of it.
    fn sink_price(&self, step: PathStep) -> Option<Cost> {
        if step.to > self.pool() {
            self.raise(step.from)
        } else {
            self.lower(step.to)
        }
    }

    fn walk(&mut self, step: PathStep, units: &mut impl Assignment) {
        let PathStep { unit, from, to } = step;
        let sink = self.pool() + 1;
        if to == sink {
            self.claim[from] += 1;
            self.slack += 1;
        } else if from == sink {
            self.claim[to] -= 1;
            self.slack -= 1;
        } else {
            units.apply(unit, from, to);
            self.shift(from, to);
        }
    }

    /// Surplus (positive) or deficit of a vertex: a node, the pool, or the sink after them.
    fn excess(&self, vertex: usize) -> i64 {
        match self.count.get(vertex) {
            Some(&count) => i64::from(count) - i64::from(self.claim[vertex]),
            None => self.slack,
        }
    }
}

/// No vertex, or no unit.
const NO_VERTEX: u32 = u32::MAX;
/// The distance of a vertex that was not reached.
const UNREACHED: (Cost, u32) = (Cost::MAX, u32::MAX);

/// A step of a path: a unit from node to node, or flow from a node to the sink or back.
#[derive(Debug, Clone, Copy)]
struct PathStep {
    unit: u32,
    from: usize,
    to: usize,
}

/// One shortest-path search and the potentials that all of them share.
struct PathSearch {
    /// The length of a shortest path from any surplus to the vertex, as of the last search and at most the length
    /// to the nearest deficit. With them every residual move has a reduced cost of at least 0.
    potential: Vec<Cost>,
    /// (reduced cost, moves) to each vertex.
    distance: Vec<(Cost, u32)>,
    /// The vertex before and the unit moved from there.
    parent: Vec<(u32, u32)>,
    done: Vec<bool>,
    heap: BinaryHeap<Reverse<(Cost, u32, u32)>>,
    /// Vertices with a deficit at the least distance, nearest first.
    found: Vec<usize>,
}

impl PathSearch {
    fn new(vertices: usize) -> Self {
        PathSearch {
            potential: vec![0; vertices],
            distance: vec![UNREACHED; vertices],
            parent: vec![(NO_VERTEX, NO_VERTEX); vertices],
            done: vec![false; vertices],
            heap: BinaryHeap::new(),
            found: Vec::new(),
        }
    }

    /// Finds the nearest deficits and moves the potentials. False when no deficit can be reached.
    fn run(&mut self, units: &mut impl Assignment, levels: &Levels) -> bool {
        let sink = levels.pool() + 1;
        self.distance.fill(UNREACHED);
        self.parent.fill((NO_VERTEX, NO_VERTEX));
        self.done.fill(false);
        self.heap.clear();
        self.found.clear();
        for vertex in (0..=sink).filter(|&v| levels.excess(v) > 0) {
            self.distance[vertex] = (0, 0);
            self.heap.push(Reverse((0, 0, vertex as u32)));
        }
        let mut nearest = None;
        while let Some(Reverse((cost, hops, vertex))) = self.heap.pop() {
            let vertex = vertex as usize;
            if nearest.is_some_and(|nearest| cost > nearest) {
                break;
            }
            if self.done[vertex] {
                continue;
            }
            self.done[vertex] = true;
            if levels.excess(vertex) < 0 {
                nearest = Some(cost);
                self.found.push(vertex);
                continue;
            }
            let PathSearch {
                potential,
                distance,
                parent,
                done,
                heap,
                ..
            } = self;
            let mut relax = |to: usize, price: Cost, unit: u32| {
                let reduced = price + potential[vertex] - potential[to];
                debug_assert!(reduced >= 0, "a negative cycle: the start was not of least cost");
                let next = (cost + reduced, hops + 1);
                if !done[to] && next < distance[to] {
                    distance[to] = next;
                    parent[to] = (vertex as u32, unit);
                    heap.push(Reverse((next.0, next.1, to as u32)));
                }
            };
            if vertex == sink {
                for node in 0..levels.pool() {
                    if let Some(price) = levels.lower(node) {
                        relax(node, price, NO_VERTEX);
                    }
                }
                continue;
            }
            if let Some(price) = levels.share.get(vertex).and_then(|_| levels.raise(vertex)) {
                relax(sink, price, NO_VERTEX);
            }
            if levels.count[vertex] > 0 {
                units.moves(vertex, relax);
            }
        }
        let Some(nearest) = nearest else { return false };
        for (potential, distance) in self.potential.iter_mut().zip(&self.distance) {
            *potential += distance.0.min(nearest);
        }
        true
    }

    /// The length of a shortest path from surplus to deficit.
    fn length(&self) -> Cost {
        self.found.first().map_or(0, |&vertex| self.potential[vertex])
    }

    /// The path to `end`, last step first.
    fn path(&self, end: usize) -> Vec<PathStep> {
        let mut path = Vec::new();
        let mut to = end;
        while self.parent[to].0 != NO_VERTEX {
            let (from, unit) = self.parent[to];
            path.push(PathStep {
                unit,
                from: from as usize,
                to,
            });
            to = from as usize;
        }
        path
    }

    /// Moves units along the path to `end`, as many as the path and its ends allow, and returns their number: none
    /// when another path of this search has used up a part of it.
    ///
    /// Any sequence of moves without reduced cost from surplus to deficit is a shortest path, so the second unit
    /// and those after it go the same way with other partitions.
    fn augment(&self, end: usize, units: &mut impl Assignment, levels: &mut Levels) -> usize {
        let mut path = self.path(end);
        let Some(start) = path.last().map(|step| step.from) else {
            return 0;
        };
        let mut moved = 0;
        while levels.excess(start) > 0 && levels.excess(end) < 0 {
            let ready = if moved == 0 {
                path.iter().all(|&step| self.is_tight(step, units, levels))
            } else {
                self.reuse(&mut path, units, levels)
            };
            if !ready {
                break;
            }
            path.iter().for_each(|&step| levels.walk(step, units));
            moved += 1;
        }
        moved
    }

    /// What a step without reduced cost costs.
    fn price(&self, step: PathStep) -> Cost {
        self.potential[step.to] - self.potential[step.from]
    }

    fn is_tight(&self, step: PathStep, units: &mut impl Assignment, levels: &Levels) -> bool {
        let price = if levels.is_of_sink(step) {
            levels.sink_price(step)
        } else {
            units.price(step.unit, step.from, step.to)
        };
        price == Some(self.price(step))
    }

    /// Finds other units for the steps of a path. They are all different, so that each move leaves the others legal.
    fn reuse(&self, path: &mut [PathStep], units: &mut impl Assignment, levels: &Levels) -> bool {
        let mut chosen = Vec::with_capacity(path.len());
        for step in path {
            if levels.is_of_sink(*step) {
                if !self.is_tight(*step, units, levels) {
                    return false;
                }
                continue;
            }
            let Some(unit) = units.find(step.from, step.to, self.price(*step), &chosen) else {
                return false;
            };
            chosen.push(unit);
            step.unit = unit;
        }
        true
    }
}

/// Brings every node into its share at the least cost. `units` must be where each of them is cheapest.
///
/// With [`Penalty::Strict`] it ends early, with units left over, only when the shares cannot be met.
pub(super) fn balance(units: &mut impl Assignment, levels: &mut Levels) {
    let sink = levels.pool() + 1;
    let mut search = PathSearch::new(sink + 1);
    while (0..=sink).any(|vertex| levels.excess(vertex) > 0) {
        if !search.run(units, levels) {
            return;
        }
        if units.bulk(levels, search.length()) > 0 {
            continue;
        }
        let augmented: usize = search
            .found
            .iter()
            .map(|&end| search.augment(end, units, levels))
            .sum();
        debug_assert!(augmented > 0, "the first path of a search is whole");
        if augmented == 0 {
            return;
        }
    }
}
