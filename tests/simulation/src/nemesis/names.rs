//! Names that do not resolve, and a leader that dies just then.

use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::net::sim::ResolverMode;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::invariants::Claim;
use crate::world::World;

/// By then the others have a new leader, as they have where names resolve.
const ELECTED: Duration = Duration::from_secs(4);

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 1500, 6000)).await {
        let Some((i, leader)) = world.leading() else {
            continue;
        };
        if world.ready().len() < world.count() || !world.take(i) {
            continue;
        }
        let resolver = if rng.random_bool(0.5) {
            ResolverMode::Fails
        } else {
            ResolverMode::Hangs
        };
        world.network.set_resolver(resolver);
        world
            .trace
            .add(format_args!("names: the resolver is {resolver:?}"));
        if !world.pause_for(millis(&mut rng, 10, 20_000)).await {
            return;
        }
        // Leadership may have gone elsewhere meanwhile.
        if leader.is_leader() {
            world.checks().eviction.begins(&World::id(i));
            world.kill(i, None);
            if !elected(&world).await {
                return;
            }
            world.network.set_resolver(ResolverMode::Answers);
            let going = world.pause_for(millis(&mut rng, 1, 4000)).await;
            world.checks().eviction.ends(&World::id(i));
            if !going {
                return;
            }
            world.boot(i, false);
        }
        world.network.set_resolver(ResolverMode::Answers);
        world.trace.add(format_args!("names: the resolver answers"));
        world.give_back(i);
    }
}

/// Waits for another leader; false when that takes too long, or all is over.
async fn elected(world: &World) -> bool {
    let died = Instant::now();
    while world.leading().is_none() {
        if died.elapsed() > ELECTED {
            world.violated(
                Claim::Converges,
                format!("no leader within {ELECTED:?} of the death of one, while no name resolved"),
            );
            return false;
        }
        if world.is_calm() {
            return false;
        }
        env::sleep(Duration::from_millis(10)).await;
    }
    true
}
