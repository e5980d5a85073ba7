//! Nodes that stop, while others do, or before they have started.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::env::{self, Instant};
use clusterkit::model::NodeStatus;
use clusterkit::net::sim::LinkConditions;

use crate::claims::status;
use crate::world::{World, leader, simulate, until};

/// What it takes each of three nodes to stop when all do so at once, in simulated time.
async fn all_stop_at_once(world: World) -> Vec<Duration> {
    let nodes = world.cluster(3).await;
    let leaving: Vec<_> = nodes
        .iter()
        .map(|sim| {
            let node = sim.node.clone();
            env::spawn(async move {
                let began = Instant::now();
                node.stop().await.unwrap();
                began.elapsed()
            })
        })
        .collect();
    let mut took = Vec::new();
    for stop in leaving {
        took.push(stop.await.unwrap());
    }
    took
}

#[test]
fn nodes_that_all_stop_at_once_do_not_wait_for_each_other() {
    for seed in 1..=20 {
        let took = simulate(seed, all_stop_at_once);
        let longest = took.iter().max().unwrap();
        assert!(*longest < Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}

/// A node that stops while a quorum is there waits until it has told, however slow the others are.
#[test]
fn who_stops_while_another_is_down_is_still_taken_leave_of() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let leads = leader(&nodes, None).await;
            let (down, goes) = ((leads + 1) % 3, (leads + 2) % 3);
            nodes[down].kill(None);
            world.network.set_conditions(LinkConditions {
                min_delay: Duration::from_millis(10),
                max_delay: Duration::from_millis(15),
                ..LinkConditions::default()
            });
            nodes[goes].stop().await.unwrap();
            let id = nodes[goes].id().to_string();
            // Who leads knows; one that was just told so by its leader may be the only one that does.
            let knows = |place: usize| status(&nodes[place], &id) == Some(NodeStatus::Stopped);
            until("the leave is committed", || knows(leads) || knows(goes)).await;
        });
    }
}

/// A start that is given up cleans up, and so does whatever ends the node meanwhile: everything is closed once.
#[test]
fn a_node_that_is_closed_while_it_starts_is_closed_once() {
    for micros in (0..400_000).step_by(7919) {
        simulate(micros, |world| async move {
            let sim = world.make_without_hook(World::options(1, &[]), Arc::default());
            let ending = async {
                env::sleep(Duration::from_micros(micros)).await;
                sim.close_immediately().await
            };
            let (started, ended) = futures_util::join!(sim.start(), ending);
            ended.unwrap();
            let started = started.map_err(|error| error.code());
            assert!(matches!(started, Ok(()) | Err(ErrorCode::Stopped)), "{started:?}");
            assert!(sim.has_stopped());
            let closed = sim.closings();
            assert!(closed <= 1, "closed {closed} times after {micros} us");
        });
    }
}
