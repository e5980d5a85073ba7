//! What a cluster costs that has nothing to do, and whether it keeps its head when others have all the processors.

use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::{EventKind, LeaveReason};

use crate::Outcome;
use crate::cluster::Nodes;
use crate::process::cpu_time;
use crate::report::{Aim, Report};

/// How long an idle cluster is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// Traffic and processor time of clusters that are at rest, all nodes in this process.
pub(crate) fn idle(report: &mut Report, dir: &Path) -> Outcome {
    println!("idle: nodes at rest, in one process");
    for count in [3, 10, 50] {
        let nodes = Nodes::formed(dir, count)?;
        let (sent, used, began) = (loopback()?, cpu_time()?, Instant::now());
        std::thread::sleep(WATCHED);
        let time = began.elapsed().as_secs_f64();
        let bytes = (loopback()? - sent) / time / 1024.0;
        let cpu = cpu_time()?.saturating_sub(used).as_secs_f64() / time * 100.0;
        nodes.stop()?;
        let each = |total: f64| format!("{:.2} for each node", total / count as f64);
        report.add(
            format!("traffic of {count} idle nodes"),
            bytes,
            "KiB/s",
            None,
            each(bytes),
        );
        report.add(format!("CPU of {count} idle nodes"), cpu, "%", None, each(cpu));
    }
    Ok(())
}

/// Bytes that the loopback interface has carried: of everything on this machine, which should do nothing else.
fn loopback() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/net/dev")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let bytes = line.and_then(|rest| rest.split_whitespace().next());
    Ok(bytes
        .ok_or("there is no loopback interface in /proc/net/dev")?
        .parse()?)
}

/// Threads that sync a file all the time beside nodes that are starved.
const SYNCING: usize = 6;
/// What each of them writes before it syncs.
const SYNCED_BYTES: usize = 64 * 1024;

/// Writes and syncs a file of its own until it is over.
fn sync_all_the_time(path: &Path, over: &AtomicBool) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let bytes = vec![7; SYNCED_BYTES];
    while !over.load(Ordering::Relaxed) {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Three nodes beside four busy threads for each processor, and some that sync: nobody may be failed for being slow, and
/// no leader replaced.
pub(crate) fn starved(report: &mut Report, dir: &Path, time: Duration) -> Outcome {
    println!("starved: all processors are busy with other work for {time:?}");
    let nodes = Nodes::formed(dir, 3)?;
    let (failed, elected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (failures, elections) = (failed.clone(), elected.clone());
    let count = move |event: &clusterkit::model::Event| {
        match &event.kind {
            EventKind::NodeLeave(leave) if leave.reason == LeaveReason::HealthCheckFailure => {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            EventKind::LeaderChange(_) => {
                elections.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    };
    nodes.nodes[0].register_hook(EventFilter::ALL, Hook::blocking(count))?;
    let over = AtomicBool::new(false);
    let busy = 4 * std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| -> Outcome {
        let over = &over;
        let syncing: Vec<_> = (0..SYNCING)
            .map(|i| {
                let path = dir.join(format!("synced-{i}"));
                scope.spawn(move || sync_all_the_time(&path, over))
            })
            .collect();
        for _ in 0..busy {
            scope.spawn(move || {
                let mut turns = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    turns = black_box(turns.wrapping_add(1));
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        for thread in syncing {
            thread.join().map_err(|_| "a thread that syncs panicked")??;
        }
        Ok(())
    })?;
    nodes.stop()?;
    let note = format!(
        "in {:.0} minutes, {busy} busy threads and {SYNCING} that sync",
        time.as_secs_f64() / 60.0
    );
    let failed = failed.load(Ordering::Relaxed) as f64;
    report.add(
        "nodes failed without cause (lan)",
        failed,
        "",
        Some(Aim::AtMost(0.0)),
        note,
    );
    let elected = elected.load(Ordering::Relaxed) as f64;
    report.add(
        "  leaders elected meanwhile",
        elected,
        "",
        Some(Aim::AtMost(0.0)),
        "",
    );
    Ok(())
}
