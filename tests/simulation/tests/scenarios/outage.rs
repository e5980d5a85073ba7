//! The resolver of names fails or hangs: what was known before goes on working.

use std::sync::Arc;
use std::time::Duration;

use ck_simulation::nodes::name;
use clusterkit::Options;
use clusterkit::env::disk::MemDisk;
use clusterkit::env::{self, Instant};
use clusterkit::net::Lane;
use clusterkit::net::sim::ResolverMode;

use crate::world::{TestNode, World, leader, settle, simulate, simulate_open, until, write};

/// In this time a new leader is there where names resolve.
const USUAL: Duration = Duration::from_secs(3);

/// A node that knows others, and is known, by name only.
fn options(world: &World, i: usize, through: &[usize]) -> Options {
    let mut options = World::options(i, through);
    options.join_addrs = through.iter().map(|i| name(*i)).collect();
    options.advertise_addr = Some(name(i));
    world.network.name(&name(i), &options.http_addr);
    options
}

async fn cluster(world: &World, n: usize) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for i in 1..=n {
        let through: &[usize] = if i == 1 { &[] } else { &[1] };
        let sim = world.make(options(world, i, through), Arc::new(MemDisk::new()));
        sim.start().await.unwrap();
        nodes.push(sim);
    }
    settle(&nodes).await;
    nodes
}

#[test]
fn a_leader_that_dies_while_no_name_resolves_is_replaced_in_the_usual_time() {
    for resolver in [ResolverMode::Fails, ResolverMode::Hangs] {
        for (seed, connections) in [(1, false), (2, false), (3, true)] {
            simulate(seed, async |world| {
                if connections {
                    world.network.use_connections();
                }
                let mut nodes = cluster(&world, 5).await;
                env::sleep(Duration::from_secs(5)).await;
                world.network.set_resolver(resolver);
                // Long enough for everything that is not used to have been closed.
                env::sleep(Duration::from_secs(10)).await;
                let dead = nodes.remove(leader(&nodes, None).await);
                dead.kill(None);
                let began = Instant::now();
                leader(&nodes, None).await;
                assert!(
                    began.elapsed() < USUAL,
                    "{resolver:?}, over connections: {connections}: it took {:?}",
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
    for connections in [false, true] {
        simulate(1, async |world| follow(world, connections).await);
    }
}

async fn follow(world: World, connections: bool) {
    if connections {
        world.network.use_connections();
    }
    let mut nodes = cluster(&world, 3).await;
    let moved = nodes.pop().unwrap();
    moved.kill(None);
    let mut options = moved.options().clone();
    options.http_addr = "10.0.1.3:7000".to_owned();
    world.network.name(&name(3), &options.http_addr);
    let sim = world.make(options, moved.disk().clone());
    sim.start().await.unwrap();
    nodes.push(sim);
    settle(&nodes).await;
    until("it votes with the others again", || {
        nodes[2].view().my_node().is_some_and(|node| node.voter)
    })
    .await;
}

/// An address that was only remembered may have gone to another name meanwhile: the connection to it ends when the resolver
/// says so.
#[test]
fn a_remembered_address_is_left_when_the_resolver_knows_better() {
    // No node calls here, so nothing is to be proved.
    simulate_open(1, async |world| {
        let network = &world.network;
        network.use_connections();
        let answer = |text: &'static str| -> clusterkit::net::Handler {
            Arc::new(move |_, _| Box::pin(std::future::ready(text.into())))
        };
        network.serve("10.0.0.1:7000", answer("old"));
        network.name(&name(1), "10.0.0.1:7000");
        let transport = network.transport("10.0.0.9:7000");
        let ask = async |lane| {
            let timeout = Duration::from_secs(5);
            transport
                .call(&name(1), lane, "ask".into(), timeout)
                .await
                .unwrap()
        };
        assert_eq!(ask(Lane::Request).await, "old");
        env::sleep(Duration::from_secs(2)).await;
        network.set_resolver(ResolverMode::Fails);
        network.name(&name(1), "10.0.1.1:7000");
        network.serve("10.0.1.1:7000", answer("new"));
        // A new connection, to what is remembered.
        assert_eq!(ask(Lane::Control).await, "old");
        network.set_resolver(ResolverMode::Answers);
        env::sleep(Duration::from_secs(3)).await;
        assert_eq!(ask(Lane::Control).await, "new");
        assert_eq!(ask(Lane::Request).await, "old", "the resolver had said so");
    });
}
