//! Whoever takes over dies next, mostly before the leader knows that it has heard of its role; and then the one comes
//! back that had it before, with all that it wrote.

use std::time::Duration;

use clusterkit::env;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::{millis, take_if_up};
use crate::invariants;
use crate::world::World;

/// How long until a role has gone over, where anybody is there to take it.
const TAKEN_OVER: Duration = Duration::from_secs(6);
/// How often it is looked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_micros(300);

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 300, 5000)).await {
        let first = rng.random_range(0..world.count());
        let Some((first, node)) = take_if_up(&world, first) else {
            continue;
        };
        let had = node.claims();
        if !had.is_empty() {
            fall(&world, &mut rng, first, &had).await;
        }
        world.give_back(first);
        if world.is_calm() {
            return;
        }
    }
}

/// Kills the node that is primary of `had`, and then the first that the leader names in its place. Both are back when this
/// returns, unless nothing is to go wrong any more.
async fn fall(world: &World, rng: &mut SmallRng, first: usize, had: &[u32]) {
    let power_loss = rng.random_bool(0.3).then(|| rng.random());
    world.checks().eviction.begins(&World::id(first));
    world.kill(first, power_loss);
    match heir(world, first, had).await {
        Some(heir) => {
            dies(world, rng, heir, first).await;
            world.give_back(heir);
        }
        None if world.is_calm() => {}
        None => world.boot(first, false),
    }
    world.checks().eviction.ends(&World::id(first));
}

/// Kills the heir once it knows of its role, mostly without a word of that to the leader.
async fn dies(world: &World, rng: &mut SmallRng, heir: usize, first: usize) {
    let leader = world.leading().filter(|(leading, _)| *leading != heir);
    let addrs = world.addrs();
    let silenced = leader.filter(|_| rng.random_bool(0.8));
    if let Some((leader, _)) = &silenced {
        world.network.cut_one_way(&addrs[heir], &addrs[*leader]);
    }
    world.checks().eviction.begins(&World::id(heir));
    let going = world.pause_for(millis(rng, 1, 50)).await;
    if going {
        world
            .trace
            .add(format_args!("{} has taken over, and dies", World::id(heir)));
        // What it claims it may have acted on.
        invariants::sample(world);
        world.kill(heir, None);
    }
    if let Some((leader, _)) = &silenced {
        world.network.restore_one_way(&addrs[heir], &addrs[*leader]);
    }
    if going {
        let early = rng.random_bool(0.3);
        if early {
            world.boot(first, false);
        }
        // Mostly until it is failed: only then the other, where it comes back, has nobody to copy from.
        world.pause_for(millis(rng, 500, 5000)).await;
        if !early {
            world.boot(first, false);
            world.pause_for(millis(rng, 500, 5000)).await;
        }
        world.boot(heir, false);
    }
    world.checks().eviction.ends(&World::id(heir));
}

/// The first node that the leader names in the place of `first`; from now on in nobody else's hands.
async fn heir(world: &World, first: usize, had: &[u32]) -> Option<usize> {
    let named = || {
        let (_, leader) = world.leading()?;
        let view = leader.view();
        let primary = |number: &u32| {
            let primary = view.partition_by_number(*number)?.primary()?;
            (0..world.count()).find(|i| *i != first && *World::id(*i) == *primary.id)
        };
        had.iter().find_map(primary)
    };
    let found = async {
        loop {
            match named() {
                Some(heir) => return world.take(heir).then_some(heir),
                None if !world.pause_for(LOOK_INTERVAL).await => return None,
                None => {}
            }
        }
    };
    env::timeout(TAKEN_OVER, found).await.ok().flatten()
}
