//! What readers see: the log as it was handed in, ahead of the disk by what is still in the queue.
//!
//! Two parts make up the entries. The *cache* holds a suffix of the log and changes the moment a call is
//! made. The *slots* say where entries lie on disk and change when the writer has made a batch durable,
//! in the order of the queue. An entry leaves the cache only when it is durable, so a reader who does not
//! find it there finds its slot, and slots of entries that a queued truncation makes void are hidden by
//! the cache or by the end of the log.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::read::{Plan, Run};
use super::segment::{Segment, Summary};
use super::types::{Entry, LogId};
use super::{MAX_PAYLOAD, Stats};
use crate::env::Instant;
use crate::{Error, ErrorCode, Result};

/// What an entry costs beside its payload: in the cache's budget and, about, on disk.
const ENTRY_OVERHEAD: u64 = 96;

/// Where an entry's frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntrySlot {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// The places of consecutive entries.
#[derive(Debug, Default)]
pub(super) struct Slots {
    first: u64,
    list: VecDeque<EntrySlot>,
}

impl Slots {
    pub(super) fn push(&mut self, index: u64, slot: EntrySlot) {
        if self.list.is_empty() {
            self.first = index;
        }
        self.list.push_back(slot);
    }

    /// Keeps what is at `last` or before it; nothing for `None`.
    pub(super) fn truncate(&mut self, last: Option<u64>) {
        let kept = last.map_or(0, |last| last.saturating_add(1).saturating_sub(self.first));
        self.list.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Drops what is at `upto` or before it.
    pub(super) fn purge(&mut self, upto: u64) {
        let gone = upto.saturating_add(1).saturating_sub(self.first);
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.list.len());
        self.list.drain(..gone);
        self.first += gone as u64;
    }

    pub(super) fn first(&self) -> Option<(u64, EntrySlot)> {
        self.list.front().map(|slot| (self.first, *slot))
    }

    fn get(&self, index: u64) -> Option<EntrySlot> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.list.get(at).copied()
    }
}

/// What a durable batch did to the slots.
pub(super) enum Change {
    Placed(u64, EntrySlot),
    Truncated(Option<u64>),
    Purged(u64),
}

struct Cached {
    entry: Entry,
    /// The number of the call that brought it: durable when that call is.
    call: u64,
}

pub(super) struct View {
    /// `vote` is the last durable one; the rest is as handed in.
    pub(super) summary: Summary,
    /// The first index that the log has or will have.
    first: u64,
    cache: VecDeque<Cached>,
    cached_bytes: u64,
    cache_limit: u64,
    pub(super) slots: Slots,
    pub(super) segments: VecDeque<Segment>,
    /// The number of the last call that changed the log.
    calls: u64,
    /// The last call whose effect is durable.
    durable: u64,
    /// `summary.committed` may be written once this call has been.
    committed_after: u64,
    pub(super) failed: Option<Error>,
    pub(super) closed: bool,
    /// Bytes of entries that were handed in and are not durable yet.
    pub(super) unwritten: u64,
    pub(super) stats: Stats,
}

pub(super) struct WalShared {
    view: Mutex<View>,
    /// Since when the writer waits for the disk, in nanoseconds of the clock; 0 while it does not.
    busy_since: AtomicU64,
    /// Told after each sync.
    pub(super) synced: Notify,
}

impl WalShared {
    pub(super) fn new(view: View) -> Self {
        WalShared {
            view: Mutex::new(view),
            busy_since: AtomicU64::new(0),
            synced: Notify::new(),
        }
    }

    /// The writer begins a batch: from now on it waits for the disk.
    pub(super) fn begin(&self) {
        self.busy_since
            .store(Instant::now().nanos().max(1), Ordering::Release);
    }

    /// The batch is done.
    pub(super) fn end(&self) {
        self.busy_since.store(0, Ordering::Release);
    }

    /// Since when the writer waits for the disk, if it does.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        match self.busy_since.load(Ordering::Acquire) {
            0 => None,
            since => Some(Instant::from_nanos(since)),
        }
    }

    /// Nothing under this lock can leave the view half changed.
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock()
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

