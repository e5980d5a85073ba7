//! Opening a log: replays the segments, tells a torn tail from damage, and repairs the former.
//!
//! Whatever lies before an offset that some frame calls synced was durable, so if it does not read back
//! it is damage, and the log is refused. What lies behind was never acknowledged and may be torn.

use std::collections::VecDeque;
use std::path::Path;

use super::frame::{self, Frame, HEADER, Reader, kind};
use super::read::entry_head;
use super::segment::{FIRST, Header, Segment, Summary, TEMPORARY, file_name, newer, sequence};
use super::types::{LogId, Owner, Vote, corrupt};
use super::view::{EntrySlot, Slots};
use crate::env::disk::{DirSync, Disk, DiskLock};
use crate::{Error, Result};

pub(super) struct Recovered {
    pub(super) lock: DiskLock,
    pub(super) dir_sync: DirSync,
    pub(super) summary: Summary,
    pub(super) slots: Slots,
    /// Never empty; the last one is written to.
    pub(super) segments: VecDeque<Segment>,
    pub(super) current: Segment,
    /// Where the next frame goes in the last segment. Everything before is durable.
    pub(super) end: u32,
}

/// Opens the log in `dir`, or begins one there with a segment made by `first`.
pub(super) fn open(disk: &dyn Disk, dir: &Path, first: Header) -> Result<Recovered> {
    disk.create_dir_all(dir)?;
    let lock = disk.lock(&dir.join("LOCK"))?;
    let names = disk.list(dir)?;
    for name in names
        .iter()
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == TEMPORARY))
    {
        disk.remove(&dir.join(name))?;
    }
    let mut sequences: Vec<u32> = names.iter().filter_map(|name| sequence(name)).collect();
    sequences.sort_unstable();
    // Held from here on: a log that needs a descriptor in the middle of its work could be refused one.
    let dir_sync = disk.dir_sync(dir)?;
    let Some(&newest) = sequences.last() else {
        let file = Segment::spare(disk, dir)?;
        let current = Segment::begin(disk, dir, file, &dir_sync, first)?;
        let segments = VecDeque::from([current.clone()]);
        let (summary, slots) = (Summary::default(), Slots::default());
        return Ok(Recovered {
            lock,
            dir_sync,
            summary,
            slots,
            segments,
            current,
            end: FIRST as u32,
        });
    };
    // The process before this one may have died between renaming the newest and syncing the folder.
    dir_sync()?;
    // A power loss can bring back deleted segments, with holes between them. Only those that lead up to
    // the newest without a hole count; if that is too few, `Replay::finish` notices.
    let connected = 1 + sequences
        .windows(2)
        .rev()
        .take_while(|pair| pair[0].checked_add(1) == Some(pair[1]))
        .count();
    let (stale, live) = sequences.split_at(sequences.len() - connected);
    let segments: VecDeque<Segment> = live
        .iter()
        .map(|sequence| Segment::open(disk, dir, *sequence))
        .collect::<Result<_>>()?;
    for segment in &segments {
        check_owner(segment, first.owner)?;
    }
    let (Some(oldest), Some(current)) = (segments.front(), segments.back().cloned()) else {
        return Err(Error::internal(format!(
            "{}: segment {newest} vanished",
            dir.display()
        )));
    };

    let mut replay = Replay::begin(oldest.header.summary);
    let mut end = FIRST as u32;
    for (at, segment) in segments.iter().enumerate() {
        match segments.get(at + 1) {
            Some(next) => replay.sealed(disk, segment, next)?,
            None => end = replay.open_ended(disk, segment)?,
        }
    }
    replay.finish(oldest)?;
    for sequence in stale {
        disk.remove(&dir.join(file_name(*sequence)))?;
    }
    let Replay { summary, slots, .. } = replay;
    Ok(Recovered {
        lock,
        dir_sync,
        summary,
        slots,
        segments,
        current,
        end,
    })
}

/// True when there is a segment in `dir`.
pub(super) fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    disk.create_dir_all(dir)?;
    let names = disk.list(dir)?;
    Ok(names.iter().any(|name| sequence(name).is_some()))
}

