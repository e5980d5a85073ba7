//! Disks that answer nothing for a while, and then go on; or never, because their machine dies first.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{millis, take_if_up, take_one_that_is_up};
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 500, 10_000)).await {
        // Most is at stake where the leader's hangs.
        let taken = match world.leading().filter(|_| rng.random_bool(0.4)) {
            Some((leader, _)) => take_if_up(&world, leader),
            None => take_one_that_is_up(&world, &mut rng),
        };
        let Some((i, node)) = taken else { continue };
        world.trace.add(format_args!("the disk of {} hangs", node.id()));
        world.checks().eviction.begins(node.id());
        node.disk().hang(true);
        let mut going = world.pause_for(millis(&mut rng, 20, 10_000)).await;
        if going && rng.random_bool(0.2) {
            // What waited for the disk is lost, whatever was said of it.
            world.kill(i, Some(rng.random()));
            going = world.pause_for(millis(&mut rng, 1, 1000)).await;
            if going {
                world.boot(i, false);
            }
        } else {
            node.disk().hang(false);
            world
                .trace
                .add(format_args!("the disk of {} answers again", node.id()));
        }
        world.checks().eviction.ends(node.id());
        if !going {
            return;
        }
        world.give_back(i);
    }
}