impl View {
    pub(super) fn new(
        mut summary: Summary,
        slots: Slots,
        segments: VecDeque<Segment>,
        cache_limit: u64,
    ) -> Self {
        // Only an id that was handed in for an entry that never came can lie beyond the end. It says
        // nothing about the entries that are there; that what was purged is committed holds in any case.
        if summary.committed.map(|id| id.index) > summary.last.map(|id| id.index) {
            summary.committed = summary.purged;
        }
        let first = match summary.purged {
            Some(purged) => purged.index.saturating_add(1),
            None => slots.first,
        };
        View {
            summary,
            first,
            cache: VecDeque::new(),
            cached_bytes: 0,
            cache_limit,
            slots,
            segments,
            calls: 0,
            durable: 0,
            committed_after: 0,
            failed: None,
            closed: false,
            unwritten: 0,
            stats: Stats::default(),
        }
    }

    /// Takes entries in and returns the number of the call.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<u64> {
        let first = entries.first().map_or(0, |entry| entry.id.index);
        let next = match self.summary.last {
            Some(last) => last.index.saturating_add(1),
            // An empty log begins where the caller likes: after a snapshot that is nowhere near 0.
            None => first,
        };
        for (entry, expected) in entries.iter().zip(next..) {
            let index = entry.id.index;
            if index != expected || index == u64::MAX {
                return Err(invalid(format!(
                    "entry {index} cannot follow: the next is {expected}"
                )));
            }
            let length = entry.payload.len();
            if length > MAX_PAYLOAD {
                let message = format!("entry {index}: {length} bytes, at most {MAX_PAYLOAD} are allowed");
                return Err(Error::new(ErrorCode::TooLarge, message));
            }
        }
        if self.summary.last.is_none() {
            self.first = first;
        }
        self.calls += 1;
        let call = self.calls;
        for entry in entries {
            self.cached_bytes += cost(entry);
            self.unwritten += cost(entry);
            self.cache.push_back(Cached {
                entry: entry.clone(),
                call,
            });
        }
        if let Some(entry) = entries.last() {
            self.summary.last = Some(entry.id);
        }
        Ok(call)
    }

    /// Ends the log at `to`; says what the log ends with now, or `None` when nothing changed.
    pub(super) fn truncate(&mut self, to: Option<LogId>) -> Result<Option<(u64, Option<LogId>)>> {
        // What was purged is committed: it cannot be taken back, only what comes after it.
        let to = to.or(self.summary.purged);
        let Some(last) = self.summary.last else {
            return Ok(None);
        };
        if let Some(to) = to {
            if to.index > last.index || to == last {
                return Ok(None);
            }
            let purged = self.summary.purged;
            if purged.is_some_and(|purged| to.index < purged.index) {
                return Err(invalid(format!(
                    "cannot truncate after {}: it was purged",
                    to.index
                )));
            }
            let held = if purged.is_some_and(|purged| purged.index == to.index) {
                purged
            } else {
                self.cached(to.index).map(|cached| cached.entry.id)
            };
            if held.is_some_and(|held| held != to) {
                return Err(invalid(format!(
                    "cannot truncate after {to:?}: the log holds {held:?}"
                )));
            }
        }
        while let Some(cached) = self.cache.back() {
            if to.is_some_and(|to| cached.entry.id.index <= to.index) {
                break;
            }
            self.cached_bytes -= cost(&cached.entry);
            self.cache.pop_back();
        }
        self.summary.last = to;
        self.calls += 1;
        Ok(Some((self.calls, to)))
    }

    /// Drops the log up to `upto`, which may lie beyond its end; `None` when nothing changed. That is so, too, where the
    /// log begins later: it would have a hole between what was purged and its first entry.
    pub(super) fn purge(&mut self, upto: LogId) -> Option<u64> {
        if self
            .summary
            .purged
            .is_some_and(|purged| purged.index >= upto.index)
            || self.summary.last.is_some() && upto.index.saturating_add(1) < self.first
        {
            return None;
        }
        while let Some(cached) = self.cache.front() {
            if cached.entry.id.index > upto.index {
                break;
            }
            self.evict_front();
        }
        self.summary.purged = Some(upto);
        if self.summary.last.is_none_or(|last| last.index <= upto.index) {
            self.summary.last = Some(upto);
        }
        self.first = upto.index.saturating_add(1);
        self.calls += 1;
        Some(self.calls)
    }

    pub(super) fn save_committed(&mut self, id: LogId) {
        // The record must not overtake the entry: after a crash between the two, the log might hold
        // another entry in that place, and it would pass for committed.
        self.committed_after = match self.cached(id.index) {
            Some(cached) => cached.call,
            None if self.summary.last.is_some_and(|last| id.index <= last.index) => 0,
            None => self.calls,
        };
        self.summary.committed = Some(id);
    }

    /// The committed id, if every call up to the one that it depends on has been written.
    pub(super) fn committed_as_of(&self, call: u64) -> Option<LogId> {
        self.summary.committed.filter(|_| self.committed_after <= call)
    }

    /// Takes in what the writer has made durable.
    pub(super) fn publish(&mut self, changes: &mut Vec<Change>, call: u64) {
        for change in changes.drain(..) {
            match change {
                Change::Placed(index, slot) => self.slots.push(index, slot),
                Change::Truncated(last) => self.slots.truncate(last),
                Change::Purged(upto) => self.slots.purge(upto),
            }
        }
        self.durable = call;
        while self.cached_bytes > self.cache_limit
            && self
                .cache
                .front()
                .is_some_and(|cached| cached.call <= self.durable)
        {
            self.evict_front();
        }
    }

    /// Takes out the segments before `current` in which no entry lives any more.
    pub(super) fn take_dead_segments(&mut self, current: u32) -> Vec<u32> {
        let alive = self.slots.first().map_or(current, |(_, slot)| slot.segment);
        let mut dead = Vec::new();
        while let Some(segment) = self.segments.front() {
            if segment.header.sequence >= alive {
                break;
            }
            dead.push(segment.header.sequence);
            self.segments.pop_front();
        }
        dead
    }

    pub(super) fn stats(&self) -> Stats {
        let segments = self.segments.len() as u64;
        Stats {
            cached_bytes: self.cached_bytes,
            segments,
            ..self.stats
        }
    }

    /// Where the entries of a range are, as many as fit into `max_bytes`, but at least one.
    pub(super) fn plan(&self, range: Range<u64>, max_bytes: u64) -> Result<Plan> {
        let end = self
            .summary
            .last
            .map_or(0, |last| last.index.saturating_add(1))
            .min(range.end);
        let start = range.start.max(self.first);
        let cached_from = self.cache.front().map_or(end, |cached| cached.entry.id.index);
        let mut plan = Plan::default();
        let mut bytes = 0;
        for index in start..end {
            let fits = |cost: u64| bytes == 0 || bytes + cost <= max_bytes;
            if index < cached_from {
                let missing = || Error::internal(format!("log entry {index} has no place"));
                let slot = self.slots.get(index).ok_or_else(missing)?;
                if !fits(u64::from(slot.length)) {
                    return Ok(plan);
                }
                bytes += u64::from(slot.length);
                if !plan.runs.last_mut().is_some_and(|run| run.extend(slot)) {
                    let segment = self.segment(slot.segment).ok_or_else(missing)?;
                    plan.runs.push(Run::new(segment.clone(), index, slot));
                }
            } else {
                let missing = || Error::internal(format!("log entry {index} is not in the cache"));
                let entry = &self.cached(index).ok_or_else(missing)?.entry;
                if !fits(cost(entry)) {
                    return Ok(plan);
                }
                bytes += cost(entry);
                plan.cached.push(entry.clone());
            }
        }
        Ok(plan)
    }

    fn segment(&self, sequence: u32) -> Option<&Segment> {
        let first = self.segments.front()?.header.sequence;
        self.segments
            .get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    pub(super) fn id_at(&self, index: u64) -> Option<LogId> {
        self.cached(index).map(|cached| cached.entry.id)
    }

    fn cached(&self, index: u64) -> Option<&Cached> {
        let first = self.cache.front()?.entry.id.index;
        self.cache.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    fn evict_front(&mut self) {
        if let Some(cached) = self.cache.pop_front() {
            self.cached_bytes -= cost(&cached.entry);
        }
    }
}

pub(super) fn cost(entry: &Entry) -> u64 {
    entry.payload.len() as u64 + ENTRY_OVERHEAD
}
