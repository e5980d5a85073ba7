//! An independent checker of plans: fair shares by bisection in floating point, and the least possible cost by a plain
//! min-cost flow over (partition, zone, node). It shares no code with the planner, and is slow.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Election, Placement, PlannerInput};

/// Successive shortest paths with Bellman-Ford; costs may be negative as long as no cycle is.
struct ReferenceFlow {
    arcs: Vec<(usize, i64, i128)>,
    out: Vec<Vec<usize>>,
}

impl ReferenceFlow {
    fn new(vertices: usize) -> Self {
        ReferenceFlow {
            arcs: Vec::new(),
            out: vec![Vec::new(); vertices],
        }
    }

    fn arc(&mut self, from: usize, to: usize, capacity: i64, cost: i128) {
        self.out[from].push(self.arcs.len());
        self.arcs.push((to, capacity, cost));
        self.out[to].push(self.arcs.len());
        self.arcs.push((from, 0, -cost));
    }

    /// The least cost of sending `units` from `source` to `sink`.
    fn least_cost(&mut self, source: usize, sink: usize, units: i64) -> i128 {
        let mut total = 0;
        for _ in 0..units {
            let mut distance = vec![i128::MAX; self.out.len()];
            let mut via = vec![usize::MAX; self.out.len()];
            distance[source] = 0;
            let mut changed = true;
            while changed {
                changed = false;
                for from in 0..self.out.len() {
                    if distance[from] == i128::MAX {
                        continue;
                    }
                    for &arc in &self.out[from] {
                        let (to, capacity, cost) = self.arcs[arc];
                        if capacity > 0 && distance[from] + cost < distance[to] {
                            (distance[to], via[to], changed) = (distance[from] + cost, arc, true);
                        }
                    }
                }
            }
            assert_ne!(distance[sink], i128::MAX, "the flow does not exist");
            total += distance[sink];
            let mut vertex = sink;
            while vertex != source {
                let arc = via[vertex];
                self.arcs[arc].1 -= 1;
                self.arcs[arc ^ 1].1 += 1;
                vertex = self.arcs[arc ^ 1].0;
            }
        }
        total
    }
}

