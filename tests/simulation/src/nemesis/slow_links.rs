//! Nodes whose links carry little, while somebody writes values that take long on them.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{millis, take_one_that_is_up};
use crate::large;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 500, 8000)).await {
        // From 10 Mbit/s to 1 Gbit/s, of one node or of all.
        let rate = 1_250_000 * 10u64.pow(rng.random_range(0..3));
        let addrs = world.addrs();
        let slow = match rng.random_bool(0.5) {
            true => addrs.clone(),
            false => vec![addrs[rng.random_range(0..addrs.len())].clone()],
        };
        world
            .trace
            .add(format_args!("slow links: {slow:?} at {rate} bytes a second"));
        for addr in &slow {
            world.network.set_rate(addr, Some(rate));
        }
        let mut going = true;
        for _ in 0..rng.random_range(1..6) {
            let Some((i, node)) = take_one_that_is_up(&world, &mut rng) else {
                break;
            };
            world.give_back(i);
            let bytes = rng.random_range(1..=large::LARGEST);
            // Whether it succeeds is decided by what else goes wrong.
            drop(large::write(&node, bytes, Duration::from_secs(5)).await);
            going = world.pause_for(millis(&mut rng, 10, 1000)).await;
        }
        for addr in &addrs {
            world.network.set_rate(addr, None);
        }
        world.trace.add(format_args!("slow links: fast again"));
        large::forget(&world).await;
        if !going {
            return;
        }
    }
}
