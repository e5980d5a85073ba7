//! What a cluster costs that has nothing to do, and whether it keeps its head when others have all the processors.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ck_core::hooks::{EventFilter, Hook};
use ck_core::model::{EventKind, LeaveReason};

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

/// Three nodes beside two busy threads for each processor: nobody may be failed for being slow.
pub(crate) fn starved(report: &mut Report, dir: &Path, time: Duration) -> Outcome {
    println!("starved: all processors are busy with other work for {time:?}");
    let nodes = Nodes::formed(dir, 3)?;
    let (failed, elected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (failures, elections) = (failed.clone(), elected.clone());
    let count = move |event: &ck_core::model::Event| {
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
    let busy = 2 * std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                let mut turns = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    turns = black_box(turns.wrapping_add(1));
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    nodes.stop()?;
    let note = format!("in {:.0} minutes, {busy} busy threads", time.as_secs_f64() / 60.0);
    let failed = failed.load(Ordering::Relaxed) as f64;
    report.add(
        "nodes failed without cause (lan)",
        failed,
        "",
        Some(Aim::AtMost(0.0)),
        note,
    );
    let elected = elected.load(Ordering::Relaxed) as f64;
    report.add("  leaders elected meanwhile", elected, "", None, "");
    Ok(())
}