/// The x at which a growing function reaches a value.
fn bisect(f: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e12);
    for _ in 0..300 {
        let middle = (low + high) / 2.0;
        if f(middle) < value {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

fn rounded(shares: &[f64]) -> Vec<(i64, i64)> {
    shares
        .iter()
        .map(|s| ((s + 1e-6).floor() as i64, (s - 1e-6).ceil() as i64))
        .collect()
}

/// The cluster by node number, in the order of the ids.
pub(super) struct PlanChecker<'a> {
    input: &'a PlannerInput,
    ids: Vec<&'a str>,
    weight: Vec<f64>,
    zone: Vec<usize>,
    /// For each partition the listed nodes that hold it, and whether synced.
    held: Vec<BTreeMap<usize, bool>>,
    primary: Vec<Option<usize>>,
    copies: usize,
    zones: Vec<(i64, i64)>,
}

impl<'a> PlanChecker<'a> {
    pub(super) fn new(input: &'a PlannerInput) -> Self {
        let mut nodes: Vec<_> = input.nodes.iter().collect();
        nodes.sort_by_key(|n| &n.id);
        let ids: Vec<&str> = nodes.iter().map(|n| n.id.as_str()).collect();
        let number = |id: &str| ids.iter().position(|&other| other == id);
        let names: BTreeSet<_> = nodes.iter().map(|n| n.zone.clone()).collect();
        let zone: Vec<usize> = nodes
            .iter()
            .map(|n| names.iter().position(|z| *z == n.zone).unwrap())
            .collect();
        let weight: Vec<f64> = nodes
            .iter()
            .map(|n| if n.draining { 0.0 } else { f64::from(n.weight) })
            .collect();
        let open = weight.iter().filter(|&&w| w > 0.0).count();
        let copies = open.min(input.replication_factor.max(1) as usize);
        let mut held = Vec::new();
        for partition in &input.partitions {
            let mut map: BTreeMap<usize, bool> = BTreeMap::new();
            for copy in &partition.copies {
                if let Some(node) = number(&copy.node) {
                    *map.entry(node).or_default() |= copy.synced;
                }
            }
            held.push(map);
        }
        let primary = input
            .partitions
            .iter()
            .map(|p| p.primary.as_deref().and_then(number))
            .collect();
        let mut judge = PlanChecker {
            input,
            weight,
            zone,
            held,
            primary,
            copies,
            zones: Vec::new(),
            ids,
        };
        judge.zones = judge.deal(names.len());
        judge
    }

    fn open(&self, node: usize) -> bool {
        self.weight[node] > 0.0
    }

    /// Deals the copies of one partition to the zones in rounds; in a last round that not all get, any may.
    fn deal(&self, zones: usize) -> Vec<(i64, i64)> {
        let size: Vec<usize> = (0..zones)
            .map(|z| {
                (0..self.ids.len())
                    .filter(|&n| self.open(n) && self.zone[n] == z)
                    .count()
            })
            .collect();
        let (mut dealt, mut left) = (vec![0; zones], self.copies);
        loop {
            let able: Vec<usize> = (0..zones).filter(|&z| size[z] > dealt[z]).collect();
            if left == 0 || able.len() > left {
                let last = |z| i64::from(left > 0 && able.contains(&z));
                return (0..zones)
                    .map(|z| (dealt[z] as i64, dealt[z] as i64 + last(z)))
                    .collect();
            }
            able.iter().for_each(|&z| dealt[z] += 1);
            left -= able.len();
        }
    }

    fn copy_shares(&self) -> Vec<(i64, i64)> {
        let each = self.held.len() as f64;
        let filled = |zone: usize, level: f64| {
            (0..self.ids.len())
                .filter(|&n| self.zone[n] == zone)
                .map(|n| each.min(level * self.weight[n]))
                .sum::<f64>()
        };
        let clamped = |zone: usize, level: f64| {
            let (least, most) = self.zones[zone];
            filled(zone, level).clamp(each * least as f64, each * most as f64)
        };
        let all = |level: f64| (0..self.zones.len()).map(|z| clamped(z, level)).sum::<f64>();
        let level = bisect(all, each * self.copies as f64 - 1e-9);
        let totals: Vec<f64> = (0..self.zones.len()).map(|z| clamped(z, level)).collect();
        let levels: Vec<f64> = (0..totals.len())
            .map(|z| bisect(|l| filled(z, l), totals[z] - 1e-9))
            .collect();
        let shares: Vec<f64> = (0..self.ids.len())
            .map(|n| each.min(levels[self.zone[n]] * self.weight[n]))
            .collect();
        rounded(&shares)
    }

    /// (new copies, kept unsynced copies): the least that any plan within all bounds can have.
    fn least_copies(&self, shares: &[(i64, i64)]) -> (i64, i64) {
        let (partitions, zones, nodes) = (self.held.len(), self.zones.len(), self.ids.len());
        let must: i128 = -1_000_000_000;
        let new = 10_000;
        let (source, sink) = (0, 1);
        let partition = |p: usize| 2 + p;
        let zone = |p: usize, z: usize| 2 + partitions + p * zones + z;
        let node = |n: usize| 2 + partitions * (1 + zones) + n;
        let mut flow = ReferenceFlow::new(2 + partitions * (1 + zones) + nodes);
        let mut musts = 0;
        for p in 0..partitions {
            flow.arc(source, partition(p), self.copies as i64, 0);
            for (z, &(least, most)) in self.zones.iter().enumerate() {
                flow.arc(partition(p), zone(p, z), least, must);
                flow.arc(partition(p), zone(p, z), most - least, 0);
                musts += least;
            }
            for n in (0..nodes).filter(|&n| self.open(n)) {
                let cost = self.held[p].get(&n).map_or(new, |&synced| i128::from(!synced));
                flow.arc(zone(p, self.zone[n]), node(n), 1, cost);
            }
        }
        for (n, &(floor, ceil)) in shares.iter().enumerate() {
            flow.arc(node(n), sink, floor, must);
            flow.arc(node(n), sink, ceil - floor, 0);
            musts += floor;
        }
        let cost =
            flow.least_cost(source, sink, (partitions * self.copies) as i64) - must * i128::from(musts);
        assert!((0..-must).contains(&cost), "some bound cannot be met");
        ((cost / new) as i64, (cost % new) as i64)
    }

    /// Everything that holds for a plan's copies, and that none with fewer new ones does.
    pub(super) fn copies(&self, plan: &Placement) {
        let made = self.bounds(plan);
        if self.copies > 0 {
            let least = self.least_copies(&self.copy_shares());
            assert_eq!(made, least, "new copies and unsynced ones");
        }
    }

    /// The same without the flow, for large clusters. Returns (new copies, kept unsynced copies).
    pub(super) fn bounds(&self, plan: &Placement) -> (i64, i64) {
        assert_eq!(plan.nodes, self.ids);
        let mut count = vec![0i64; self.ids.len()];
        let (mut new, mut unsynced, mut dropped) = (0, 0, 0);
        for (p, nodes) in plan.copies.iter().enumerate() {
            assert!(
                nodes.is_sorted_by(|a, b| a < b),
                "partition {p}: distinct and ascending"
            );
            dropped += self.held[p]
                .keys()
                .filter(|&&n| !nodes.contains(&(n as u32)))
                .count();
            nodes.iter().for_each(|&n| count[n as usize] += 1);
            if self.copies == 0 {
                let most = self.held[p]
                    .len()
                    .min(self.input.replication_factor.max(1) as usize);
                assert!(nodes.iter().all(|&n| self.held[p].contains_key(&(n as usize))));
                assert_eq!(nodes.len(), most, "nothing is placed, and nothing given up");
                continue;
            }
            assert_eq!(nodes.len(), self.copies, "partition {p}");
            assert!(
                nodes.iter().all(|&n| self.open(n as usize)),
                "partition {p}: a closed node"
            );
            for (z, &(least, most)) in self.zones.iter().enumerate() {
                let here = nodes.iter().filter(|&&n| self.zone[n as usize] == z).count() as i64;
                assert!(
                    (least..=most).contains(&here),
                    "partition {p}: {here} in zone {z}"
                );
            }
            for &n in nodes {
                match self.held[p].get(&(n as usize)) {
                    None => new += 1,
                    Some(synced) => unsynced += i64::from(!synced),
                }
            }
        }
        assert_eq!(i64::from(plan.moves.copies_added), new);
        assert_eq!(plan.moves.copies_dropped as usize, dropped);
        let short = plan
            .copies
            .iter()
            .filter(|c| c.len() < self.input.replication_factor.max(1) as usize);
        assert_eq!(plan.moves.under_replicated as usize, short.count());
        if self.copies > 0 {
            let shares = self.copy_shares();
            for (n, &(floor, ceil)) in shares.iter().enumerate() {
                assert!(
                    (floor..=ceil).contains(&count[n]),
                    "node {n}: {} not in {floor}..{ceil}",
                    count[n]
                );
            }
        }
        (new, unsynced)
    }

    fn lost(&self) -> Vec<u32> {
        let lost = |&p: &usize| {
            !self.input.partitions[p].copies.is_empty() && !self.held[p].values().any(|&synced| synced)
        };
        (0..self.held.len()).filter(lost).map(|p| p as u32).collect()
    }

    pub(super) fn primaries(&self, plan: &Placement) {
        let lost = self.lost();
        assert_eq!(plan.moves.lost, lost);
        let mut options: Vec<BTreeMap<usize, i128>> = Vec::new();
        for (p, nodes) in plan.copies.iter().enumerate() {
            let fresh = self.input.partitions[p].copies.is_empty();
            let led = self.primary[p].is_some_and(|n| self.held[p].get(&n) == Some(&true));
            let cost = |n: usize| {
                if self.primary[p] == Some(n) {
                    0
                } else if fresh || self.held[p].get(&n) == Some(&true) {
                    CHANGE_COST
                } else if led {
                    CHANGE_COST + 1
                } else {
                    WAIT_COST
                }
            };
            let nodes = if lost.contains(&(p as u32)) {
                &[]
            } else {
                nodes.as_slice()
            };
            options.push(nodes.iter().map(|&n| (n as usize, cost(n as usize))).collect());
        }
        self.least_changes(&options, &plan.primaries);
        assert_eq!(plan.moves.primaries_changed, self.changed(&plan.primaries));
    }

    pub(super) fn elect(&self, election: &Election) {
        let options: Vec<_> = (0..self.held.len()).map(|p| self.synced(p)).collect();
        self.least_changes(&options, &election.primaries);
        assert_eq!(election.nodes, self.ids);
        assert_eq!(election.lost, self.lost());
        assert_eq!(election.primaries_changed, self.changed(&election.primaries));
    }

    pub(super) fn failover(&self, election: &Election) {
        let mut options: Vec<_> = (0..self.held.len()).map(|p| self.synced(p)).collect();
        for of in &mut options {
            if of.values().any(|&cost| cost == 0) {
                of.retain(|_, cost| *cost == 0);
            }
        }
        self.least_changes(&options, &election.primaries);
        assert_eq!(election.lost, self.lost());
    }

    fn synced(&self, p: usize) -> BTreeMap<usize, i128> {
        let cost = |n: usize| {
            if self.primary[p] == Some(n) {
                0
            } else {
                CHANGE_COST
            }
        };
        self.held[p]
            .iter()
            .filter(|&(_, &synced)| synced)
            .map(|(&n, _)| (n, cost(n)))
            .collect()
    }

    fn changed(&self, primaries: &[Option<u32>]) -> u32 {
        let other = |p: usize| primaries[p].is_some_and(|n| self.primary[p] != Some(n as usize));
        (0..primaries.len()).filter(|&p| other(p)).count() as u32
    }

    /// Every partition with options has one of them, and no choice of all would be better.
    fn least_changes(&self, options: &[BTreeMap<usize, i128>], primaries: &[Option<u32>]) {
        let nodes = self.ids.len();
        let able: Vec<f64> = (0..nodes)
            .map(|n| options.iter().filter(|o| o.contains_key(&n)).count() as f64)
            .collect();
        let units = options.iter().filter(|o| !o.is_empty()).count();
        let filled = |l: f64| (0..nodes).map(|n| able[n].min(l * self.weight[n])).sum::<f64>();
        let level = bisect(filled, (units as f64).min(filled(1e12)) - 1e-9);
        let shares: Vec<f64> = (0..nodes).map(|n| able[n].min(level * self.weight[n])).collect();
        let shares = rounded(&shares);
        let slope = |n: usize, unit: i64| {
            let (floor, ceil) = shares[n];
            let beyond = (unit + 1 - ceil).max(0) - (floor - unit).max(0);
            STEP_COST * i128::from(beyond) + if ceil == 0 { CLOSED_COST } else { 0 }
        };

        let (source, sink) = (0, 1);
        let mut flow = ReferenceFlow::new(2 + options.len() + nodes);
        let (mut cost, mut led) = (0, vec![0i64; nodes]);
        for (p, of) in options.iter().enumerate() {
            flow.arc(source, 2 + p, 1, 0);
            of.iter()
                .for_each(|(&n, &cost)| flow.arc(2 + p, 2 + options.len() + n, 1, cost));
            assert_eq!(primaries[p].is_some(), !of.is_empty(), "partition {p}");
            if let Some(n) = primaries[p] {
                let chosen = of.get(&(n as usize));
                cost += chosen.unwrap_or_else(|| panic!("partition {p}: {n} is no option"));
                led[n as usize] += 1;
            }
        }
        for (n, &led) in led.iter().enumerate() {
            cost += (0..led).map(|unit| slope(n, unit)).sum::<i128>();
            (0..units as i64).for_each(|unit| flow.arc(2 + options.len() + n, sink, 1, slope(n, unit)));
        }
        assert_eq!(
            cost,
            flow.least_cost(source, sink, units as i64),
            "a better choice exists"
        );
    }
}

// Ranks for up to 99 partitions.
const CHANGE_COST: i128 = 100;
const WAIT_COST: i128 = 100 * CHANGE_COST * 2;
const STEP_COST: i128 = 100 * WAIT_COST * 2;
const CLOSED_COST: i128 = STEP_COST * 100_000;
