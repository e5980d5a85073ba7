//! Large values on links that carry little: how long they take, what they cost small ones, and how soon a node catches up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::report::{Aim, Report, percentile};
use crate::spaces::Spaces;

const NODES: usize = 3;
const MEBIBYTE: usize = 1 << 20;
/// What each node may send: ten megabits a second.
const RATE: &str = "10mbit";
const BYTES_PER_SECOND: f64 = 1_250_000.0;
/// How many small writes are timed without large ones.
const ALONE: usize = 300;
/// How many large values are written.
const LARGE: usize = 8;
/// Between two small writes.
const PACE: Duration = Duration::from_millis(5);

/// Measures writes, and then the catching up of a node that missed so many MiB.
pub(crate) fn measure(report: &mut Report, dir: &Path, behind: usize) -> Outcome {
    println!("slow link: {NODES} processes, each in a network namespace and behind a link of {RATE}");
    let Some(spaces) = Spaces::formed(dir, NODES)? else {
        return Ok(());
    };
    if let Err(error) = limit(&spaces) {
        println!("  not measured, links cannot be slowed here: {error}");
        return Ok(());
    }
    writes(report, &spaces)?;
    spaces.network.lift_limits();
    catch_up(report, &spaces, behind)
}

fn limit(spaces: &Spaces) -> Result<(), String> {
    (0..NODES).try_for_each(|place| spaces.network.limit_rate(place, RATE))
}

fn writes(report: &mut Report, spaces: &Spaces) -> Outcome {
    let (leader, epoch) = spaces.leader()?;
    let stop = AtomicBool::new(false);
    let alone = small(spaces, leader, ALONE, &stop)?;
    let (took, beside) = thread::scope(|scope| -> Outcome<_> {
        let small = scope.spawn(|| small(spaces, leader, usize::MAX, &stop));
        let took = large(spaces, (leader + 1) % NODES);
        stop.store(true, Ordering::Relaxed);
        let beside = small.join().map_err(|_| "a writer panicked")??;
        Ok((took?, beside))
    })?;
    let elections = spaces.leader()?.1 - epoch;
    report.add(
        "small writes over 10 Mbit/s: 99th percentile",
        percentile(&alone, 99),
        "ms",
        None,
        format!("{} of 10 bytes, through the leader", alone.len()),
    );
    report.add(
        "  the same beside values of 1 MiB",
        percentile(&beside, 99) / percentile(&alone, 99),
        "times that",
        Some(Aim::AtMost(10.0)),
        format!("{} of them; {:.1} ms", beside.len(), percentile(&beside, 99)),
    );
    report.add(
        "value of 1 MiB over 10 Mbit/s",
        percentile(&took, 50),
        "ms",
        None,
        format!("median of {LARGE}, through a follower: to the leader, and from it to two"),
    );
    report.add(
        "  leaders elected meanwhile",
        elections as f64,
        "",
        Some(Aim::AtMost(0.0)),
        "",
    );
    Ok(())
}

/// How long each of some small writes took, in milliseconds, until told to stop.
fn small(spaces: &Spaces, place: usize, count: usize, stop: &AtomicBool) -> Outcome<Vec<f64>> {
    let mut took = Vec::new();
    while took.len() < count && !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        spaces.apis[place].put("bench/small", "0123456789")?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        thread::sleep(PACE);
    }
    Ok(took)
}

fn large(spaces: &Spaces, place: usize) -> Outcome<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..LARGE {
        let began = Instant::now();
        spaces.apis[place].put("bench/large", vec![b'x'; MEBIBYTE])?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

/// A follower hears nothing while others write, and is to catch up over a link that carries little.
fn catch_up(report: &mut Report, spaces: &Spaces, mebibytes: usize) -> Outcome {
    let (leader, epoch) = spaces.leader()?;
    let place = (leader + 1) % NODES;
    spaces.network.isolate(place)?;
    let mut newest = 0;
    for number in 0..mebibytes {
        newest = spaces.apis[leader].put(&format!("bench/{number:04}"), vec![b'x'; MEBIBYTE])?;
    }
    limit(spaces)?;
    spaces.network.heal();
    let began = Instant::now();
    let least = (mebibytes * MEBIBYTE) as f64 / BYTES_PER_SECOND;
    let deadline = Duration::from_secs_f64(30.0 + least * 4.0);
    let pause = Duration::from_millis(20);
    while spaces.apis[place].stats()?.applied_index < newest {
        if began.elapsed() > deadline {
            return Err(
                format!("a follower {mebibytes} MiB behind has not caught up after {deadline:?}").into(),
            );
        }
        thread::sleep(pause);
    }
    let share = least / began.elapsed().as_secs_f64() * 100.0;
    report.add(
        format!("a follower {mebibytes} MiB behind catches up over 10 Mbit/s"),
        share,
        "%",
        Some(Aim::AtLeast(80.0)),
        format!("of the link; {:.1} s", began.elapsed().as_secs_f64()),
    );
    report.add(
        "  leaders elected meanwhile",
        (spaces.leader()?.1 - epoch) as f64,
        "",
        Some(Aim::AtMost(0.0)),
        "",
    );
    spaces.network.lift_limits();
    Ok(())
}
