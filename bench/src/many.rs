//! Clusters of many nodes, each in a process of its own: how long they take to form and to have one restart, and how much
//! CPU that is for each node.

use std::path::Path;
use std::time::{Duration, Instant};

use clusterkit::TimingProfile;

use crate::cluster::BENCH_TIMEOUT;
use crate::process::NodeProcess;
use crate::report::{Aim, Report};
use crate::{Failure, Outcome};

/// How long idle clusters are watched.
const IDLE: Duration = Duration::from_secs(3);

/// Measures clusters of so many processes each.
pub(crate) fn measure(report: &mut Report, dir: &Path, sizes: &[usize], partitions: u32) -> Outcome {
    for count in sizes {
        println!("many: {count} processes, {partitions} partitions");
        let dir = tempfile::Builder::new().prefix("ck-bench-").tempdir_in(dir)?;
        one(report, dir.path(), *count, partitions)?;
    }
    Ok(())
}

fn one(report: &mut Report, dir: &Path, count: usize, partitions: u32) -> Outcome {
    let started = Instant::now();
    let spawn = |i: usize, join: Option<&str>| {
        NodeProcess::spawn(dir, &format!("node-{i:03}"), join, TimingProfile::Lan, partitions)
    };
    let mut first = spawn(0, None)?;
    first.wait_until_started()?;
    let founder = first.address().to_owned();
    let mut nodes = vec![first];
    for i in 1..count {
        nodes.push(spawn(i, Some(&founder))?);
    }
    for node in &mut nodes[1..] {
        node.wait_until_started()?;
    }
    let admitted = started.elapsed();
    let usages = nodes
        .iter_mut()
        .map(|node| node.usage(count))
        .collect::<Result<Vec<_>, Failure>>()?;
    let formed = started.elapsed();
    let cpu: Duration = usages.iter().map(|usage| usage.cpu).sum();
    let rss = usages.iter().map(|usage| usage.rss_kib).fold(0.0, f64::max) / 1024.0;
    let leader = usages.first().map_or(Duration::ZERO, |usage| usage.cpu);

    std::thread::sleep(IDLE);
    let later = nodes
        .iter_mut()
        .map(|node| node.usage(count))
        .collect::<Result<Vec<_>, Failure>>()?;
    let idle = later
        .iter()
        .zip(&usages)
        .map(|(later, then)| later.cpu.saturating_sub(then.cpu));
    let idle = idle.sum::<Duration>().as_secs_f64() / (started.elapsed() - formed).as_secs_f64() * 100.0;

    let last = nodes.pop().ok_or("there are no nodes")?;
    last.stop()?;
    let again = Instant::now();
    let mut back = spawn(count - 1, Some(&founder))?;
    back.wait_until_started()?;
    let restarted = again.elapsed();
    let settled = back.usage(count).map(|_| again.elapsed());
    nodes.push(back);

    let name = |what: &str| format!("{count} processes {what}");
    let note = format!("{partitions} partitions; patience {BENCH_TIMEOUT:?}");
    report.add(
        name("admitted"),
        ms(admitted),
        "ms",
        None,
        "all starts have returned",
    );
    let aim = (count == 100).then_some(Aim::AtMost(10_000.0));
    report.add(name("formed"), ms(formed), "ms", aim, note);
    report.add(name("formed: CPU of all"), ms(cpu), "ms", None, "user and system");
    report.add(name("formed: CPU of the leader"), ms(leader), "ms", None, "");
    report.add(name("formed: largest RSS"), rss, "MiB", None, "");
    report.add(name("idle: CPU of all"), idle, "%", None, "of one core");
    let aim = (count == 100).then_some(Aim::AtMost(1000.0));
    report.add(
        name("and one restarts"),
        ms(restarted),
        "ms",
        aim,
        "its start has returned",
    );
    report.add(
        name("and one restarts: settled"),
        ms(settled?),
        "ms",
        None,
        "all copies in place",
    );
    // Followers first, so that nobody has to elect a new leader on the way out; and by their end, not one after the other.
    nodes.into_iter().rev().try_for_each(NodeProcess::kill)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
