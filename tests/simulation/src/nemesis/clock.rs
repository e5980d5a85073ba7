//! Wall clocks that jump, forth and back. (That monotonic clocks run fast or slow is in the plan, for a whole run.)

use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 300, 5000)).await {
        let up = world.up();
        if up.is_empty() {
            continue;
        }
        let node = &up[rng.random_range(0..up.len())];
        let by = match rng.random_range(0..3) {
            0 => rng.random_range(-2000..2000),
            1 => rng.random_range(-3_600_000..3_600_000),
            _ => rng.random_range(-100_000_000_000..100_000_000_000),
        };
        world
            .trace
            .add(format_args!("{}'s wall clock jumps by {by} ms", node.id()));
        node.sim_process().shift_wall_clock(by);
    }
}
