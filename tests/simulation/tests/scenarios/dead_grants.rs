//! Roles that are given to processes that are dead already: only who may have acted on one has anything that others lack.

use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::env;
use clusterkit::model::NodeStatus;

use crate::claims::status;
use crate::world::{SCENARIO_TIMEOUT, TestNode, World, leader, settle, simulate, until};

/// Five nodes with two copies of each partition, and one that follows each other: primary and replica of `number` are
/// neither the leader nor the founder.
async fn two_of_five(world: &World) -> (Vec<TestNode>, u32, usize, usize) {
    let mut nodes = Vec::new();
    for i in 1..=5 {
        let through: &[usize] = if i == 1 { &[] } else { &[1] };
        let mut options = World::options(i, through);
        if i == 1 {
            options.replication_factor = Some(2);
        }
        let sim = world.make(options, std::sync::Arc::default());
        sim.start().await.unwrap();
        nodes.push(sim);
    }
    settle(&nodes).await;
    let leader = leader(&nodes, None).await;
    let index = |id: &str| nodes.iter().position(|sim| &**sim.id() == id).unwrap();
    let topology = nodes[0].topology();
    let found = topology.partitions.iter().find_map(|partition| {
        let primary = index(partition.primary.as_ref()?);
        let replica = index(partition.synced().find(|node| index(node) != primary)?);
        (![primary, replica].contains(&leader)).then_some((partition.number, primary, replica))
    });
    let (number, primary, replica) = found.unwrap();
    (nodes, number, primary, replica)
}

/// Waits until both are known to have failed, and starts the first of them again.
async fn back_when_both_failed(
    world: &World,
    nodes: &mut Vec<TestNode>,
    primary: usize,
    replica: usize,
) -> TestNode {
    let dead = [primary, replica];
    let witness = (0..5).find(|i| !dead.contains(i)).unwrap();
    let failed = |i: usize| status(&nodes[witness], nodes[i].id()) == Some(NodeStatus::Failed);
    until("both failures", || dead.into_iter().all(failed)).await;
    let gone = nodes.remove(primary);
    let back = world.next_process(&gone);
    back.start().await.unwrap();
    back
}

#[test]
fn a_role_given_to_a_dead_replica_returns_to_who_wrote_last() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let (mut nodes, number, primary, replica) = two_of_five(&world).await;
            nodes[primary].kill(Some(1));
            // Before anybody has noticed that.
            env::sleep(Duration::from_millis(200 * seed)).await;
            nodes[replica].kill(Some(1));
            let back = back_when_both_failed(&world, &mut nodes, primary, replica).await;
            until("its role", || back.is_primary(number)).await;
            nodes.insert(primary, back);
        });
    }
}

#[test]
fn a_role_that_a_replica_acted_on_stays_with_it() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let (mut nodes, number, primary, replica) = two_of_five(&world).await;
            nodes[primary].kill(Some(1));
            // It acts, for as short a time as it may be.
            until("failover", || nodes[replica].is_primary(number)).await;
            nodes[replica].kill(Some(1));
            let [b, c] = [primary, replica].map(|i| nodes[i].id().clone());
            let back = back_when_both_failed(&world, &mut nodes, primary, replica).await;
            until("its return", || status(&back, &b) == Some(NodeStatus::Active)).await;
            env::sleep(Duration::from_secs(3)).await;
            assert!(!back.is_primary(number), "{c} may have written");
            let holders = back.topology().partitions[number as usize].clone();
            assert!(holders.is_synced(&c) && !holders.is_synced(&b), "{holders:?}");
            // Who alone has the data is not taken out by mistake.
            let refused = back
                .remove_node(c.clone(), false, SCENARIO_TIMEOUT)
                .await
                .unwrap_err();
            assert_eq!(refused.code(), ErrorCode::Refused, "{refused}");
            back.recover(number, b.clone(), false, SCENARIO_TIMEOUT)
                .await
                .unwrap();
            until("what was accepted", || back.is_primary(number)).await;
            nodes.insert(primary, back);
        });
    }
}
