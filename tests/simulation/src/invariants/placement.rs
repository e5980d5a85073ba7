//! At rest: copies on different nodes, as many as there should be; per node, copies and primaries within one of an equal
//! share, since all weights are equal here.

use clusterkit::model::{Partition, Topology};

pub(crate) fn check(topology: &Topology, is_lost: impl Fn(&Partition) -> bool) -> Result<(), String> {
    let serving: Vec<_> = topology
        .nodes
        .values()
        .filter(|node| node.status.is_serving())
        .collect();
    let copies = serving.len().min(topology.config.replication_factor as usize);
    let mut held = vec![0_usize; serving.len()];
    let mut led = vec![0_usize; serving.len()];
    let mut some_lost = false;
    for partition in &topology.partitions {
        if is_lost(partition) {
            some_lost = true;
            continue;
        }
        if partition.copies.len() != copies {
            return Err(format!(
                "partition {} has {} copies and should have {copies}",
                partition.number,
                partition.copies.len()
            ));
        }
        for (i, node) in serving.iter().enumerate() {
            held[i] += usize::from(partition.copy(&node.id).is_some());
            led[i] += usize::from(partition.primary.as_ref() == Some(&node.id));
        }
    }
    let spread = |counts: &[usize]| counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0);
    // What is lost goes nowhere, and nothing can be planned around it.
    if some_lost {
        return Ok(());
    }
    if spread(&held) > 1 || spread(&led) > 1 {
        return Err(format!("copies per node {held:?}, primaries per node {led:?}"));
    }
    Ok(())
}
