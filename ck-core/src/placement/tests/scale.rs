//! Clusters of real sizes: optimal moves by counting, balance within one, and spread.

use std::collections::{BTreeMap, BTreeSet};

use super::super::hash;
use super::checker::PlanChecker;
use super::*;

/// The fewest copies that any plan could make with equal weights and no zones: every node keeps at most its share,
/// and only so many nodes may round theirs up.
fn lower_bound(input: &PlannerInput) -> usize {
    let copies = input.nodes.len().min(input.replication_factor as usize);
    let total = input.partitions.len() * copies;
    let mut held: BTreeMap<&str, usize> = input.nodes.iter().map(|n| (n.id.as_str(), 0)).collect();
    for copy in input.partitions.iter().flat_map(|p| &p.copies) {
        held.entry(&copy.node).and_modify(|count| *count += 1);
    }
    let (floor, up) = (total / held.len(), total % held.len());
    let mut held: Vec<usize> = held.into_values().collect();
    held.sort_unstable_by(|a, b| b.cmp(a));
    let kept = |(rank, &count): (usize, &usize)| count.min(floor + usize::from(rank < up));
    total - held.iter().enumerate().map(kept).sum::<usize>()
}

/// Partitions that each pair of nodes shares, for all pairs.
fn shared(plan: &Placement) -> Vec<usize> {
    let nodes = plan.nodes.len();
    let mut table = vec![0; nodes * nodes];
    for holders in &plan.copies {
        for (i, &a) in holders.iter().enumerate() {
            holders[i + 1..]
                .iter()
                .for_each(|&b| table[a as usize * nodes + b as usize] += 1);
        }
    }
    (0..nodes)
        .flat_map(|a| (a + 1..nodes).map(move |b| a * nodes + b))
        .map(|cell| table[cell])
        .collect()
}

/// Checks what every plan must be, and the bound on pairs: the most shared is at most `spread` times the mean, or 2
/// above it where the mean is small.
fn check(input: &PlannerInput, plan: &Placement, spread: f64) {
    assert_eq!(plan.moves.copies_added as usize, lower_bound(input), "moves");
    assert!(gap(&copies(plan)) <= 1, "copies {:?}", copies(plan));
    let led = led(&plan.primaries, plan.nodes.len());
    assert!(gap(&led) <= 1, "primaries {led:?}");
    assert!(plan.moves.lost.is_empty());
    let shared = shared(plan);
    let mean = shared.iter().sum::<usize>() as f64 / shared.len() as f64;
    let most = *shared.iter().max().unwrap() as f64;
    assert!(
        most <= (mean * spread).max(mean + 2.0),
        "{most} of one pair, {mean} of all"
    );
}

/// Fresh, one more, one less; `spread` is what the same flow with random costs reaches.
fn check_size(partitions: usize, nodes: usize, spread: f64) {
    let mut input = fresh(partitions, nodes, 3);
    let plan = place(&input);
    check(&input, &plan, spread);
    adopt(&mut input, &plan);
    check_changes(&input, spread);
}

/// One node more, one less than a balanced cluster.
fn check_changes(input: &PlannerInput, spread: f64) {
    let (partitions, nodes) = (input.partitions.len(), input.nodes.len());
    let mut join = input.clone();
    join.nodes.push(node(nodes));
    let joined = place(&join);
    check(&join, &joined, spread);
    let share = partitions / (nodes + 1);
    let changed = joined.moves.primaries_changed as usize;
    assert!(
        (share..=share + 3).contains(&changed),
        "{changed} primaries change, the new node leads {share}"
    );

    let mut leave = input.clone();
    let gone = leave.nodes.remove(nodes / 3).id;
    let left = place(&leave);
    check(&leave, &left, spread);
    assert_eq!(cold(&leave, &left), 0, "a primary without data");
    // Without moving data primaries are within one already, and those that change their place are few.
    let elected = elect(&leave);
    assert!(gap(&led(&elected.primaries, nodes - 1)) <= 1);
    let orphans = input
        .partitions
        .iter()
        .filter(|p| p.primary.as_ref() == Some(&gone))
        .count();
    let changed = elected.primaries_changed as usize;
    assert!(
        (orphans..=orphans * 3 / 2).contains(&changed),
        "{changed} changes for {orphans} orphans"
    );
    // All nodes can help: where pairs share two partitions in the mean, none shares nothing with the lost node.
    let helped = input
        .partitions
        .iter()
        .filter(|p| p.copies.iter().any(|copy| copy.node == gone));
    let helpers: BTreeSet<&str> = helped
        .flat_map(|p| &p.copies)
        .map(|copy| copy.node.as_str())
        .collect();
    let expected = if partitions * 6 / (nodes * (nodes - 1)) >= 2 {
        nodes
    } else {
        nodes.min(80)
    };
    assert!(
        helpers.len() >= expected,
        "{} of {nodes} share data with the lost node",
        helpers.len()
    );
}

#[test]
fn plans_for_256_partitions_on_10_nodes_are_optimal() {
    check_size(256, 10, 1.49);
}

#[test]
fn plans_for_1024_partitions_on_20_nodes_are_optimal() {
    check_size(1024, 20, 1.66);
}

#[test]
fn plans_for_1024_partitions_on_50_nodes_are_optimal() {
    check_size(1024, 50, 3.75);
}

