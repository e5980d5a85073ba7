//! Members that come and go: orderly stops, removals, empty disks, new addresses.

use std::time::Duration;

use clusterkit::env::{self};
use clusterkit::sim::SimNode;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::world::World;

/// How long an order may take before whoever gave it goes on without an answer.
pub(super) const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 300, 6000)).await {
        let i = rng.random_range(0..world.count());
        if !world.take(i) {
            continue;
        }
        world.checks().eviction.begins(&World::id(i));
        let going = trouble(&world, &mut rng, i).await;
        world.checks().eviction.ends(&World::id(i));
        if !going {
            // Liveness takes over from here.
            return;
        }
        world.give_back(i);
    }
}

async fn trouble(world: &World, rng: &mut SmallRng, i: usize) -> bool {
    let Some(node) = world.node(i).filter(|node| node.is_up()) else {
        return true;
    };
    match rng.random_range(0..4) {
        0 => {
            world.trace.add(format_args!("{} is stopped", node.id()));
            world.slots()[i].ready = false;
            let outcome = env::timeout(ORDER_TIMEOUT, node.stop()).await;
            world
                .trace
                .add(format_args!("{} has stopped: {outcome:?}", node.id()));
        }
        1 => {
            world.kill(i, None);
            world.move_house(i);
        }
        2 if can_spare(world, i) => {
            world.kill(i, None);
            world.wipe(i);
        }
        3 if can_spare(world, i) => return remove(world, rng, i).await,
        _ => return true,
    }
    let going = world.pause_for(millis(rng, 1, 5000)).await;
    if world.is_calm() {
        return false;
    }
    world.kill(i, None);
    world.boot(i, false);
    going && settled(world, i).await
}

/// An administrator removes it; later it comes back, new.
async fn remove(world: &World, rng: &mut SmallRng, i: usize) -> bool {
    let others: Vec<_> = world
        .ready()
        .into_iter()
        .filter(|node| **node.id() != *World::id(i))
        .collect();
    if others.is_empty() {
        return true;
    }
    let by = &others[rng.random_range(0..others.len())];
    world.trace.add(format_args!(
        "{} is to be removed, through {}",
        World::id(i),
        by.id()
    ));
    let outcome = env::timeout(
        ORDER_TIMEOUT,
        by.remove_node(World::id(i).as_str().into(), false, ORDER_TIMEOUT),
    )
    .await;
    let outcome = outcome.map(|outcome| outcome.map_err(|error| error.to_string()));
    world.trace.add(format_args!("removal: {outcome:?}"));
    if matches!(&outcome, Ok(Err(why)) if why.contains("leads the cluster") || why.contains("it is lost")) {
        return true;
    }
    // Whatever was answered, it may have happened: the disk must not come back.
    world.slots()[i].removed = true;
    if !world.pause_for(millis(rng, 1, 5000)).await {
        return false;
    }
    comes_anew(world, rng, i).await
}

/// A node that was taken out comes back as a new one, on an empty disk. False when the trouble is over.
pub(super) async fn comes_anew(world: &World, rng: &mut SmallRng, i: usize) -> bool {
    world.kill(i, None);
    world.wipe(i);
    if !world.pause_for(millis(rng, 1, 3000)).await {
        return false;
    }
    world.boot(i, false);
    settled(world, i).await
}

/// True when the others can do without its log: all voters are there, and a quorum of them stays.
pub(super) fn can_spare(world: &World, i: usize) -> bool {
    let ready = world.ready();
    if ready.len() < world.count() || world.count() < 3 {
        return false;
    }
    let Some(leader) = ready.iter().find(|node| node.is_leader()) else {
        return false;
    };
    let Some(voters) = leader.raft_members().map(|members| members.voters) else {
        return false;
    };
    let present: Vec<u64> = ready.iter().filter_map(SimNode::raft_id).collect();
    let me = world.node(i).and_then(|node| node.raft_id());
    let staying = voters
        .iter()
        .filter(|id| present.contains(id) && Some(**id) != me)
        .count();
    // All others must have the whole log, or nearly: what only the spared one and the leader have must not go.
    voters.iter().all(|id| present.contains(id)) && staying * 2 > voters.len()
}

/// Waits until the cluster has taken it back: nobody throws away two logs at once.
pub(super) async fn settled(world: &World, i: usize) -> bool {
    for _ in 0..200 {
        if !world.pause_for(Duration::from_millis(200)).await {
            return false;
        }
        if world.slots()[i].ready && can_spare(world, i) {
            return true;
        }
        if world.count() < 3 && world.slots()[i].ready {
            return true;
        }
    }
    true
}
