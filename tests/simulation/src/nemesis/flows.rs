//! What stands between nodes forgets their connections, as a firewall or a NAT that restarts does: nothing that is sent on
//! them arrives any more, nobody is told, and new ones work.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 500, 10_000)).await {
        let mut addrs = world.addrs();
        addrs.shuffle(&mut rng);
        // Syncs go over them, too: until they are replaced a node is silent.
        world.checks().eviction.begins("");
        match rng.random_range(0..3) {
            0 => {
                let (a, b) = (&addrs[0], &addrs[1]);
                world
                    .trace
                    .add(format_args!("flows: those between {a} and {b} are dead"));
                world.network.forget_flows(a, b);
            }
            1 => {
                world
                    .trace
                    .add(format_args!("flows: those of {} are dead", addrs[0]));
                world.network.forget_flows_of(&addrs[0]);
            }
            _ => {
                world.trace.add(format_args!("flows: all are dead"));
                for addr in &addrs {
                    world.network.forget_flows_of(addr);
                }
            }
        }
        let going = world.pause_for(crate::drills::FLOWS_REPLACED).await;
        world.checks().eviction.ends("");
        if !going {
            return;
        }
    }
}