#[test]
fn plans_for_4096_partitions_on_100_nodes_are_optimal() {
    check_size(4096, 100, 3.75);
}

/// Only changes: the first plan of this size takes seconds without optimisation, and the benchmark checks it.
#[test]
fn plans_for_16384_partitions_on_1000_nodes_are_optimal() {
    let (partitions, nodes) = (16_000, 1000);
    let mut input = fresh(partitions, nodes, 3);
    for (p, partition) in input.partitions.iter_mut().enumerate() {
        // Each round of 1000 partitions gives every node three copies, with other neighbours in each.
        let round = p / nodes;
        let holders = [p, p + 1 + round * 29, p + 500 + round * 17].map(|n| node(n % nodes).id);
        partition.copies = holders
            .iter()
            .map(|id| PlannerCopy {
                node: id.clone(),
                synced: true,
            })
            .collect();
        partition.primary = Some(holders[0].clone());
    }
    assert_eq!(place(&input).moves, Moves::default());
    // The rest makes shares that are no whole numbers.
    input.partitions.resize(16_384, PlannerPartition::default());
    let plan = place(&input);
    check(&input, &plan, 3.75);
    adopt(&mut input, &plan);
    check_changes(&input, 3.75);
}

#[test]
fn nodes_that_join_together_are_planned_together() {
    let mut input = settled(256, 10, 3);
    (10..16).for_each(|n| input.nodes.push(node(n)));
    let plan = place(&input);
    check(&input, &plan, 1.5);
    assert_eq!(plan.moves.copies_added, 6 * 256 * 3 / 16);
}

/// Nodes come and go 60 times. The spread must stay, and earlier plans must not make later ones worse.
#[test]
fn a_long_history_does_not_degrade_plans() {
    let mut input = settled(256, 8, 3);
    let mut next = 8;
    for step in 0..60u64 {
        let dice = hash::pair(step, 99);
        let nodes = input.nodes.len();
        let leaves = nodes > 4 && (nodes >= 24 || dice.is_multiple_of(2));
        if leaves {
            input.nodes.remove((dice >> 8) as usize % nodes);
        } else {
            for _ in 0..1 + (dice >> 8) % 3 {
                // Ids that sort before and between the present ones.
                input.nodes.push(PlannerNode {
                    id: format!("{}-{next}", dice % 7),
                    ..node(0)
                });
                next += 1;
            }
        }
        let plan = place(&input);
        check(&input, &plan, 1.5);
        assert!(!leaves || cold(&input, &plan) == 0);
        adopt(&mut input, &plan);
    }
}

/// Zones, weights, drains, restarts and losses, one after the other and half carried out. The bounds hold after each.
#[test]
fn a_long_history_with_zones_and_weights_stays_within_bounds() {
    let mut input = fresh(400, 30, 3);
    for step in 0..40u64 {
        let dice = |salt: u64| hash::pair(step, salt) >> 8;
        let nodes = input.nodes.len() as u64;
        let node = &mut input.nodes[(dice(0) % nodes) as usize];
        match dice(1) % 6 {
            0 => node.draining = !node.draining,
            1 => node.weight = [0, 50, 100, 400][(dice(2) % 4) as usize],
            2 => node.zone = [None, Some("a"), Some("b")][(dice(2) % 3) as usize].map(str::to_string),
            3 => drop(input.nodes.remove((dice(0) % nodes) as usize)),
            4 => input.replication_factor = 2 + (dice(2) % 3) as u32,
            _ => input.nodes.push(PlannerNode {
                id: format!("new-{step}"),
                ..super::node(0)
            }),
        }
        let plan = place(&input);
        PlanChecker::new(&input).bounds(&plan);
        let before = input.partitions.clone();
        adopt(&mut input, &plan);
        for (p, old) in before.into_iter().enumerate() {
            if hash::pair(p as u64, step).is_multiple_of(4) && !old.copies.is_empty() {
                // This one is still on its way: the old copies and the new ones side by side.
                let new = std::mem::replace(&mut input.partitions[p], old).copies;
                let missing: Vec<PlannerCopy> = new
                    .into_iter()
                    .filter(|copy| input.partitions[p].copies.iter().all(|old| old.node != copy.node))
                    .map(|copy| PlannerCopy {
                        synced: false,
                        ..copy
                    })
                    .collect();
                input.partitions[p].copies.extend(missing);
            }
        }
    }
}

/// Heavy nodes share more, but no more than their weight accounts for.
#[test]
fn nodes_of_equal_weight_are_not_bundled() {
    let mut input = fresh(4096, 60, 3);
    (0..60).for_each(|n| input.nodes[n].weight = [10, 20, 40, 45, 50][n % 5]);
    let plan = place(&input);
    let (count, shared) = (copies(&plan), shared(&plan));
    let pairs = (0..60).flat_map(|a| (a + 1..60).map(move |b| (a, b)));
    let product = |(a, b): (usize, usize)| (count[a] * count[b]) as f64;
    let all: f64 = pairs.clone().map(product).sum();
    for (pair, &shared) in pairs.zip(&shared) {
        let expected = product(pair) / all * (4096 * 3) as f64;
        assert!(
            shared as f64 <= expected * 1.5 + 2.0,
            "{pair:?} share {shared}, expected {expected}"
        );
    }
}
