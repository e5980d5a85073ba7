//! The resolver of names fails or hangs: what was known before goes on working.

use std::sync::Arc;
use std::time::Duration;

use super::tests::{simulate, write};
use super::{SimNode, World, leader, settle, until};
use crate::env::disk::MemDisk;
use crate::env::{self, Instant};
use crate::net::sim::Resolver;
use crate::options::Options;

/// In this time a new leader is there where names resolve.
const USUAL: Duration = Duration::from_secs(3);

fn name(i: usize) -> String {
    format!("node-{i}.example:7000")
}

/// A node that knows others, and is known, by name only.
fn options(world: &World, i: usize, through: &[usize]) -> Options {
    let mut options = World::options(i, through);
    options.join_addrs = through.iter().map(|i| name(*i)).collect();
    options.advertise_addr = Some(name(i));
    world.network.name(&name(i), &options.http_addr);
    options
}

async fn cluster(world: &World, n: usize) -> Vec<SimNode> {
    let mut nodes = Vec::new();
    for i in 1..=n {
        let through: &[usize] = if i == 1 { &[] } else { &[1] };
        let sim = world.make(options(world, i, through), Arc::new(MemDisk::new()));
        sim.node.start().await.unwrap();
        nodes.push(sim);
    }
    settle(&nodes).await;
    nodes
}

#[test]
fn a_leader_that_dies_while_no_name_resolves_is_replaced_in_the_usual_time() {
    for resolver in [Resolver::Fails, Resolver::Hangs] {
        for seed in 1..=2 {
            simulate(seed, async |world| {
                let mut nodes = cluster(&world, 5).await;
                env::sleep(Duration::from_secs(5)).await;
                world.network.set_resolver(resolver);
                // Long enough for everything that is not used to have been closed.
                env::sleep(Duration::from_secs(10)).await;
                let dead = nodes.remove(leader(&nodes, None).await);
                let address = dead.options.http_addr.clone();
                world.network.unserve(&address);
                drop(dead.node.abandon().await);
                let began = Instant::now();
                leader(&nodes, None).await;
                assert!(
                    began.elapsed() < USUAL,
                    "{resolver:?}: it took {:?}",
                    began.elapsed()
                );
                write(&nodes[0], "during the outage").await;
                write(&nodes[3], "and through another").await;
            });
        }
    }
}

/// A pod that comes back elsewhere, under its name.
#[test]
fn a_name_that_leads_elsewhere_is_followed() {
    simulate(1, async |world| {
        let mut nodes = cluster(&world, 3).await;
        let moved = nodes.pop().unwrap();
        world.network.unserve(&moved.options.http_addr);
        drop(moved.node.abandon().await);
        let mut options = moved.options.clone();
        options.http_addr = "10.0.1.3:7000".to_owned();
        world.network.name(&name(3), &options.http_addr);
        let sim = world.make(options, moved.disk);
        sim.node.start().await.unwrap();
        nodes.push(sim);
        settle(&nodes).await;
        until("it votes with the others again", || {
            nodes[2].node.view().my_node().is_some_and(|node| node.voter)
        })
        .await;
    });
}