/// A log that belongs to another node, or to another cluster, says nothing about this one.
fn check_owner(segment: &Segment, expected: Option<Owner>) -> Result<()> {
    match (segment.header.owner, expected) {
        (Some(owner), Some(expected)) if owner != expected => Err(corrupt(
            segment.file.path(),
            HEADER as u64,
            &format!("this is the log of {owner}, and {expected} was to open it"),
        )),
        _ => Ok(()),
    }
}

/// What the second mark says was synced. It speaks of a quiet moment, so it is at most as new as the tail, and it is
/// written after what it speaks of was durable. Of its two copies a crash leaves one, older or newer.
fn second_mark(segment: &Segment, data: &[u8]) -> Result<u32> {
    let marks = segment.header.marks();
    let copy = |at: &u32| {
        let frame = frame::parse(data.get(*at as usize..)?, segment.place(*at)).ok()?;
        (frame.kind == kind::MARK).then_some(frame.synced)
    };
    match (marks.iter().filter_map(copy).max(), marks.first()) {
        (Some(synced), _) => Ok(synced),
        (None, None) => Ok(segment.header.first()),
        (None, Some(at)) => Err(corrupt(
            segment.file.path(),
            *at,
            "both copies of the mark are gone that says how much of the file was synced",
        )),
    }
}

/// The state of the log as of the frames seen so far.
struct Replay {
    summary: Summary,
    slots: Slots,
    /// Entries up to here were in segments that are gone, if not purged or truncated since.
    missing: Option<u64>,
    /// The first entry of a log of which nothing was purged yet: it may lie anywhere.
    begins: Option<u64>,
}

impl Replay {
    fn begin(summary: Summary) -> Self {
        let missing = summary
            .last
            .filter(|_| summary.last != summary.purged)
            .map(|last| last.index);
        Replay {
            summary,
            slots: Slots::default(),
            missing,
            begins: None,
        }
    }

    /// A segment that has a successor: everything in it was durable.
    fn sealed(&mut self, disk: &dyn Disk, segment: &Segment, next: &Segment) -> Result<()> {
        let path = segment.file.path();
        let data = content(disk, segment)?;
        let end = next.header.previous_end;
        let data = data.get(..end as usize).unwrap_or(&data);
        let mut at = segment.header.first();
        while at < end {
            let rest = data.get(at as usize..).unwrap_or_default();
            let frame = frame::parse(rest, segment.place(at)).map_err(|what| corrupt(path, at, what))?;
            self.apply(segment, at, &frame)?;
            at += frame.length() as u32;
        }
        if self.summary != next.header.summary {
            return Err(corrupt(
                next.file.path(),
                HEADER as u64,
                "it contradicts the segment before it",
            ));
        }
        Ok(())
    }

    /// The last segment. Returns where its frames end, with everything before durable and nothing behind.
    fn open_ended(&mut self, disk: &dyn Disk, segment: &Segment) -> Result<u32> {
        let path = segment.file.path();
        let data = content(disk, segment)?;
        let mut at = segment.header.first();
        let mut synced = at.max(second_mark(segment, &data)?);
        let (marked, what) = loop {
            let rest = data.get(at as usize..).unwrap_or_default();
            let frame = match frame::parse(rest, segment.place(at)) {
                Ok(frame) => frame,
                Err(what) => break (false, what),
            };
            synced = synced.max(frame.synced);
            if frame.kind == kind::MARK {
                break (true, "a later frame was to follow");
            }
            if frame.kind == kind::SEAL {
                let next = file_name(segment.header.sequence.saturating_add(1));
                return Err(corrupt(&path.with_file_name(next), 0u8, "the file is missing"));
            }
            self.apply(segment, at, &frame)?;
            at += frame.length() as u32;
        };

        let end = at as usize;
        let used = used(&data).max(end);
        let searched = data.get(..used + HEADER).unwrap_or(&data);
        let proven = match synced > at {
            true => Some(synced),
            false => frame::proof_of_sync(searched, end, segment.header.salt),
        };
        if let Some(synced) = proven {
            let what = format!("{what}, and all of the file before offset {synced} was synced once");
            return Err(corrupt(path, at, &what));
        }
        let unproven = data.get(synced as usize..end).unwrap_or_default();
        // The process before this one may have died before its sync, or after a sync that failed, which
        // leaves pages that look clean and are not on disk: written anew, they are sure to get there.
        segment.file.write_all_at(unproven, u64::from(synced))?;
        let keep = if marked { end + HEADER } else { end };
        // The tail must be zeros: a frame left over there could one day follow the log's new end.
        let torn = vec![0; used.saturating_sub(keep)];
        segment.file.write_all_at(&torn, keep as u64)?;
        segment.file.sync_data()?;
        Ok(at)
    }

