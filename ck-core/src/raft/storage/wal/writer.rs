//! The one writer: drains the queue, writes a batch, syncs once, publishes, and runs the callbacks.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedReceiver;

use super::frame::{self, HEADER, kind, put_u32};
use super::read::ENTRY_HEAD;
use super::segment::{FIRST, Header, RESERVED, Segment, Summary, file_name};
use super::types::{Entry, LogId, Owner, Vote};
use super::view::{Change, EntrySlot, WalShared, cost};
use super::{Done, salt, stopped};
use crate::env;
use crate::env::disk::{DirSync, Disk, DiskFile, DiskLock, retry_on_shortage};
use crate::{Error, ErrorCode, Result};

/// At most so many calls go into one batch.
const BATCH_CALLS: usize = 1024;
/// A buffer this full is written before the batch is complete, and given back after it.
const BUFFER_LIMIT: usize = 1 << 20;

/// So much of a segment is filled with zeros at a time, ahead of the batches: a sync then has no new blocks to
/// record, which takes about as long again as the data. A hole reads as zeros too, so nothing else changes.
const ZERO_FILL_BYTES: u32 = 256 << 10;
static ZEROS: [u8; ZERO_FILL_BYTES as usize] = [0; ZERO_FILL_BYTES as usize];

/// A call on its way to the writer.
pub(super) struct Op {
    pub(super) action: Action,
    pub(super) done: Option<Done>,
}

pub(super) enum Action {
    Append {
        call: u64,
        entries: Vec<Entry>,
    },
    Vote(Vote),
    Truncate {
        call: u64,
        to: Option<LogId>,
    },
    Purge {
        call: u64,
        upto: LogId,
    },
    /// Nothing to do but to answer when everything before is durable.
    Barrier,
    /// The second mark is to be written behind the batch.
    MarkAgain,
    /// Was refused already; answered in its turn.
    Refuse(Error),
    Close,
}

/// The writing end of a log. Something must drive it, once: [`spawn`](WalWriter::spawn) or
/// [`run`](WalWriter::run). When it is dropped, calls that are still queued are answered with an error.
pub struct WalWriter {
    pub(super) shared: Arc<WalShared>,
    pub(super) queue: UnboundedReceiver<Op>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u32,
    pub(super) seed: u64,
    pub(super) owner: Owner,
    pub(super) lock: Option<DiskLock>,
    /// Makes the names in the folder durable.
    pub(super) dir_sync: DirSync,
    /// The file of the next segment, open before it is needed: in between all descriptors may be taken.
    pub(super) spare: Option<Arc<dyn DiskFile>>,
    pub(super) segment: Segment,
    /// Where the next batch goes in the segment.
    pub(super) end: u32,
    /// Everything before is durable. Less than `end` only inside a batch, or after a failure.
    pub(super) synced: u32,
    /// Everything before has blocks on the disk, as far as is known.
    pub(super) filled: u32,
    /// A mark for `synced` has been written.
    pub(super) marked: bool,
    /// Which copy of the second mark is written next, and whether anything was synced since the last.
    pub(super) next_mark: usize,
    pub(super) synced_since: bool,
    /// What the frames written so far say.
    pub(super) summary: Summary,
    /// The last call that was encoded.
    pub(super) call: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) changes: Vec<Change>,
    /// Bytes of entries in the batch, as they are counted before they are durable.
    pub(super) written: u64,
    pub(super) outcomes: Vec<(Done, Option<Error>)>,
    pub(super) failed: Option<Error>,
}

/// The thread that [`WalWriter::spawn`] started.
#[derive(Debug)]
pub struct WalThread(JoinHandle<()>);

impl WalThread {
    /// Waits for the end of the thread, which comes when the log is closed or its last handle dropped.
    pub fn join(self) -> Result<()> {
        self.0
            .join()
            .map_err(|_| Error::internal("the log's writer thread panicked"))
    }
}

impl WalWriter {
    /// Drives the log on a thread of its own, named `ck-wal`.
    pub fn spawn(mut self) -> Result<WalThread> {
        let body = move || {
            let mut ops = Vec::with_capacity(BATCH_CALLS);
            while self.queue.blocking_recv_many(&mut ops, BATCH_CALLS) > 0 {
                self.shared.begin();
                let closed = self.step(&mut ops);
                self.shared.end();
                if closed {
                    return;
                }
            }
            self.finish();
        };
        let thread = env::spawn_thread("ck-wal", body);
        thread
            .map(WalThread)
            .map_err(|error| Error::io("start the log's thread", &error))
    }

    /// Drives the log inside a task, with blocking calls to the disk: for disks in memory. Ends when the log
    /// is closed or its last handle dropped.
    pub async fn run(mut self) {
        let mut ops = Vec::with_capacity(BATCH_CALLS);
        while self.queue.recv_many(&mut ops, BATCH_CALLS).await > 0 {
            self.shared.begin();
            self.disk.wait_responsive().await;
            let closed = self.step(&mut ops);
            self.shared.end();
            if closed {
                return;
            }
        }
        self.finish();
    }

