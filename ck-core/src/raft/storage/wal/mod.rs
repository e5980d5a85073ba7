//! ClusterKit's write-ahead log: one queue for votes, entries, truncations and purges, one writer.
//!
//! A call changes what readers see and joins the queue; the [`WalWriter`] takes whatever has queued up,
//! writes it with one write, syncs once, and only then answers, in order. So the more callers there are,
//! the more of them share a sync. What must stay true:
//!
//! - Nothing is acknowledged that a power loss could take back.
//! - After the first failed write or sync nothing is acknowledged any more. Reads go on.
//! - What was acknowledged is there after opening, or opening fails and names file and offset.
//! - No content of a file, however crafted, makes this panic or allocate more than the file is long.
//!
//! On disk: a folder of segments (`segment.rs`) full of frames (`frame.rs`). The log only grows at its end;
//! truncating is a record like any other, and purging deletes whole segments.
//!
//! The one loss that cannot be told from a torn tail: the last acknowledged batches are damaged, with the mark behind
//! them, *and* the second mark is older than they are. That one is written a moment after a sync
//! ([`Wal::keep_marked`]), at the close and at the opening, so this is the work of that moment, before a process that was
//! killed. All segments deleted at once look like a new log: whoever knows that there was one has to look for it first
//! ([`Wal::exists`]).
//!
//! One thread, `ck-wal`, drives the writer ([`WalWriter::spawn`]); in a simulation a task does ([`WalWriter::run`]). One
//! lock guards the view that readers see (`view.rs`): a call changes the view and joins the queue under it, so both
//! happen in the same order. It is held neither while the disk is read or written nor while a callback runs.
//!
//! Start with [`Wal::append`], then `WalWriter::step` in `writer.rs`. `recovery.rs` opens a log.

mod frame;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod marks;
mod read;
mod recovery;
mod segment;
mod types;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};

pub use types::{Entry, LogId, Owner, Vote};
pub(crate) use types::{WHAT_TO_DO, too_long_is_damage};
pub use writer::{WalThread, WalWriter};

use crate::env::disk::{Disk, LockCheck};
use crate::env::{self, Instant};
use crate::{Error, ErrorCode, Result};
use recovery::Recovered;
use segment::{Header, Summary};
use view::{View, WalShared};
use writer::{Action, Op, failed_earlier};

/// The longest payload of an entry, in bytes.
pub const MAX_PAYLOAD: usize = 64 << 20;
const MIN_SEGMENT: u32 = 16 << 10;
const MAX_SEGMENT: u32 = 1 << 30;
/// How long after a sync the second mark is written. It bounds how much a lost tail can take along unnoticed, and how
/// often a sync has one more place to write to.
const MARK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Called exactly once with the outcome of a call: on the writer's thread, or on the caller's when the
/// log is closed. It must not block, since everybody waits for the writer; it may call the log.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// The length of a segment in bytes, 16 KiB to 1 GiB (values outside are moved to the bound). A new
    /// segment is begun when one is full; purging frees whole segments. Default 8 MiB.
    pub segment_bytes: u32,
    /// How much of the newest entries is kept in memory, in bytes. More is held only while it is not
    /// durable. Default 32 MiB.
    pub cache_bytes: u64,
    /// Any number that others do not know: it salts the checksums, so that no payload passes for a part
    /// of the log. Random by default; simulations fix it.
    pub seed: u64,
    /// Whose log it is. One that belongs to somebody else is refused. The default is nobody, for logs that belong to no node.
    pub owner: Owner,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            segment_bytes: 8 << 20,
            cache_bytes: 32 << 20,
            seed: rand::random(),
            owner: Owner::default(),
        }
    }
}

/// What the log has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes written, frames included.
    pub bytes: u64,
    /// Batches made durable.
    pub syncs: u64,
    /// Entries made durable.
    pub entries: u64,
    /// Bytes of entries in the cache.
    pub cached_bytes: u64,
    /// Segment files.
    pub segments: u64,
}

/// The log: a handle to be cloned and used from any thread. No call but a [`read`](Wal::read) of entries
/// that have left the cache waits for the disk.
#[derive(Clone)]
pub struct Wal {
    shared: Arc<WalShared>,
    queue: UnboundedSender<Op>,
    lock_check: LockCheck,
}

