//! What the number of partitions costs: four processes with few and with the most there can be, side by side in one run.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use clusterkit::TimingProfile;
use tempfile::TempDir;

use crate::process::{NodeProcess, Usage};
use crate::report::{Aim, Report};
use crate::{Failure, Outcome};

const NODES: usize = 4;
const FEW: u32 = 64;
const MAX_PARTITIONS: u32 = 65_536;
/// By then state files are written that will be.
const LATEST_FILE: Duration = Duration::from_secs(60);
/// How often the two clusters take turns at writing.
const TURNS: usize = 6;

/// A cluster at rest.
struct Cluster {
    name: String,
    /// The founder, which leads, comes first.
    nodes: Vec<NodeProcess>,
    formed: Duration,
    restarted: Duration,
    usages: Vec<Usage>,
    _dir: TempDir,
}

impl Cluster {
    /// All its nodes, each a process, the others at once as soon as there is a founder; then the last one is restarted.
    fn form(dir: &Path, partitions: u32, hooked: bool) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("ck-bench-").tempdir_in(dir)?;
        let started = Instant::now();
        let spawn = |i: usize, join: Option<&str>| {
            let id = format!("node-{i}");
            match hooked {
                true => NodeProcess::spawn_hooked(dir.path(), &id, join, partitions),
                false => NodeProcess::spawn(dir.path(), &id, join, TimingProfile::Lan, partitions),
            }
        };
        let mut first = spawn(0, None)?;
        first.wait_until_started()?;
        let founder = first.address().to_owned();
        let mut nodes = vec![first];
        for i in 1..NODES {
            nodes.push(spawn(i, Some(&founder))?);
        }
        for node in &mut nodes[1..] {
            node.wait_until_started()?;
        }
        let usages = usages(&mut nodes)?;
        let formed = started.elapsed();
        let last = nodes.pop().ok_or("there are no nodes")?;
        last.stop()?;
        let again = Instant::now();
        let mut back = spawn(NODES - 1, Some(&founder))?;
        back.wait_until_started()?;
        let restarted = again.elapsed();
        nodes.push(back);
        self::usages(&mut nodes)?;
        wait_for_state_files(dir.path())?;
        let how = if hooked { ", each copy by a hook" } else { "" };
        Ok(Cluster {
            name: format!("{NODES} processes, {partitions} partitions{how}"),
            nodes,
            formed,
            restarted,
            usages,
            _dir: dir,
        })
    }

    fn report(&self, report: &mut Report, aim: Option<Aim>) {
        let name = |what: &str| format!("{}: {what}", self.name);
        let cpu: Duration = self.usages.iter().map(|usage| usage.cpu).sum();
        let mib = self.usages.iter().map(|usage| usage.rss_kib / 1024.0);
        let each: Vec<String> = mib.clone().map(|mib| format!("{mib:.0}")).collect();
        let all_in_place = "all copies and primaries where they belong";
        report.add(name("formed"), ms(self.formed), "ms", aim, all_in_place);
        report.add(name("formed: CPU of all"), ms(cpu), "ms", None, "user and system");
        let note = format!("the founder first: {}", each.join(", "));
        report.add(name("largest RSS"), mib.fold(0.0, f64::max), "MiB", None, note);
        let note = "its start has returned";
        report.add(name("one restarts"), ms(self.restarted), "ms", None, note);
    }

    fn cpu(&mut self) -> Outcome<Duration> {
        Ok(usages(&mut self.nodes)?.iter().map(|usage| usage.cpu).sum())
    }

    fn write(&mut self, writers: usize, turn: Duration) -> Outcome<u64> {
        let founder = self.nodes.first_mut().ok_or("there are no nodes")?;
        founder.write(writers, turn)
    }

    /// Followers first, so that nobody has to elect a new leader on the way out.
    fn end(self) -> Outcome {
        self.nodes.into_iter().rev().try_for_each(NodeProcess::kill)
    }
}

/// Waits until every node has written what it looks like now, or will not: what forming costs is no cost of a write of data.
fn wait_for_state_files(dir: &Path) -> Outcome {
    let (from, began) = (SystemTime::now(), Instant::now());
    let is_written = |i: usize| -> Outcome<bool> {
        let file = dir.join(format!("node-{i}")).join("cluster-state.json");
        Ok(file.metadata()?.modified()? >= from)
    };
    while began.elapsed() < LATEST_FILE {
        let written = (0..NODES).map(is_written).collect::<Outcome<Vec<bool>>>()?;
        if written.iter().all(|written| *written) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What each node takes, once all is in place everywhere.
fn usages(nodes: &mut [NodeProcess]) -> Outcome<Vec<Usage>> {
    let usages = nodes.iter_mut().map(|node| node.usage(NODES));
    usages.collect::<Result<Vec<_>, Failure>>()
}

/// Measures forming, memory, and data writes.
pub(crate) fn measure(report: &mut Report, dir: &Path, turn: Duration) -> Outcome {
    println!("partitions: {NODES} processes, {FEW} and {MAX_PARTITIONS} partitions");
    let aim = Some(Aim::AtMost(60_000.0));
    let mut clusters = [
        Cluster::form(dir, FEW, false)?,
        Cluster::form(dir, MAX_PARTITIONS, false)?,
    ];
    clusters[0].report(report, None);
    clusters[1].report(report, aim);
    for writers in [1, 64] {
        write_in_turn(report, &mut clusters, writers, turn)?;
    }
    clusters.into_iter().try_for_each(Cluster::end)?;
    let hooked = Cluster::form(dir, MAX_PARTITIONS, true)?;
    hooked.report(report, aim);
    hooked.end()
}

/// What a data write costs with many partitions, as a ratio to what it costs with few. All that goes on meanwhile counts.
fn write_in_turn(
    report: &mut Report,
    clusters: &mut [Cluster; 2],
    writers: usize,
    turn: Duration,
) -> Outcome {
    let before = [clusters[0].cpu()?, clusters[1].cpu()?];
    let mut values = [0; 2];
    for _ in 0..TURNS {
        for (cluster, values) in clusters.iter_mut().zip(&mut values) {
            *values += cluster.write(writers, turn)?;
        }
    }
    // What the last turns leave to be done, too.
    std::thread::sleep(turn);
    let mut micros = [0.0; 2];
    for (i, cluster) in clusters.iter_mut().enumerate() {
        let used = cluster.cpu()?.saturating_sub(before[i]);
        micros[i] = used.as_secs_f64() * 1e6 / values[i] as f64;
    }
    report.add(
        format!("a data write with {MAX_PARTITIONS} partitions, of one with {FEW}, {writers} at once"),
        micros[1] / micros[0],
        "",
        Some(Aim::AtMost(1.2)),
        format!(
            "CPU of all nodes: {:.1} us and {:.1} us; {} and {} writes",
            micros[1], micros[0], values[1], values[0]
        ),
    );
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
