//! What the disk itself can do: append and fdatasync, and nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;

/// What a write of 100 bytes takes in the log, about.
const RECORD: usize = 300;
/// Room that is made before, as the log does: a sync then writes no new length.
const ROOM: u64 = 8 << 20;

/// Appends and syncs per second when `files` are written at the same time, each for itself: the rate of one.
pub(crate) fn sync_rate(dir: &Path, files: usize, turn: Duration) -> Outcome<f64> {
    let counts = std::thread::scope(|scope| {
        let running: Vec<_> = (0..files).map(|_| scope.spawn(|| append(dir, turn))).collect();
        running
            .into_iter()
            .map(|one| one.join().map_err(|_| "a writer panicked")?)
            .collect::<Outcome<Vec<f64>>>()
    })?;
    Ok(counts.iter().sum::<f64>() / files as f64)
}

fn append(dir: &Path, turn: Duration) -> Outcome<f64> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), ROOM), &mut file)?;
    file.sync_all()?;
    std::io::Seek::rewind(&mut file)?;
    let record = [7; RECORD];
    let started = Instant::now();
    let mut count = 0_u64;
    while started.elapsed() < turn {
        if (count + 1) * RECORD as u64 % ROOM < RECORD as u64 {
            std::io::Seek::rewind(&mut file)?;
        }
        file.write_all(&record)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
