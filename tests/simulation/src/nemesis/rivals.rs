//! Somebody who cannot hear the leader asks for votes while those who could give them restart: they have forgotten what they
//! promised the leader.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 200, 2000)).await {
        let Some((leading, leader)) = world.leading() else {
            continue;
        };
        let (leader, leads) = (leader.id(), leader.addr());
        let others: Vec<usize> = (0..world.count()).filter(|i| *i != leading).collect();
        let rival = others[rng.random_range(0..others.len())];
        let Some(rival_addr) = world.node(rival).map(|node| node.addr().to_owned()) else {
            continue;
        };
        world
            .trace
            .add(format_args!("rivals: {} cannot hear {leader}", World::id(rival)));
        world.checks().eviction.begins("");
        world.network.cut(&rival_addr, leads);
        // Then it asks for votes, whenever its time comes. Nobody gives it one once its log is behind, so not for long.
        let mut going = world.pause_for(millis(&mut rng, 100, 700)).await;
        let restarted: Vec<usize> = others
            .into_iter()
            .filter(|i| *i != rival && world.node(*i).is_some_and(|node| node.is_up()) && world.take(*i))
            .collect();
        if going {
            if rng.random_bool(0.7) {
                world.trace.add(format_args!("rivals: nobody hears {leader}"));
                world.network.isolate(leads);
            }
            for i in &restarted {
                let power_loss = rng.random_bool(0.5).then(|| rng.random());
                world.kill(*i, power_loss);
                world.boot(*i, false);
            }
            going = world.pause_for(millis(&mut rng, 300, 1500)).await;
        }
        restarted.into_iter().for_each(|i| world.give_back(i));
        world.network.reconnect(leads);
        world.network.restore(&rival_addr, leads);
        world.checks().eviction.ends("");
        if !going {
            return;
        }
        world.trace.add(format_args!("rivals: all hear each other"));
    }
}
