//! Processes that die and come back, and processes that stand still.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::invariants;
use crate::world::World;

pub(crate) async fn crashes(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 200, 8000)).await {
        // One node, or several at once, or all of them.
        let many = if rng.random_bool(0.8) {
            1
        } else {
            rng.random_range(1..=world.count())
        };
        let first = rng.random_range(0..world.count());
        let victims: Vec<usize> = (0..many)
            .map(|k| (first + k) % world.count())
            .filter(|i| world.node(*i).is_some() && world.take(*i))
            .collect();
        for i in &victims {
            let power_loss = rng.random_bool(0.6).then(|| rng.random());
            world.checks().eviction.begins(&World::id(*i));
            world.kill(*i, power_loss);
        }
        for i in victims {
            let going = world.pause_for(millis(&mut rng, 1, 6000)).await;
            world.checks().eviction.ends(&World::id(i));
            if !going {
                return;
            }
            world.boot(i, false);
            // Somebody who cannot wait, or a supervisor: it is restarted while it asks to be let in.
            while rng.random_bool(0.3) && world.pause_for(millis(&mut rng, 1, 300)).await {
                world.kill(i, None);
                world.boot(i, false);
            }
            world.give_back(i);
        }
    }
}

pub(crate) async fn pauses(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 200, 6000)).await {
        let i = rng.random_range(0..world.count());
        if !world.take(i) {
            continue;
        }
        let Some(node) = world.node(i).filter(|node| node.is_up()) else {
            world.give_back(i);
            continue;
        };
        let time = millis(&mut rng, 20, 8000);
        world
            .trace
            .add(format_args!("{} stands still for {time:?}", node.id()));
        world.checks().eviction.begins(node.id());
        node.scope().pause();
        let going = world.pause_for(time).await;
        node.scope().resume();
        world.checks().eviction.ends(node.id());
        world.trace.add(format_args!("{} goes on", node.id()));
        // Before it has done anything: what it says now is what it believed when it stopped.
        invariants::sample(&world);
        world.give_back(i);
        if !going {
            return;
        }
    }
}
