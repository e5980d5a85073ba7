//! Members that are taken out while they write: removed by an administrator, or leaving by themselves, most often while the
//! leader's answers do not reach them. What they are told of their writes must be so all the same.

use clusterkit::env;
use clusterkit::sim::SimNode;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::churn::{ORDER_TIMEOUT, can_spare, comes_anew};
use super::{millis, take_one_that_is_up};
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 300, 6000)).await {
        let Some((i, node)) = take_one_that_is_up(&world, &mut rng) else {
            continue;
        };
        world.checks().eviction.begins(&World::id(i));
        let going = part(&world, &mut rng, i, &node).await;
        world.checks().eviction.ends(&World::id(i));
        if !going {
            // Liveness takes over from here.
            return;
        }
        world.give_back(i);
    }
}

async fn part(world: &World, rng: &mut SmallRng, i: usize, node: &SimNode) -> bool {
    let leader = world.leading().filter(|(leads, _)| *leads != i);
    let Some((_, leader)) = leader.filter(|_| can_spare(world, i)) else {
        return true;
    };
    let deaf = rng.random_bool(0.7);
    world.trace.add(format_args!(
        "{} parts{}",
        node.id(),
        if deaf {
            ", and does not hear the leader"
        } else {
            ""
        }
    ));
    if deaf {
        world.network.cut_one_way(leader.addr(), node.addr());
    }
    world.parts(i);
    let mut going = world.pause_for(millis(rng, 1, 300)).await;
    // Whatever is answered, it may happen: the disk must not come back.
    world.slots()[i].removed = true;
    let outcome = if rng.random_bool(0.5) {
        env::timeout(
            ORDER_TIMEOUT,
            leader.remove_node(node.id().clone(), false, ORDER_TIMEOUT),
        )
        .await
    } else {
        env::timeout(ORDER_TIMEOUT, node.begin_leaving(ORDER_TIMEOUT)).await
    };
    let outcome = outcome.map(|outcome| outcome.map_err(|error| error.to_string()));
    world.trace.add(format_args!("parting: {outcome:?}"));
    going &= world.pause_for(millis(rng, 1, 1000)).await;
    world.network.restore_one_way(leader.addr(), node.addr());
    going &= world.pause_for(millis(rng, 1, 5000)).await;
    world.slots()[i].ready = false;
    if !going {
        return false;
    }
    comes_anew(world, rng, i).await
}
