//! What operators ask for: that the leader steps down, that partitions go where they belong.

use std::time::Duration;

use clusterkit::env;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 300, 5000)).await {
        let ready = world.ready();
        if ready.is_empty() {
            continue;
        }
        let node = &ready[rng.random_range(0..ready.len())];
        let limit = Duration::from_secs(5);
        if rng.random_bool(0.7) {
            let target = &ready[rng.random_range(0..ready.len())];
            let target = (node.is_leader() && rng.random_bool(0.5)).then(|| target.id().clone());
            world.trace.add(format_args!(
                "{} is asked for a step-down to {target:?}",
                node.id()
            ));
            let outcome = env::timeout(limit, node.step_down(target)).await;
            let outcome = outcome.map(|outcome| outcome.map_err(|error| error.to_string()));
            world.trace.add(format_args!("step-down: {outcome:?}"));
        } else {
            world
                .trace
                .add(format_args!("{} is asked for a rebalance", node.id()));
            // Whatever comes of it.
            let _ = env::timeout(limit, node.rebalance(limit)).await;
        }
    }
}
