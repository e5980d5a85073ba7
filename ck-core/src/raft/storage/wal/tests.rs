//! Tests of the log as a whole. The writer is stepped by hand unless a driver is what is tested.

mod basics;
mod crafted;
mod crash;
mod damage;
mod faults;
mod model;
mod mutations;
mod owner;
mod segments;
mod shortage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use bytes::Bytes;

use super::writer::Op;
use super::*;
use crate::env::disk::{Disk, MemDisk};

const DIR: &str = "/data/wal.log";

fn dir() -> &'static Path {
    Path::new(DIR)
}

/// The segments of a log.
type Files = Vec<(String, Vec<u8>)>;

fn files(disk: &MemDisk) -> Files {
    let read = |name: &String| disk.read(&dir().join(name), u64::MAX).unwrap().unwrap();
    let names = disk.list(dir()).unwrap().into_iter();
    names
        .filter(|name| name.ends_with(".log"))
        .map(|name| (name.clone(), read(&name)))
        .collect()
}

fn id(term: u64, index: u64) -> LogId {
    LogId {
        term,
        node: term % 3,
        index,
    }
}

fn entry(term: u64, index: u64, length: usize) -> Entry {
    let byte = (term * 31 + index) as u8;
    Entry {
        id: id(term, index),
        kind: (index % 5) as u8,
        payload: Bytes::from(vec![byte; length]),
    }
}

fn vote(term: u64) -> Vote {
    Vote {
        term,
        node: term % 3,
        committed: term.is_multiple_of(2),
    }
}

fn small() -> WalOptions {
    WalOptions {
        segment_bytes: MIN_SEGMENT,
        cache_bytes: 1024,
        seed: 42,
        owner: Owner::default(),
    }
}

/// The number of a call, counted from 1, and its outcome.
type Answer = (usize, Result<()>);

/// The answers to calls, in the order in which they came.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<Answer>>>);

impl Answers {
    fn done(&self, call: usize) -> Done {
        let answers = self.0.clone();
        Box::new(move |result| answers.lock().push((call, result)))
    }

    fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut self.0.lock())
    }

    fn acknowledged(&self) -> usize {
        self.0.lock().iter().filter(|(_, result)| result.is_ok()).count()
    }
}

/// A log with its writer and the answers that it gave.
struct Rig {
    disk: Arc<dyn Disk>,
    wal: Wal,
    writer: WalWriter,
    answers: Answers,
    calls: usize,
}

impl Rig {
    fn new() -> (MemDisk, Rig) {
        let disk = MemDisk::new();
        let rig = Rig::open(Arc::new(disk.clone())).unwrap();
        (disk, rig)
    }

    fn open(disk: Arc<dyn Disk>) -> Result<Rig> {
        Rig::open_in(disk, dir(), &small())
    }

    fn open_in(disk: Arc<dyn Disk>, dir: &Path, options: &WalOptions) -> Result<Rig> {
        let (wal, writer) = Wal::open(disk.clone(), dir, options)?;
        Ok(Rig {
            disk,
            wal,
            writer,
            answers: Answers::default(),
            calls: 0,
        })
    }

    fn done(&mut self) -> Done {
        self.calls += 1;
        self.answers.done(self.calls)
    }

    fn append(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let done = self.done();
        self.wal.append(entries.into_iter().collect(), done);
    }

    fn vote(&mut self, term: u64) {
        let done = self.done();
        self.wal.save_vote(vote(term), done);
    }

    fn truncate(&mut self, to: Option<LogId>) {
        let done = self.done();
        self.wal.truncate_after(to, done);
    }

    fn purge(&mut self, upto: LogId) {
        let done = self.done();
        self.wal.purge_to(upto, done);
    }

    /// Lets the writer do what is queued, as one batch.
    fn step(&mut self) {
        let mut ops: Vec<Op> = std::iter::from_fn(|| self.writer.queue.try_recv().ok()).collect();
        self.writer.step(&mut ops);
    }

    /// Steps and asserts that every call so far succeeded, in order.
    fn step_ok(&mut self) {
        self.step();
        let answers = self.answers.take();
        assert!(answers.iter().all(|(_, result)| result.is_ok()), "{answers:?}");
        assert!(answers.is_sorted_by_key(|(call, _)| *call), "{answers:?}");
    }

    fn close(mut self) {
        let done = self.done();
        self.wal.close(done);
        self.step_ok();
    }

    fn reopen(self) -> Rig {
        let disk = self.disk.clone();
        self.close();
        Rig::open(disk).unwrap()
    }

    fn state(&self) -> State {
        State::of(&self.wal)
    }
}

/// What a log says, for comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl State {
    fn of(wal: &Wal) -> State {
        let entries = wal.read(0..u64::MAX, u64::MAX).unwrap();
        State {
            vote: wal.vote(),
            purged: wal.purged(),
            last: wal.last(),
            entries: entries.into_iter().map(|entry| (entry.id.index, entry)).collect(),
        }
    }

    fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    fn append(&mut self, entry: Entry) {
        self.last = Some(entry.id);
        self.entries.insert(entry.id.index, entry);
    }

    fn truncate(&mut self, to: Option<LogId>) {
        self.last = to.or(self.purged);
        let next = self.next();
        self.entries.retain(|index, _| *index < next);
    }

    fn purge(&mut self, upto: LogId) {
        self.entries.retain(|index, _| *index > upto.index);
        self.purged = Some(upto);
        if self.entries.is_empty() {
            self.last = Some(upto);
        }
    }
}
