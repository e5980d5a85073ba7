//! How soon a cluster is well once its network is, after cuts of every shape.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clusterkit::model::NodeStatus;

use crate::Outcome;
use crate::cluster::until;
use crate::report::{Aim, Report};
use crate::spaces::Spaces;

const NODES: usize = 5;
/// docs/consistency.md promises it.
const AIM: Aim = Aim::AtMost(2000.0);

/// Who does not hear whom.
#[derive(Clone, Copy)]
enum Shape {
    /// A node hears nobody, and nobody hears it.
    Both,
    /// It hears nobody.
    In,
    /// Nobody hears it.
    Out,
    /// Each node hears its two neighbours only.
    Ring,
    /// Two halves, with one node in both.
    Bridge,
}

/// Measures every shape, each for so many seconds.
pub(crate) fn measure(report: &mut Report, dir: &Path, seconds: u64) -> Outcome {
    println!("heal: {NODES} processes, each in a network namespace; cuts of {seconds} s");
    let Some(spaces) = Spaces::formed(dir, NODES)? else {
        return Ok(());
    };
    for (shape, name) in [
        (Shape::Both, "a node cut off"),
        (Shape::In, "a node that heard nobody"),
        (Shape::Out, "a node that nobody heard"),
        (Shape::Ring, "a ring"),
        (Shape::Bridge, "two halves with a bridge"),
    ] {
        let mut worst = Duration::ZERO;
        for away in [0, 1] {
            let (leader, _) = spaces.leader()?;
            cut(&spaces, shape, (leader + away) % NODES)?;
            thread::sleep(Duration::from_secs(seconds));
            spaces.network.heal();
            worst = worst.max(well_again(&spaces)?);
            spaces.wait_until_formed()?;
        }
        report.add(
            format!("cut of {seconds} s, {name}: well after its end"),
            worst.as_secs_f64() * 1000.0,
            "ms",
            Some(AIM),
            "every node writes, all are active; the worse of the leader and another in the middle",
        );
    }
    Ok(())
}

fn cut(spaces: &Spaces, shape: Shape, one: usize) -> Outcome {
    let network = &spaces.network;
    let place = |i: usize| (one + i) % NODES;
    match shape {
        Shape::Both => network.isolate(one)?,
        Shape::In => (1..NODES).try_for_each(|i| network.cut_one_way(place(i), one))?,
        Shape::Out => (1..NODES).try_for_each(|i| network.cut_one_way(one, place(i)))?,
        Shape::Ring => {
            for i in 0..NODES {
                for j in i + 2..NODES {
                    if i != 0 || j != NODES - 1 {
                        network.cut(place(i), place(j))?;
                    }
                }
            }
        }
        Shape::Bridge => {
            // The node in the middle is in both halves.
            for left in 1..=NODES / 2 {
                for right in NODES / 2 + 1..NODES {
                    network.cut(place(left), place(right))?;
                }
            }
        }
    }
    Ok(())
}

/// How long until every node has taken a write and calls all others active.
fn well_again(spaces: &Spaces) -> Outcome<Duration> {
    let began = Instant::now();
    let write = |place: usize| {
        let key = format!("bench/heal/{place}");
        until("a write on every node", || {
            spaces.apis[place].put(&key, "x").is_ok()
        })
    };
    thread::scope(|scope| -> Outcome {
        let writing: Vec<_> = (0..NODES)
            .map(|place| scope.spawn(move || write(place)))
            .collect();
        writing
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    until("all active on every node", || {
        spaces.apis.iter().all(|api| {
            let nodes = api.nodes();
            nodes.is_ok_and(|nodes| {
                nodes.len() == NODES && nodes.iter().all(|node| node.status == NodeStatus::Active)
            })
        })
    })?;
    Ok(began.elapsed())
}
