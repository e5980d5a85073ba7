//! Durable writes of 100 bytes to three nodes, beside what the disk itself can do in the same run.

use std::path::Path;
use std::time::Duration;

use clusterkit::ClusterKit;
use clusterkit::Expect;

use crate::cluster::{BENCH_TIMEOUT, Nodes};
use crate::rate::{self, Rate};
use crate::report::{Aim, Report};
use crate::{Outcome, disk};

const VALUE: [u8; 100] = [7; 100];

/// Measures writes on the leader and through a follower.
pub(crate) fn measure(report: &mut Report, dir: &Path, all: &[usize], turn: Duration) -> Outcome {
    println!("durable writes: 3 nodes in this process");
    let disk_turn = turn / 2;
    let before = (
        disk::sync_rate(dir, 1, disk_turn)?,
        disk::sync_rate(dir, 3, disk_turn)?,
    );
    let nodes = Nodes::formed(dir, 3)?;
    let mut found = Vec::new();
    for (place, node) in [("leader", nodes.leader()?), ("follower", nodes.follower()?)] {
        for &writers in all {
            found.push((place, writers, write(node, writers, turn)?));
        }
    }
    nodes.stop()?;
    // What else runs on the machine changes meanwhile: before and after, so that both count.
    let after = (
        disk::sync_rate(dir, 1, disk_turn)?,
        disk::sync_rate(dir, 3, disk_turn)?,
    );
    let one = f64::midpoint(before.0, after.0);
    let three = f64::midpoint(before.1, after.1);
    report.add("disk: append+fdatasync, 1 file", one, "/s", None, "");
    report.add(
        "disk: append+fdatasync, 3 files at once",
        three,
        "/s each",
        None,
        "what three nodes on one disk can get",
    );
    for (place, writers, rate) in found {
        let aim = (place == "leader" && writers == 64).then_some(Aim::AtLeast(100_000.0));
        report.add(
            format!("writes on the {place}, {writers} at once"),
            rate.per_second,
            "/s",
            aim,
            format!(
                "{:.0} us each, {:.1} us of CPU per write",
                writers as f64 / rate.per_second * 1e6,
                rate.cpu_micros
            ),
        );
        if writers == 1 {
            let aim = (place == "leader").then_some(Aim::AtLeast(0.7));
            report.add(
                format!("  of the disk's rate with 3 files ({place})"),
                rate.per_second / three,
                "",
                aim,
                format!("{:.2} of the rate with 1 file", rate.per_second / one),
            );
        }
    }
    Ok(())
}

/// Writes of threads that each have a key of their own.
pub(crate) fn write(node: &ClusterKit, writers: usize, turn: Duration) -> Outcome<Rate> {
    rate::by_threads(writers, turn, |writer| {
        let key = format!("bench/{writer}");
        Ok(move || {
            node.set_custom_data(&key, &VALUE[..], Expect::Any, BENCH_TIMEOUT)?;
            Ok(())
        })
    })
}