    fn apply(&mut self, segment: &Segment, offset: u32, frame: &Frame<'_>) -> Result<()> {
        let path = segment.file.path();
        if frame.version > frame::VERSION || frame.kind > kind::SEAL {
            return Err(newer(path, offset));
        }
        let length = frame.length() as u32;
        let slot = EntrySlot {
            segment: segment.header.sequence,
            offset,
            length,
        };
        self.transition(frame, slot)
            .ok_or_else(|| corrupt(path, offset, "the frame does not fit the log before it"))
    }

    /// `None` when the frame cannot come here, which no writer does and no accident makes.
    fn transition(&mut self, frame: &Frame<'_>, slot: EntrySlot) -> Option<()> {
        let (last, purged) = (self.summary.last, self.summary.purged);
        let mut reader = Reader(frame.body);
        match frame.kind {
            kind::ENTRY => {
                let (id, _) = entry_head(frame.kind, frame.body)?;
                let follows = match last {
                    Some(last) => last.index.checked_add(1) == Some(id.index),
                    None => id.index < u64::MAX,
                };
                self.summary.last = follows.then_some(Some(id))?;
                if last.is_none() {
                    self.begins = Some(id.index);
                }
                self.slots.push(id.index, slot);
            }
            kind::VOTE => self.summary.vote = Some(Vote::get(&mut reader)?),
            kind::COMMITTED => self.summary.committed = Some(LogId::get(&mut reader)?),
            kind::TRUNCATE => {
                let to = LogId::get_option(&mut reader)?;
                let index = to.map(|to| to.index);
                if index > last.map(|last| last.index) || index < purged.map(|purged| purged.index) {
                    return None;
                }
                self.summary.last = to;
                self.begins = self.begins.filter(|_| to.is_some());
                self.slots.truncate(index);
                self.missing = self.missing.min(index);
            }
            kind::PURGE => {
                let upto = LogId::get(&mut reader)?;
                if purged.is_some_and(|purged| purged.index >= upto.index) {
                    return None;
                }
                // A hole between what was purged and the first entry.
                let next = upto.index.saturating_add(1);
                if self.begins.take().is_some_and(|begins| begins > next) {
                    return None;
                }
                self.summary.purged = Some(upto);
                if last.is_none_or(|last| last.index <= upto.index) {
                    self.summary.last = Some(upto);
                }
                self.slots.purge(upto.index);
            }
            _ => return None,
        }
        Some(())
    }

    fn finish(&self, oldest: &Segment) -> Result<()> {
        if self.missing > self.summary.purged.map(|purged| purged.index) {
            let before = oldest.header.sequence.saturating_sub(1);
            let path = oldest.file.path().with_file_name(file_name(before));
            return Err(corrupt(&path, 0u8, "the file is missing"));
        }
        Ok(())
    }
}

/// Where the zeros begin that the file ends with, rounded up; most of a young segment is zeros.
fn used(data: &[u8]) -> usize {
    const STEP: usize = 512;
    data.chunks(STEP)
        .rposition(|chunk| chunk != &[0; STEP][..chunk.len()])
        .map_or(0, |last| (last + 1) * STEP)
        .min(data.len())
}

/// The whole file; its length was checked against its header when it was opened.
fn content(disk: &dyn Disk, segment: &Segment) -> Result<Vec<u8>> {
    let path = segment.file.path();
    disk.read(path, u64::from(segment.header.size))?
        .ok_or_else(|| corrupt(path, 0u8, "the file is missing"))
}
