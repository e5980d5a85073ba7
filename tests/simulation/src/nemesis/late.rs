//! Machines whose timers run late: they have too much to do, or are throttled, and stand still for some hundred
//! milliseconds again and again. Never for so long that the others could not know better.

use std::time::Duration;

use clusterkit::env;
use clusterkit::sim::SimNode;
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::{millis, take_if_up};
use crate::world::World;

/// Long enough for what was sent to arrive.
const A_MOMENT: (u64, u64) = (20, 80);

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    let election_max = world.plan.timing.values().election_max;
    while world.pause_for(millis(&mut rng, 100, 3000)).await {
        let together = rng.random_bool(0.5);
        let leading = world.leading().map(|(leader, _)| leader);
        let victims: Vec<usize> = if together {
            (0..world.count()).collect()
        } else {
            let one = leading.filter(|_| rng.random_bool(0.5));
            vec![one.unwrap_or_else(|| rng.random_range(0..world.count()))]
        };
        let taken: Vec<(usize, SimNode)> = victims
            .into_iter()
            .filter_map(|i| take_if_up(&world, i))
            .collect();
        // Only all of one machine stand still together; a part of them leaves the others to judge.
        let all = taken.len() == world.count();
        let longest = if all { election_max * 3 } else { election_max };
        let rounds = rng.random_range(3..30);
        let names: Vec<&str> = taken.iter().map(|(_, node)| &**node.id()).collect();
        world.trace.add(format_args!(
            "timers of {names:?} run late {rounds} times, by up to {longest:?}"
        ));
        for (_, node) in &taken {
            world.checks().eviction.begins(node.id());
        }
        for _ in 0..rounds {
            if !late_once(&world, &taken, longest, &mut rng).await {
                break;
            }
        }
        for (i, node) in &taken {
            world.checks().eviction.ends(node.id());
            world.give_back(*i);
        }
    }
}

/// They stand still once, and go on for a moment. False when it is to end.
async fn late_once(world: &World, taken: &[(usize, SimNode)], longest: Duration, rng: &mut SmallRng) -> bool {
    for (_, node) in taken {
        node.sim_process().pause();
    }
    let going = world.pause_for(longest.mul_f64(rng.random_range(0.1..1.0))).await;
    let mut tasks = Vec::new();
    for (i, node) in taken {
        tasks.extend(node.sim_process().resume_staggered());
        world.goes_on(*i);
    }
    tasks.shuffle(rng);
    for task in tasks {
        task.wake();
        env::sleep(Duration::from_micros(rng.random_range(0..20))).await;
    }
    going && world.pause_for(millis(rng, A_MOMENT.0, A_MOMENT.1)).await
}
