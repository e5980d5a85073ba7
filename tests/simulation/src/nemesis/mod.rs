//! What goes wrong, each kind in a file of its own. Every kind is a task that makes trouble until the run is calm.

mod churn;
mod clock;
mod cuts;
mod disk;
mod flows;
mod hangs;
mod heirs;
mod late;
mod names;
mod orders;
mod partings;
mod process;
mod rivals;
mod slow_links;
mod weather;

use std::time::Duration;

use clusterkit::sim::SimNode;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::world::{World, spawn};

/// Starts what the plan has.
pub(crate) fn start(world: &World) {
    let menu = world.plan.menu;
    let (w, plan) = (world.clone(), &world.plan);
    if menu.weather {
        spawn(weather::run(w.clone(), plan.rng(1)));
    }
    if menu.cuts && plan.nodes > 1 {
        spawn(cuts::run(w.clone(), plan.rng(2)));
    }
    if menu.crashes {
        spawn(process::crashes(w.clone(), plan.rng(3)));
    }
    if menu.pauses {
        spawn(process::pauses(w.clone(), plan.rng(4)));
    }
    if menu.disks {
        spawn(disk::run(w.clone(), plan.rng(5)));
    }
    if menu.clocks {
        spawn(clock::run(w.clone(), plan.rng(6)));
    }
    if menu.churn {
        spawn(churn::run(w.clone(), plan.rng(7)));
    }
    if menu.orders {
        spawn(orders::run(w.clone(), plan.rng(8)));
    }
    if menu.rivals && plan.nodes > 2 {
        spawn(rivals::run(w.clone(), plan.rng(9)));
    }
    // Each throws logs away, and makes sure that the others can do without: not two at once.
    if menu.partings && !menu.churn && plan.nodes > 2 {
        spawn(partings::run(w.clone(), plan.rng(10)));
    }
    if menu.names {
        spawn(names::run(w.clone(), plan.rng(11)));
    }
    if menu.late {
        spawn(late::run(w.clone(), plan.rng(12)));
    }
    if menu.flows && plan.nodes > 1 {
        spawn(flows::run(w.clone(), plan.rng(13)));
    }
    if menu.slow_links && plan.nodes > 1 {
        spawn(slow_links::run(w.clone(), plan.rng(14)));
    }
    if menu.heirs && plan.nodes > 2 {
        spawn(heirs::run(w.clone(), plan.rng(15)));
    }
    if menu.hangs {
        spawn(hangs::run(w, plan.rng(16)));
    }
}

/// A node that runs, from now on in nobody else's hands; none where the one that was drawn is not to be had.
fn take_one_that_is_up(world: &World, rng: &mut SmallRng) -> Option<(usize, SimNode)> {
    take_if_up(world, rng.random_range(0..world.count()))
}

fn take_if_up(world: &World, i: usize) -> Option<(usize, SimNode)> {
    if !world.take(i) {
        return None;
    }
    let node = world.node(i).filter(|node| node.is_up());
    if node.is_none() {
        world.give_back(i);
    }
    node.map(|node| (i, node))
}

/// Between `low` and `high` milliseconds, short times as likely as long ones.
fn millis(rng: &mut SmallRng, low: u64, high: u64) -> Duration {
    let (low, high) = ((low as f64).ln(), (high as f64).ln());
    Duration::from_secs_f64(rng.random_range(low..high).exp() / 1000.0)
}
