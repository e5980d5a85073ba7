//! Any bytes as the segments of a log: it opens, and then it can be used and opened again, or what is wrong is said.
//!
//! An input is pieces of files, because most of a segment is zeros: the number of the file, where the piece lies, its length,
//! and its bytes. A file has the length of the shortest segment, or more where pieces lie behind that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{self, HEADER, Place};
use super::segment::{FIRST, MARKS, file_name};
use super::{Done, Entry, LogId, MIN_SEGMENT, Owner, Vote, Wal, WalOptions, WalWriter};
use crate::env::disk::{Disk, MemDisk};
use crate::fuzz::Input;
use crate::{ErrorCode, Result};

const DIR: &str = "/data/wal.log";
/// Not one input in a thousand needs more.
const MAX_FILES: u8 = 8;

const REPAIR: u8 = 0;
const EXACT_LENGTHS: u8 = 1;

pub(crate) fn log(bytes: &[u8]) {
    let disk = MemDisk::new();
    let is_written = write_files(&disk, bytes);
    assert!(is_written.is_ok(), "{is_written:?}");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    match Log::open(disk.clone()) {
        Err(error) => {
            let is_clear = matches!(error.code(), ErrorCode::Corrupt | ErrorCode::Version)
                && error.message().contains(DIR)
                && error.message().contains("offset");
            assert!(is_clear, "{error}");
        }
        Ok(log) => {
            let before = log.says();
            // Opening it changes nothing of what it says, and what is written afterwards is there, too.
            let mut log = reopen(log, &disk);
            assert_eq!(log.says(), before);
            log.use_it();
            let after = log.says();
            assert_eq!(reopen(log, &disk).says(), after);
        }
    }
}

/// The files that the bytes describe.
fn write_files(disk: &MemDisk, bytes: &[u8]) -> Result<()> {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let mut files = BTreeMap::<u8, Vec<u8>>::new();
    while !input.is_empty() {
        let number = input.u8() % MAX_FILES;
        let offset = usize::from(input.u16());
        let piece = input.part();
        let file = files.entry(number).or_default();
        let end = offset + piece.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        if let Some(place) = file.get_mut(offset..end) {
            place.copy_from_slice(piece);
        }
    }
    disk.create_dir_all(Path::new(DIR))?;
    for (number, mut content) in files {
        if !flags.has(EXACT_LENGTHS) {
            content.resize(content.len().max(MIN_SEGMENT as usize), 0);
        }
        if flags.has(REPAIR) {
            repair(&mut content);
        }
        let path = Path::new(DIR).join(file_name(u32::from(number) + 1));
        disk.create(&path)?.write_all_at(&content, 0)?;
    }
    Ok(())
}

/// Makes the checksums of a segment right, wherever its frames lead.
fn repair(file: &mut [u8]) {
    if frame::repair(file, Place { salt: 0, offset: 0 }).is_none() {
        return;
    }
    // Where the first frame has the salt: behind the version, the sequence and the size.
    let salt = file.get(HEADER + 10..).and_then(|rest| rest.first_chunk::<4>());
    let Some(salt) = salt.map(|salt| u32::from_le_bytes(*salt)) else {
        return;
    };
    let mut repair_at = |at: usize| {
        let offset = u32::try_from(at).ok()?;
        frame::repair(file.get_mut(at..)?, Place { salt, offset })
    };
    for at in MARKS {
        let _ = repair_at(at as usize);
    }
    let mut at = FIRST;
    while let Some(length) = repair_at(at) {
        at += length;
    }
}

/// A log with its writer.
struct Log {
    wal: Wal,
    writer: WalWriter,
    answers: Arc<Mutex<Vec<Result<()>>>>,
}

/// What a log says.
#[derive(Debug, PartialEq)]
struct Says {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    entries: Vec<Entry>,
}

/// Closes a log and opens it again, which nothing can keep it from.
fn reopen(log: Log, disk: &Arc<dyn Disk>) -> Log {
    log.close();
    match Log::open(disk.clone()) {
        Ok(log) => log,
        Err(error) => unreachable!("it was open before: {error}"),
    }
}

impl Log {
    fn open(disk: Arc<dyn Disk>) -> Result<Log> {
        let options = WalOptions {
            segment_bytes: MIN_SEGMENT,
            cache_bytes: 1024,
            seed: 42,
            owner: Owner::default(),
        };
        let (wal, writer) = Wal::open(disk, Path::new(DIR), &options)?;
        Ok(Log {
            wal,
            writer,
            answers: Arc::default(),
        })
    }

    fn says(&self) -> Says {
        let entries = self.wal.read(0..u64::MAX, u64::MAX);
        assert!(entries.is_ok(), "what was found cannot be read: {entries:?}");
        Says {
            vote: self.wal.vote(),
            purged: self.wal.purged(),
            last: self.wal.last(),
            entries: entries.unwrap_or_default(),
        }
    }