    /// One batch: encode, write, sync, publish, answer. True when the log was closed.
    pub(super) fn step(&mut self, ops: &mut Vec<Op>) -> bool {
        if let Some(error) = self.shared.view().failed.clone() {
            // Somebody else may have seen first that the disk has failed.
            self.failed.get_or_insert(error);
        }
        let mut closing = None;
        let mut purged = false;
        let mut mark_again = false;
        for Op { action, done } in ops.drain(..) {
            let mut refusal = None;
            match action {
                Action::Refuse(error) => refusal = Some(error),
                Action::Close => {
                    closing = done;
                    continue;
                }
                action if self.failed.is_none() => {
                    purged |= matches!(action, Action::Purge { .. } | Action::Truncate { .. });
                    mark_again |= matches!(action, Action::MarkAgain);
                    self.encode(action).unwrap_or_else(|error| self.fail(error));
                }
                _ => {}
            }
            if let Some(done) = done {
                self.outcomes.push((done, refusal));
            }
        }
        if self.failed.is_none() && self.end_of_batch() > self.synced {
            self.commit().unwrap_or_else(|error| self.fail(error));
        }
        self.publish();
        for (done, refusal) in self.outcomes.drain(..) {
            done(refusal.or_else(|| self.failed.clone()).map_or(Ok(()), Err));
        }
        if purged && self.failed.is_none() {
            self.delete_dead_segments();
        }
        if let Some(done) = closing {
            let result = self.close();
            // Nothing is written any more, whatever happens. Whoever waits for the close may open the log again at once.
            self.lock = None;
            done(result);
            return true;
        }
        if self.failed.is_none() {
            self.prepare();
        }
        if self.queue.is_empty() && self.failed.is_none() && !self.marked {
            self.mark().unwrap_or_else(|error| self.fail(error));
        }
        if mark_again && self.failed.is_none() {
            self.mark_again().unwrap_or_else(|error| self.fail(error));
        }
        false
    }

    /// From now on every call is answered with an error. What a failed write or sync left on disk is
    /// unknown, and trying again would not make it known: a sync that succeeds later proves nothing.
    fn fail(&mut self, error: Error) {
        let mut view = self.shared.view();
        view.failed.get_or_insert_with(|| error.clone());
        self.failed.get_or_insert(error);
        self.changes.clear();
        self.buffer.clear();
    }

