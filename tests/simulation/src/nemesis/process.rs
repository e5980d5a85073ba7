//! Processes that die and come back, and processes that stand still.

use std::time::Duration;

use clusterkit::env;
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::{millis, take_if_up, take_one_that_is_up};
use crate::invariants;
use crate::world::World;

/// By then what the network held has arrived.
const ARRIVAL: Duration = Duration::from_millis(2);

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
        // Most is at stake where the leader stands still.
        let taken = match world.leading().filter(|_| rng.random_bool(0.25)) {
            Some((leader, _)) => take_if_up(&world, leader),
            None => take_one_that_is_up(&world, &mut rng),
        };
        let Some((i, node)) = taken else { continue };
        // What waits for it when it goes on: answers to questions of long ago, and nothing newer.
        let stale = rng.random_bool(0.5).then(|| millis(&mut rng, 1, 30));
        // Named once: who is clogged must be unclogged, also when it has died meanwhile.
        let senders = others(&world, i);
        if let Some(time) = stale {
            senders
                .iter()
                .for_each(|from| world.network.clog_one_way(from, node.addr()));
            world.pause_for(time).await;
        }
        // Every third one for so long that others take over what it has.
        let least = if rng.random_bool(0.3) { 2000 } else { 20 };
        let time = millis(&mut rng, least, 8000);
        world
            .trace
            .add(format_args!("{} stands still for {time:?}", node.id()));
        world.checks().eviction.begins(node.id());
        node.sim_process().pause();
        if stale.is_some() {
            senders
                .iter()
                .for_each(|from| world.network.unclog_one_way(from, node.addr()));
            world.pause_for(ARRIVAL).await;
            senders
                .iter()
                .for_each(|from| world.network.clog_one_way(from, node.addr()));
        }
        let going = world.pause_for(time).await;
        let mut tasks = node.sim_process().resume_staggered();
        world.checks().eviction.ends(node.id());
        world.trace.add(format_args!("{} goes on", node.id()));
        // Before it has done anything: what it says now is what it believed when it stopped.
        invariants::sample(&world);
        world.goes_on(i);
        tasks.shuffle(&mut rng);
        for task in tasks {
            task.wake();
            env::sleep(Duration::from_micros(rng.random_range(0..20))).await;
            invariants::sample(&world);
        }
        if stale.is_some() {
            senders
                .iter()
                .for_each(|from| world.network.unclog_one_way(from, node.addr()));
        }
        world.give_back(i);
        if !going {
            return;
        }
    }
}

/// The addresses of all nodes but one.
fn others(world: &World, one: usize) -> Vec<String> {
    let others = (0..world.count()).filter(|i| *i != one);
    others
        .filter_map(|i| world.node(i).map(|node| node.addr().to_owned()))
        .collect()
}