    fn done(&self) -> Done {
        let answers = self.answers.clone();
        Box::new(move |answer| answers.lock().push(answer))
    }

    /// Lets the writer do what was asked for; all of it has to succeed.
    fn step(&mut self) {
        let mut ops = Vec::new();
        while let Ok(op) = self.writer.queue.try_recv() {
            ops.push(op);
        }
        let asked = ops.iter().filter(|op| op.done.is_some()).count();
        self.writer.step(&mut ops);
        let answers = std::mem::take(&mut *self.answers.lock());
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(answers.len(), asked);
    }

    /// Votes, appends, cuts, purges.
    fn use_it(&mut self) {
        let term = self.wal.vote().map_or(1, |vote| vote.term.saturating_add(1));
        let vote = Vote {
            term,
            node: 1,
            committed: true,
        };
        self.wal.save_vote(vote, self.done());
        self.step();
        let next = self.wal.last().map_or(0, |last| last.index.saturating_add(1));
        // No log comes to the end of its numbers; it refuses more.
        if next > u64::MAX - 4 {
            return;
        }
        let id = |index| LogId { term, node: 1, index };
        let entries = (next..next + 3).map(|index| Entry {
            id: id(index),
            kind: 1,
            payload: Bytes::from_static(b"after"),
        });
        self.wal.append(entries.collect(), self.done());
        self.step();
        self.wal.truncate_after(Some(id(next + 1)), self.done());
        self.wal.save_committed(id(next));
        self.step();
        self.wal.purge_to(id(next), self.done());
        self.wal.mark_again();
        self.step();
    }

    fn close(mut self) {
        self.wal.close(self.done());
        self.step();
    }
}

/// A log over three segments with every kind of record, closed; the same torn; its segments without the first; one of
/// format 1.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use super::segment::put_format_1;

    let disk = MemDisk::new();
    let mut log = Log::open(Arc::new(disk.clone())).unwrap();
    let id = |index| LogId {
        term: 1 + index / 3,
        node: 1,
        index,
    };
    let entry = |index, length| Entry {
        id: id(index),
        kind: 1,
        payload: vec![index as u8; length].into(),
    };
    log.use_it();
    let torn = pieces(&disk);
    log.wal.purge_to(id(9), log.done());
    for index in 10..14 {
        log.wal.append(vec![entry(index, 20)], log.done());
        log.step();
    }
    // Zeros cost little in the corpus and fill a segment all the same.
    for index in 14..16 {
        let mut entry = entry(index, 0);
        entry.payload = vec![0; 3000].into();
        log.wal.append(vec![entry], log.done());
        log.step();
    }
    log.wal.truncate_after(Some(id(14)), log.done());
    log.step();
    let mut entry = entry(15, 0);
    entry.payload = vec![0; 3000].into();
    log.wal.append(vec![entry], log.done());
    log.step();
    log.close();
    let whole = pieces(&disk);
    let mut format_1 = Vec::new();
    put_format_1(&mut format_1, 1, MIN_SEGMENT, 7);
    let format_1 = [&[0_u8][..], &piece(0, 0, &format_1)].concat();
    let repaired = |mut input: Vec<u8>| {
        input[0] |= 1 << REPAIR;
        input
    };
    vec![
        ("empty", vec![0]),
        ("torn", torn.clone()),
        ("torn-repaired", repaired(torn)),
        ("whole", whole.clone()),
        ("whole-repaired", repaired(whole)),
        ("format-1", format_1),
    ]
}

/// What is on a disk, as an input.
#[cfg(test)]
fn pieces(disk: &MemDisk) -> Vec<u8> {
    let mut input = vec![0];
    let dir = Path::new(DIR);
    for number in 0..MAX_FILES {
        let path = dir.join(file_name(u32::from(number) + 1));
        let Some(content) = disk.read(&path, u64::MAX).unwrap() else {
            continue;
        };
        // Zeros between two pieces are left out where that is worth a new piece.
        let mut at = 0;
        while let Some(start) = content[at..].iter().position(|byte| *byte != 0) {
            let start = at + start;
            let end = content[start..]
                .windows(16)
                .position(|window| window == [0; 16])
                .map_or(content.len(), |length| start + length);
            input.extend(piece(number, start, &content[start..end]));
            at = end;
        }
    }
    input
}

#[cfg(test)]
fn piece(number: u8, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut piece = vec![number];
    piece.extend_from_slice(&u16::try_from(offset).unwrap().to_le_bytes());
    crate::fuzz::put_part(&mut piece, bytes);
    piece
}
