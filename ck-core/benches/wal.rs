//! Durable appends of 100-byte entries, beside the raw rate of append + fdatasync on the same disk.
//!
//! `cargo bench --bench wal`. Each round hands in a group of entries, one call each, as that many writers
//! would, and waits until all are acknowledged. Raw rounds write the same number of bytes in one piece. The
//! two alternate in short turns, so that what else the disk does meanwhile hits both alike.
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clusterkit::env::{Disk, MemDisk, RealDisk};
use clusterkit::raft::storage::wal::{Entry, LogId, Wal, WalOptions, WalThread};

const GROUPS: [u64; 4] = [1, 16, 64, 256];
const PAYLOAD: usize = 100;
/// An entry's frame on disk: header, id, kind, payload.
const FRAME: usize = 20 + 25 + PAYLOAD;
const TURN: Duration = Duration::from_millis(200);

type Outcome = Result<(), Box<dyn Error>>;

struct Log {
    wal: Wal,
    thread: WalThread,
    next: u64,
    payload: Bytes,
    sender: Sender<clusterkit::Result<()>>,
    receiver: Receiver<clusterkit::Result<()>>,
}

impl Log {
    fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Log, Box<dyn Error>> {
        let (wal, writer) = Wal::open(disk, dir, &WalOptions::default())?;
        let (sender, receiver) = channel();
        let payload = Bytes::from(vec![7; PAYLOAD]);
        Ok(Log {
            wal,
            thread: writer.spawn()?,
            next: 0,
            payload,
            sender,
            receiver,
        })
    }

    /// Hands in a group of entries, `each` of them with one call, and waits for the answers.
    fn round(&mut self, group: u64, each: u64) -> Outcome {
        let end = self.next + group;
        let mut calls = 0;
        while self.next < end {
            let indexes = self.next..(self.next + each).min(end);
            self.next = indexes.end;
            let entry = |index| Entry {
                id: LogId {
                    term: 1,
                    node: 1,
                    index,
                },
                kind: 0,
                payload: self.payload.clone(),
            };
            let sender = self.sender.clone();
            self.wal.append(
                indexes.map(entry).collect(),
                Box::new(move |result| drop(sender.send(result))),
            );
            calls += 1;
        }
        for _ in 0..calls {
            self.receiver.recv()??;
        }
        Ok(())
    }

    fn close(self) -> Outcome {
        drop(self.wal);
        Ok(self.thread.join()?)
    }
}

fn raw_round(file: &mut File, group: u64, data: &[u8]) -> Outcome {
    file.write_all(&data[..usize::try_from(group)? * FRAME])?;
    Ok(file.sync_data()?)
}

/// Repeats rounds for one turn; returns how many, and the time that they took.
fn turn(mut round: impl FnMut() -> Outcome) -> Result<(u32, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < TURN {
        round()?;
        rounds += 1;
    }
    Ok((rounds, start.elapsed()))
}

fn main() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let data = vec![7; 256 * FRAME];
    // Cargo says `--bench` when it is one; as a test it is enough that it runs.
    let turns = if std::env::args().any(|arg| arg == "--bench") {
        10
    } else {
        1
    };
    println!(
        "{:>6} {:>13} {:>13} {:>7} {:>13}",
        "group", "raw syncs/s", "log syncs/s", "ratio", "entries/s"
    );
    for group in GROUPS {
        let path = folder.path().join(format!("raw-{group}"));
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let mut log = Log::open(Arc::new(RealDisk), &folder.path().join(format!("wal-{group}")))?;
        let (mut raw, mut own) = ((0, Duration::ZERO), (0, Duration::ZERO));
        for _ in 0..turns {
            let (rounds, time) = turn(|| raw_round(&mut file, group, &data))?;
            raw = (raw.0 + rounds, raw.1 + time);
            let (rounds, time) = turn(|| log.round(group, 1))?;
            own = (own.0 + rounds, own.1 + time);
        }
        log.close()?;
        let raw = f64::from(raw.0) / raw.1.as_secs_f64();
        let own = f64::from(own.0) / own.1.as_secs_f64();
        let entries = own * f64::from(u32::try_from(group)?);
        println!(
            "{group:>6} {raw:>13.0} {own:>13.0} {:>7.2} {entries:>13.0}",
            own / raw
        );
    }

    // Without a disk what is left is the cost of the log itself, both threads together.
    for each in [1, 256] {
        let mut log = Log::open(Arc::new(MemDisk::new()), Path::new("/wal"))?;
        let (rounds, time) = turn(|| log.round(256, each))?;
        log.close()?;
        let cost = time.as_secs_f64() * 1e9 / f64::from(rounds * 256);
        println!("in memory, groups of 256, {each} in each call: {cost:.0} ns for an entry");
    }
    Ok(())
}
