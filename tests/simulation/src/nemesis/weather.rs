//! Messages are late, lost, doubled, and overtake each other.

use std::time::Duration;

use clusterkit::net::sim::LinkConditions;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 100, 4000)).await {
        let some = |rng: &mut SmallRng, most: f64| {
            if rng.random_bool(0.5) {
                rng.random_range(0.0..most)
            } else {
                0.0
            }
        };
        let conditions = LinkConditions {
            min_delay: Duration::from_micros(rng.random_range(50..2000)),
            max_delay: Duration::from_micros(rng.random_range(2000..20_000)),
            slow: some(&mut rng, 0.2),
            slow_delay: Duration::from_millis(rng.random_range(20..500)),
            loss: some(&mut rng, 0.2),
            duplicate: some(&mut rng, 0.3),
        };
        world.trace.add(format_args!(
            "weather: {:?} to {:?}, {:.2} slow, {:.2} lost, {:.2} doubled",
            conditions.min_delay,
            conditions.max_delay,
            conditions.slow,
            conditions.loss,
            conditions.duplicate
        ));
        world.network.set_conditions(conditions);
        if !world.pause_for(millis(&mut rng, 200, 6000)).await {
            return;
        }
        world.network.calm();
        world.trace.add(format_args!("weather: fine"));
    }
}
