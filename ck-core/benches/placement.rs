//! The planner at four sizes: a fresh cluster, one node more, one node less.
//!
//! Before the times it prints what each plan achieves beside what is possible, and ends with an error when a plan is
//! not optimal: a fast wrong answer is not worth a time.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use clusterkit::placement::{Placement, PlannerCopy, PlannerInput, PlannerNode, PlannerPartition, place};
use criterion::Criterion;

const REPLICATION_FACTOR: usize = 3;
const SIZES: [(usize, usize); 4] = [(256, 10), (1024, 50), (4096, 100), (16384, 1000)];

fn node(number: usize) -> PlannerNode {
    PlannerNode {
        id: format!("node-{number}"),
        weight: 100,
        zone: None,
        draining: false,
    }
}

fn fresh(partitions: usize, nodes: usize) -> PlannerInput {
    PlannerInput {
        replication_factor: REPLICATION_FACTOR as u32,
        nodes: (0..nodes).map(node).collect(),
        partitions: vec![PlannerPartition::default(); partitions],
    }
}

/// The cluster after `plan` was carried out.
fn settled(input: &PlannerInput, plan: &Placement) -> PlannerInput {
    let id = |n: u32| plan.nodes[n as usize].clone();
    let copies = |nodes: &Vec<u32>| {
        nodes
            .iter()
            .map(|&n| PlannerCopy {
                node: id(n),
                synced: true,
            })
            .collect()
    };
    let partitions = plan
        .copies
        .iter()
        .zip(&plan.primaries)
        .map(|(nodes, primary)| PlannerPartition {
            copies: copies(nodes),
            primary: primary.map(id),
        })
        .collect();
    PlannerInput {
        partitions,
        ..input.clone()
    }
}

/// The fewest copies that any plan could make: those that are missing, or more where nodes hold more than their
/// share rounded up (all nodes weigh the same here).
fn lower_bound(input: &PlannerInput) -> usize {
    let total = input.partitions.len() * REPLICATION_FACTOR;
    let mut held: BTreeMap<&str, usize> = input.nodes.iter().map(|n| (n.id.as_str(), 0)).collect();
    for copy in input.partitions.iter().flat_map(|p| &p.copies) {
        if let Some(count) = held.get_mut(copy.node.as_str()) {
            *count += 1;
        }
    }
    let (floor, nodes_at_ceil) = (total / held.len(), total % held.len());
    let mut held: Vec<usize> = held.into_values().collect();
    held.sort_unstable_by(|a, b| b.cmp(a));
    let kept: usize = held
        .iter()
        .enumerate()
        .map(|(rank, &count)| count.min(floor + usize::from(rank < nodes_at_ceil)))
        .sum();
    total - kept
}

fn range(counts: &[usize]) -> (usize, usize) {
    (
        *counts.iter().min().unwrap_or(&0),
        *counts.iter().max().unwrap_or(&0),
    )
}

/// What the plan achieves, in words.
fn quality(input: &PlannerInput, plan: &Placement) -> String {
    let nodes = plan.nodes.len();
    let (mut copies, mut primaries) = (vec![0; nodes], vec![0; nodes]);
    let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (holders, primary) in plan.copies.iter().zip(&plan.primaries) {
        for (i, &a) in holders.iter().enumerate() {
            copies[a as usize] += 1;
            holders[i + 1..]
                .iter()
                .for_each(|&b| *pairs.entry((a, b)).or_default() += 1);
        }
        primary.iter().for_each(|&n| primaries[n as usize] += 1);
    }
    let (made, bound) = (plan.moves.copies_added, lower_bound(input));
    let (copies, primaries) = (range(&copies), range(&primaries));
    assert_eq!(made as usize, bound, "more copies than needed");
    assert!(
        copies.1 - copies.0 <= 1 && primaries.1 - primaries.0 <= 1,
        "out of balance"
    );
    format!(
        "copies made {made} (at least {bound}), per node {}..{}; primaries changed {}, per node {}..{}; \
         pairs share {:.2}, at most {}",
        copies.0,
        copies.1,
        plan.moves.primaries_changed,
        primaries.0,
        primaries.1,
        pairs.values().sum::<usize>() as f64 / (nodes * (nodes - 1) / 2) as f64,
        pairs.values().max().unwrap_or(&0),
    )
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    for (partitions, nodes) in SIZES {
        let start = fresh(partitions, nodes);
        let settled = settled(&start, &place(&start));
        let mut join = settled.clone();
        join.nodes.push(node(nodes));
        let mut leave = settled;
        leave.nodes.remove(nodes / 2);
        for (what, input) in [("fresh", &start), ("join", &join), ("leave", &leave)] {
            let name = format!("placement/{partitions}x{nodes}/{what}");
            // A closed standard output must not end the benchmark.
            let _ = writeln!(std::io::stdout(), "{name}: {}", quality(input, &place(input)));
            criterion.bench_function(&name, |bencher| bencher.iter(|| place(black_box(input))));
        }
    }
    criterion.final_summary();
}
