//! How long a cluster takes to form, to take in a node, and to have one restart.

use std::path::Path;
use std::time::Instant;

use crate::Outcome;
use crate::cluster::Nodes;
use crate::report::{Aim, Report, median};

const TRIALS: usize = 5;

/// Measures formation; all nodes are in this process.
pub(crate) fn measure(report: &mut Report, dir: &Path) -> Outcome {
    println!("formation: in this process");
    let mut alone = Vec::new();
    let mut three = Vec::new();
    let mut fourth = Vec::new();
    let mut settled = Vec::new();
    let mut restart = Vec::new();
    for _ in 0..TRIALS {
        let mut nodes = Nodes::none(dir)?;
        let started = Instant::now();
        nodes.add(1)?;
        alone.push(millis(started));
        nodes.add(2)?;
        nodes.wait_until_formed()?;
        three.push(millis(started));

        let started = Instant::now();
        nodes.add(1)?;
        nodes.wait_until_owner(3)?;
        fourth.push(millis(started));
        nodes.wait_until_formed()?;
        settled.push(millis(started));

        let started = nodes.restart(3)?;
        restart.push(started.as_secs_f64() * 1000.0);
        nodes.wait_until_formed()?;
        nodes.stop()?;
    }
    report.add("1 node started", median(alone), "ms", None, trials(TRIALS));
    report.add(
        "3 nodes formed, 64 partitions",
        median(three),
        "ms",
        Some(Aim::AtMost(500.0)),
        "every node sees 3 synced copies of all",
    );
    report.add(
        "4th node joins until it owns partitions",
        median(fourth),
        "ms",
        Some(Aim::AtMost(100.0)),
        "",
    );
    report.add(
        "4th node joins until all is in place",
        median(settled),
        "ms",
        None,
        "",
    );
    report.add(
        "restart of one of 4 nodes",
        median(restart),
        "ms",
        None,
        "until it is a member again",
    );
    formed(report, dir, 10, 3, Some(Aim::AtMost(1000.0)))?;
    formed(report, dir, 50, 1, None)
}

fn formed(report: &mut Report, dir: &Path, count: usize, trials: usize, aim: Option<Aim>) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..trials {
        let started = Instant::now();
        let nodes = Nodes::formed(dir, count)?;
        times.push(millis(started));
        nodes.stop()?;
    }
    let name = format!("{count} nodes formed");
    report.add(name, median(times), "ms", aim, self::trials(trials));
    Ok(())
}

fn trials(count: usize) -> String {
    match count {
        1 => "in one process, one trial".to_owned(),
        _ => format!("in one process, median of {count}"),
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
