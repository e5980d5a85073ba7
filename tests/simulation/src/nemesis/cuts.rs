//! Nodes that do not hear each other: isolation, one-way cuts, divisions, bridges, flapping, swizzle-clogging.

use clusterkit::sim::SimNode;
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::millis;
use crate::world::World;

pub(crate) async fn run(world: World, mut rng: SmallRng) {
    while world.pause_for(millis(&mut rng, 100, 4000)).await {
        // Most of the time it is the leader that it is interesting to cut off.
        let mut addrs = world.addrs();
        addrs.shuffle(&mut rng);
        if let Some((_, leader)) = world.leading()
            && rng.random_bool(0.5)
            && let Some(at) = addrs.iter().position(|addr| addr == leader.addr())
        {
            addrs.swap(0, at);
        }
        let (a, b) = (addrs[0].clone(), addrs[1].clone());
        let kind = rng.random_range(0..8);
        // Whose silence has a cause from now on: where the whole network is concerned, everybody's.
        let concerned = if kind <= 1 {
            ids(&world, &[&a, &b])
        } else {
            vec![String::new()]
        };
        for id in &concerned {
            world.checks().eviction.begins(id);
        }
        let going = trouble(&world, &mut rng, kind, &addrs).await;
        for id in &concerned {
            world.checks().eviction.ends(id);
        }
        if !going {
            return;
        }
        world.trace.add(format_args!("cuts: healed"));
    }
}

fn ids(world: &World, addrs: &[&str]) -> Vec<String> {
    let slots = world.slots();
    let nodes = slots.iter().filter_map(|slot| slot.node.as_ref());
    let concerned = nodes.filter(|node| addrs.contains(&node.addr()));
    concerned.map(SimNode::id).map(ToString::to_string).collect()
}

async fn trouble(world: &World, rng: &mut SmallRng, kind: u32, addrs: &[String]) -> bool {
    let network = &world.network;
    let (a, b) = (addrs[0].as_str(), addrs[1].as_str());
    let time = millis(rng, 50, 10_000);
    match kind {
        0 => {
            world.trace.add(format_args!("cuts: {a} is alone for {time:?}"));
            network.isolate(a);
            let going = world.pause_for(time).await;
            network.reconnect(a);
            going
        }
        1 => {
            world.trace.add(format_args!("cuts: {a} -/-> {b} for {time:?}"));
            network.cut_one_way(a, b);
            let going = world.pause_for(time).await;
            network.restore_one_way(a, b);
            going
        }
        2 => {
            world
                .trace
                .add(format_args!("cuts: nobody hears {a} for {time:?}"));
            for other in &addrs[1..] {
                network.cut_one_way(a, other);
            }
            let going = world.pause_for(time).await;
            for other in &addrs[1..] {
                network.restore_one_way(a, other);
            }
            going
        }
        3 | 4 => {
            // The second is a bridge: one node is on both sides.
            let at = rng.random_range(1..addrs.len());
            let (left, right) = addrs.split_at(at);
            let mut left: Vec<&str> = left.iter().map(String::as_str).collect();
            let right: Vec<&str> = right.iter().map(String::as_str).collect();
            if kind == 4 {
                left.push(right[0]);
            }
            world
                .trace
                .add(format_args!("cuts: {left:?} | {right:?} for {time:?}"));
            network.partition(&[&left, &right]);
            let going = world.pause_for(time).await;
            network.partition(&[]);
            going
        }
        5 => {
            let beats = rng.random_range(3..12);
            world
                .trace
                .add(format_args!("cuts: {a} - {b} flaps {beats} times"));
            for _ in 0..beats {
                network.cut(a, b);
                let going = world.pause_for(millis(rng, 20, 700)).await;
                network.restore(a, b);
                if !going || !world.pause_for(millis(rng, 20, 300)).await {
                    return false;
                }
            }
            true
        }
        6 => {
            // One connection stands still while those beside it live: a node that is heard of and hears, and lags.
            world
                .trace
                .add(format_args!("cuts: no entries from {a} to {b} for {time:?}"));
            network.clog_log(a, b);
            let going = world.pause_for(time).await;
            network.unclog_log(a, b);
            going
        }
        _ => {
            // Clogged one by one, and let go in another order.
            let some = rng.random_range(1..=addrs.len());
            let mut clogged: Vec<&String> = addrs[..some].iter().collect();
            world.trace.add(format_args!("cuts: {clogged:?} are clogged"));
            for addr in &clogged {
                network.clog(addr);
                if !world.pause_for(millis(rng, 10, 800)).await {
                    return false;
                }
            }
            clogged.shuffle(rng);
            for addr in clogged {
                if !world.pause_for(millis(rng, 10, 800)).await {
                    return false;
                }
                network.unclog(addr);
            }
            true
        }
    }
}