impl Wal {
    /// Opens the log in a folder, or creates it. Takes the folder's lock until the writer is gone or the
    /// log is closed.
    ///
    /// A torn tail, which was never acknowledged, is cut. Errors: [`ErrorCode::Corrupt`] (names file and
    /// offset), [`ErrorCode::DataDirInUse`], [`ErrorCode::Io`], [`ErrorCode::Version`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &WalOptions) -> Result<(Wal, WalWriter)> {
        let segment_bytes = options.segment_bytes.clamp(MIN_SEGMENT, MAX_SEGMENT);
        let first = Header {
            sequence: 1,
            size: segment_bytes,
            salt: salt(options.seed, 1),
            previous_end: 0,
            summary: Summary::default(),
            owner: Some(options.owner),
        };
        let Recovered {
            lock,
            dir_sync,
            summary,
            slots,
            segments,
            current,
            end,
        } = recovery::open(&*disk, dir, first)?;
        let shared = Arc::new(WalShared::new(View::new(
            summary,
            slots,
            segments,
            options.cache_bytes,
        )));
        let (sender, queue) = mpsc::unbounded_channel();
        let lock_check = lock.check();
        let mut writer = WalWriter {
            shared: shared.clone(),
            queue,
            disk,
            dir: dir.to_owned(),
            segment_bytes,
            seed: options.seed,
            owner: options.owner,
            lock: Some(lock),
            dir_sync,
            spare: None,
            segment: current,
            end,
            synced: end,
            filled: 0,
            marked: false,
            next_mark: 0,
            synced_since: false,
            summary,
            call: 0,
            buffer: Vec::new(),
            changes: Vec::new(),
            written: 0,
            outcomes: Vec::new(),
            failed: None,
        };
        // What was recovered may be acknowledged from now on, so from now on its damage must show.
        writer.settle()?;
        writer.prepare();
        Ok((
            Wal {
                shared,
                queue: sender,
                lock_check,
            },
            writer,
        ))
    }

    /// The last durable vote.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.view().summary.vote
    }

    /// The last entry that was purged; the log begins after it.
    pub fn purged(&self) -> Option<LogId> {
        self.shared.view().summary.purged
    }

    /// The last entry, or the last purged one if there are none.
    pub fn last(&self) -> Option<LogId> {
        self.shared.view().summary.last
    }

    /// The id of an entry, where it is in memory.
    pub(crate) fn id_at(&self, index: u64) -> Option<LogId> {
        self.shared.view().id_at(index)
    }

    /// The last id given to [`save_committed`](Wal::save_committed); after a restart it may be an earlier
    /// one, but never one beyond [`last`](Wal::last).
    pub fn committed(&self) -> Option<LogId> {
        self.shared.view().summary.committed
    }

    /// Adds entries at the end. They can be read when this returns, and are durable when `done` is called
    /// with `Ok`. The first must follow the last one there is (0 or 1 in an empty log) and each next its
    /// predecessor, else [`ErrorCode::InvalidArgument`]; too long a payload is [`ErrorCode::TooLarge`].
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        self.submit(done, |view| {
            let call = view.append(&entries)?;
            Ok(Action::Append { call, entries })
        });
    }

    /// Replaces the vote; durable when `done` is called with `Ok`, and only then to be answered.
    pub fn save_vote(&self, vote: Vote, done: Done) {
        self.submit(done, |_| Ok(Action::Vote(vote)));
    }

    /// Removes the entries after the one given, or all for `None`. Ending the log where it ends, or
    /// beyond, changes nothing. An id that the log does not hold, or that was purged, is
    /// [`ErrorCode::InvalidArgument`] (as far as the log can tell without reading the disk).
    pub fn truncate_after(&self, last: Option<LogId>, done: Done) {
        self.submit(done, |view| {
            Ok(match view.truncate(last)? {
                Some((call, to)) => Action::Truncate { call, to },
                None => Action::Barrier,
            })
        });
    }

    /// Removes the entries up to the one given, inclusive. It may lie beyond the end (a snapshot was
    /// installed): the log is then empty and goes on after it. Purging what is purged changes nothing.
    pub fn purge_to(&self, upto: LogId, done: Done) {
        self.submit(done, |view| {
            Ok(match view.purge(upto) {
                Some(call) => Action::Purge { call, upto },
                None => Action::Barrier,
            })
        });
    }

    /// Notes that the log is committed up to an entry. It is written with the next batch or at the close,
    /// never before that entry, and never causes a sync.
    pub fn save_committed(&self, id: LogId) {
        self.shared.view().save_committed(id);
    }

    /// Writes the second mark, which covers what is durable by then. For quiet moments: it lies far from the tail, so the next
    /// sync has one more place to write to, and where nobody waits its two copies have a sync between them.
    pub fn mark_again(&self) {
        let view = self.shared.view();
        if !view.closed && view.failed.is_none() {
            // Where there is no writer any more nothing needs a mark.
            let _ = self.enqueue(
                &view,
                Op {
                    action: Action::MarkAgain,
                    done: None,
                },
            );
        }
    }

    /// Writes the second mark a moment after anything became durable, for as long as the log is open. To be driven by
    /// a task, once.
    pub async fn keep_marked(&self) {
        loop {
            self.shared.synced.notified().await;
            env::sleep(MARK_AGAIN_AFTER).await;
            self.mark_again();
            if self.shared.view().closed {
                return;
            }
        }
    }

    /// True when a log has been begun in a folder.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the folder cannot be read.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        recovery::exists(disk, dir)
    }

    /// The entries of a range that the log holds, in order: as many as fit into `max_bytes`, but at least
    /// one if there is one. What was purged or not yet appended is left out; there are no holes.
    ///
    /// Recent entries come from memory, older ones from disk: [`ErrorCode::Io`], [`ErrorCode::Corrupt`].
    pub fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<Entry>> {
        let plan = self.shared.view().plan(range, max_bytes)?;
        plan.read()
    }

    /// The same for a task: what is not in memory is read where that holds nothing up but the caller.
    pub(crate) async fn read_async(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<Entry>> {
        let plan = self.shared.view().plan(range, max_bytes)?;
        if plan.runs.is_empty() {
            return plan.read();
        }
        env::blocking(move || plan.read()).await?
    }

    /// What the log has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.shared.view().stats()
    }

    /// Since when the writer has been waiting for the disk to answer, if it is.
    pub fn waits_since(&self) -> Option<Instant> {
        self.shared.busy_since()
    }

    /// How many bytes were handed in and are not durable yet.
    pub fn unwritten(&self) -> u64 {
        self.shared.view().unwritten
    }

    /// Looks, without writing, whether the log's folder is still there and may be written. May wait for the disk.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]: it was removed, replaced, unmounted, or turned read-only.
    pub fn check_disk(&self) -> Result<()> {
        (self.lock_check)()
    }

    /// Says that the disk has failed, whatever the writer has seen of it: as after a write that failed, nothing is
    /// acknowledged from now on but what is being written already. Reads go on.
    pub fn fail(&self, error: Error) {
        self.shared.view().failed.get_or_insert(error);
    }

    /// Why nothing is acknowledged any more, if the disk has failed.
    pub fn failure(&self) -> Option<Error> {
        self.shared.view().failed.clone()
    }

    /// Makes everything queued durable, answers it, gives the folder's lock back, then calls `done`.
    /// Later changes are answered with [`ErrorCode::Stopped`]; reads go on. Dropping the last handle
    /// does the same without an answer.
    pub fn close(&self, done: Done) {
        let mut view = self.shared.view();
        let action = if view.closed {
            Action::Refuse(stopped())
        } else {
            Action::Close
        };
        view.closed = true;
        self.enqueue(
            &view,
            Op {
                action,
                done: Some(done),
            },
        )
        .unwrap_or_else(|done| {
            drop(view);
            done(Err(stopped()));
        });
    }

    fn submit(&self, done: Done, change: impl FnOnce(&mut View) -> Result<Action>) {
        let mut view = self.shared.view();
        let refusal = if view.closed {
            Some(stopped())
        } else {
            view.failed.as_ref().map(failed_earlier)
        };
        // What will never be written must not be shown to readers either, nor fill the memory.
        let action = refusal
            .map_or_else(|| change(&mut view), Err)
            .unwrap_or_else(Action::Refuse);
        self.enqueue(
            &view,
            Op {
                action,
                done: Some(done),
            },
        )
        .unwrap_or_else(|done| {
            drop(view);
            done(Err(stopped()));
        });
    }

    /// Calls change the view and join the queue under one lock, so both happen in the same order. Gives
    /// the callback back, to be called without the lock, when there is no writer any more.
    fn enqueue(&self, _locked: &View, op: Op) -> std::result::Result<(), Done> {
        match self.queue.send(op) {
            Err(mpsc::error::SendError(Op { done: Some(done), .. })) => Err(done),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.shared.view();
        f.debug_struct("Wal")
            .field("summary", &view.summary)
            .field("stats", &view.stats())
            .finish()
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the log is closed")
}

/// Begins the checksums of a segment: not to be guessed without the seed.
fn salt(seed: u64, sequence: u32) -> u32 {
    let seeded = crc32c::crc32c_append((seed >> 32) as u32, &sequence.to_le_bytes());
    crc32c::crc32c_append(seeded, &(seed as u32).to_le_bytes())
}
