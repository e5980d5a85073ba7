mod cases;
mod checker;
mod optimal;
mod scale;

use super::*;

/// Nodes of equal weight in no zone.
fn node(number: usize) -> PlannerNode {
    PlannerNode {
        id: format!("node-{number:04}"),
        weight: 100,
        zone: None,
        draining: false,
    }
}

/// A cluster whose partitions were never placed.
fn fresh(partitions: usize, nodes: usize, replication_factor: u32) -> PlannerInput {
    PlannerInput {
        replication_factor,
        nodes: (0..nodes).map(node).collect(),
        partitions: vec![PlannerPartition::default(); partitions],
    }
}

/// A cluster that carried out its first plan.
fn settled(partitions: usize, nodes: usize, replication_factor: u32) -> PlannerInput {
    let mut input = fresh(partitions, nodes, replication_factor);
    let plan = place(&input);
    adopt(&mut input, &plan);
    input
}

/// Carries out a plan: all target copies synced, all others gone.
fn adopt(input: &mut PlannerInput, plan: &Placement) {
    let id = |n: u32| plan.nodes[n as usize].clone();
    for ((partition, nodes), primary) in input.partitions.iter_mut().zip(&plan.copies).zip(&plan.primaries) {
        partition.copies = nodes
            .iter()
            .map(|&n| PlannerCopy {
                node: id(n),
                synced: true,
            })
            .collect();
        partition.primary = primary.map(id);
    }
}

/// Copies on each node.
fn copies(plan: &Placement) -> Vec<usize> {
    let mut count = vec![0; plan.nodes.len()];
    plan.copies.iter().flatten().for_each(|&n| count[n as usize] += 1);
    count
}

/// Primaries on each of so many nodes.
fn led(primaries: &[Option<u32>], nodes: usize) -> Vec<usize> {
    let mut count = vec![0; nodes];
    primaries.iter().flatten().for_each(|&n| count[n as usize] += 1);
    count
}

/// The largest difference between two counts.
fn gap(counts: &[usize]) -> usize {
    counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
}

/// Target primaries that have no synced copy yet.
fn cold(input: &PlannerInput, plan: &Placement) -> usize {
    let is_cold = |(partition, primary): (&PlannerPartition, &Option<u32>)| {
        primary.is_some_and(|n| {
            partition
                .copies
                .iter()
                .all(|copy| !copy.synced || copy.node != plan.nodes[n as usize])
        })
    };
    input
        .partitions
        .iter()
        .zip(&plan.primaries)
        .filter(|&pair| is_cold(pair))
        .count()
}
