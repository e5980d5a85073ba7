//! Disks that fail: a write or a sync that returns an error, a disk that is full, one that stops in the middle.

use clusterkit::env::disk::Faults;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::{millis, take_one_that_is_up};
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 500, 8000)).await {
        let Some((i, node)) = take_one_that_is_up(&world, &mut rng) else {
            continue;
        };
        let soon = rng.random_range(0..20);
        let mut faults = Faults {
            short_writes: rng.random_bool(0.3),
            ..Faults::default()
        };
        match rng.random_range(0..4) {
            0 => faults.fail_sync = Some(soon),
            1 => faults.fail_write = Some(soon),
            2 => faults.capacity = Some(rng.random_range(0..4000)),
            _ => faults.halt_after = Some(soon + 1),
        }
        world.trace.add(format_args!("disk of {}: {faults:?}", node.id()));
        world.checks().eviction.begins(node.id());
        node.disk().set_faults(faults);
        let going = world.pause_for(millis(&mut rng, 100, 4000)).await;
        // Whoever runs it sees the messages in the log, and starts it again.
        world.kill(i, rng.random_bool(0.5).then(|| rng.random()));
        world.checks().eviction.ends(node.id());
        if !going || !world.pause_for(millis(&mut rng, 1, 1000)).await {
            return;
        }
        world.boot(i, false);
        world.give_back(i);
    }
}