    fn encode(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Append { call, entries } => {
                for entry in &entries {
                    let slot = self.put(kind::ENTRY, ENTRY_HEAD + entry.payload.len(), |out| {
                        entry.id.put(out);
                        out.push(entry.kind);
                        out.extend_from_slice(&entry.payload);
                    })?;
                    self.summary.last = Some(entry.id);
                    self.changes.push(Change::Placed(entry.id.index, slot));
                    self.written += cost(entry);
                }
                self.call = call;
            }
            Action::Vote(vote) => {
                self.put(kind::VOTE, Vote::LENGTH, |out| vote.put(out))?;
                self.summary.vote = Some(vote);
            }
            Action::Truncate { call, to } => {
                self.put(kind::TRUNCATE, 1 + LogId::LENGTH, |out| {
                    LogId::put_option(to, out)
                })?;
                self.summary.last = to;
                self.changes.push(Change::Truncated(to.map(|to| to.index)));
                self.call = call;
            }
            Action::Purge { call, upto } => {
                self.put(kind::PURGE, LogId::LENGTH, |out| upto.put(out))?;
                self.summary.purged = Some(upto);
                if self.summary.last.is_none_or(|last| last.index <= upto.index) {
                    self.summary.last = Some(upto);
                }
                self.changes.push(Change::Purged(upto.index));
                self.call = call;
            }
            Action::Barrier | Action::MarkAgain | Action::Refuse(_) | Action::Close => {}
        }
        Ok(())
    }

    /// Adds a frame to the batch and says where it will be.
    fn put(&mut self, kind: u8, body: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<EntrySlot> {
        let length = (HEADER + body) as u32;
        if u64::from(self.end_of_batch()) + u64::from(length) + RESERVED as u64
            > u64::from(self.segment.header.size)
        {
            self.roll(length)?;
        } else if self.buffer.len() >= BUFFER_LIMIT {
            self.flush()?;
        }
        let offset = self.end_of_batch();
        frame::put(
            &mut self.buffer,
            self.segment.place(offset),
            self.synced,
            kind,
            write,
        );
        Ok(EntrySlot {
            segment: self.segment.header.sequence,
            offset,
            length,
        })
    }

    /// Where the batch ends so far. Segments are bounded well below 4 GiB, so nothing overflows.
    fn end_of_batch(&self) -> u32 {
        self.end + self.buffer.len() as u32
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.marked = false;
        self.segment
            .file
            .write_all_at(&self.buffer, u64::from(self.end))?;
        self.end = self.end_of_batch();
        self.shared.view().stats.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_LIMIT);
        self.fill()
    }

    /// Makes room for what comes behind the batch, to be synced with it.
    fn fill(&mut self) -> Result<()> {
        let size = self.segment.header.size;
        // The mark goes behind the end, too.
        if self.filled >= size.min(self.end.saturating_add(RESERVED as u32)) {
            return Ok(());
        }
        let zeros = &ZEROS[..(size - self.end).min(ZERO_FILL_BYTES) as usize];
        self.segment.file.write_all_at(zeros, u64::from(self.end))?;
        self.filled = self.end + zeros.len() as u32;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        if !planted!("acknowledge-before-fsync") {
            self.segment.file.sync_data()?;
        }
        self.synced = self.end;
        self.synced_since = true;
        self.shared.view().stats.syncs += 1;
        self.shared.synced.notify_one();
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.put_committed()?;
        self.flush()?;
        self.sync()
    }

    /// The committed id waits for a batch that is written anyway.
    fn put_committed(&mut self) -> Result<()> {
        let committed = self.shared.view().committed_as_of(self.call);
        if let Some(id) = committed.filter(|_| committed != self.summary.committed) {
            self.put(kind::COMMITTED, LogId::LENGTH, |out| id.put(out))?;
            self.summary.committed = committed;
        }
        Ok(())
    }

    /// Goes on in a new segment that has room for a frame of `length`. Everything before it is durable
    /// first, so that only the last segment can ever be torn.
    fn roll(&mut self, length: u32) -> Result<()> {
        self.flush()?;
        if self.end > self.synced {
            self.sync()?;
        }
        let old = self.segment.header.sequence;
        let sequence = old
            .checked_add(1)
            .ok_or_else(|| Error::internal("no segment numbers left"))?;
        let header = Header {
            sequence,
            size: self.segment_bytes.max(FIRST as u32 + length + RESERVED as u32),
            salt: salt(self.seed, sequence),
            previous_end: self.end,
            summary: self.summary,
            owner: Some(self.owner),
        };
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => retry_on_shortage(|| Segment::spare(&*self.disk, &self.dir))?,
        };
        let next = Segment::begin(&*self.disk, &self.dir, spare, &self.dir_sync, header)?;
        self.put_last(kind::SEAL, |out| put_u32(out, sequence))?;
        self.shared.view().segments.push_back(next.clone());
        self.segment = next;
        self.end = FIRST as u32;
        self.synced = self.end;
        self.filled = 0;
        Ok(())
    }

    /// Opens the file of the next segment, if that is possible now. It is not needed yet, so it is no failure if not.
    pub(super) fn prepare(&mut self) {
        if self.spare.is_none() {
            self.spare = Segment::spare(&*self.disk, &self.dir).ok();
        }
    }

    fn publish(&mut self) {
        let mut view = self.shared.view();
        if self.failed.is_none() {
            view.summary.vote = self.summary.vote;
            let placed = self
                .changes
                .iter()
                .filter(|change| matches!(change, Change::Placed(..)))
                .count();
            view.stats.entries += placed as u64;
            view.publish(&mut self.changes, self.call);
            view.unwritten = view.unwritten.saturating_sub(std::mem::take(&mut self.written));
        }
    }

    /// The record that allows this is durable. A file that cannot be removed does no harm: the next
    /// opening passes over it.
    fn delete_dead_segments(&mut self) {
        let dead = self
            .shared
            .view()
            .take_dead_segments(self.segment.header.sequence);
        for sequence in dead {
            if self.disk.remove(&self.dir.join(file_name(sequence))).is_err() {
                // The rest stays too, so that what is left has no hole.
                break;
            }
        }
    }

    /// The last handle is gone: a close that nobody waits for.
    fn finish(&mut self) {
        self.close().unwrap_or_else(|error| self.fail(error));
    }

    fn close(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.put_committed()?;
        self.flush()?;
        self.sync()?;
        self.settle()?;
        match self.spare.take() {
            Some(spare) => self.disk.remove(spare.path()),
            None => Ok(()),
        }
    }
}

impl Drop for WalWriter {
    fn drop(&mut self) {
        self.shared.view().closed = true;
        self.queue.close();
        while let Ok(op) = self.queue.try_recv() {
            if let Some(done) = op.done {
                done(Err(stopped()));
            }
        }
    }
}

/// The error after a failure, for calls that were made later.
pub(super) fn failed_earlier(error: &Error) -> Error {
    match error.code() {
        ErrorCode::Stopped => error.clone(),
        _ => error
            .clone()
            .context("the log takes nothing since an earlier failure"),
    }
}
