//! How much log there is, in bytes: openraft counts entries, and an entry may be a mebibyte.
//!
//! Every node counts what it applies, whether it leads, follows or replays its log after a start. When the log has
//! grown enough a snapshot is taken, and what is far enough behind it is purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::WatchReceiver;

use super::state_machine::Raft;
use crate::env::Signal;

/// After so many bytes of log a snapshot is taken, however few the entries are.
const SNAPSHOT_BYTES: u64 = 64 * 1024 * 1024;
/// At least so many bytes, and at most twice as many, stay in the log behind a snapshot, for followers that are a
/// little late.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Asks for snapshots in time.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    due: Signal,
    /// Up to this entry the log may go once the snapshot that is due covers it; 0 for none.
    droppable: AtomicU64,
}

/// Counts; belongs to the one task that applies.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    since_snapshot: u64,
    since_mark: u64,
    /// The last entries before the last two marks, which stand [`KEPT_BYTES`] apart.
    marks: [u64; 2],
}

impl Meter {
    /// Notes that the entry `index` with so many bytes was applied.
    pub(crate) fn add(&mut self, growth: &Growth, index: u64, bytes: usize) {
        let bytes = bytes as u64;
        self.since_snapshot += bytes;
        self.since_mark += bytes;
        if self.since_mark >= KEPT_BYTES {
            self.since_mark = 0;
            self.marks = [self.marks[1], index];
        }
        if self.since_snapshot >= SNAPSHOT_BYTES {
            self.since_snapshot = 0;
            growth.droppable.store(self.marks[0], Ordering::Release);
            growth.due.notify();
        }
    }

    /// Notes that a snapshot is taken, for whatever reason, or was installed.
    pub(crate) fn restart(&mut self) {
        self.since_snapshot = 0;
    }
}

impl Growth {
    /// Waits until a snapshot has been due more often than `seen`; how often, and up to which entry the log may go
    /// once there is one.
    pub(crate) async fn due(&self, seen: u64) -> (u64, u64) {
        let count = self.due.after(seen).await;
        (count, self.droppable.load(Ordering::Acquire))
    }
}

/// Takes a snapshot whenever the log has grown by many bytes, and then drops what is far behind it: openraft's own
/// policies count entries. Ends when Raft does.
pub(super) async fn bound_log(raft: Raft, growth: Arc<Growth>) {
    let mut metrics = raft.metrics();
    let (mut seen, mut droppable, mut dropped) = (0, 0, 0);
    loop {
        tokio::select! {
            biased;
            due = growth.due(seen) => {
                (seen, droppable) = due;
                if raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            changed = metrics.changed(), if droppable > dropped => {
                if changed.is_err() {
                    return;
                }
            }
        }
        let covered = metrics
            .borrow_watched()
            .snapshot
            .map_or(0, |snapshot| snapshot.index);
        if droppable > dropped && covered >= droppable {
            dropped = droppable;
            if raft.trigger().purge_log(droppable).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_by_bytes_and_the_last_of_the_log_stays() {
        let (growth, mut meter) = (Growth::default(), Meter::default());
        let entry = 1024 * 1024;
        for index in 1..64 {
            meter.add(&growth, index, entry);
            assert_eq!(growth.due.count(), 0, "after {index} MiB");
        }
        meter.add(&growth, 64, entry);
        assert_eq!(growth.due.count(), 1);
        let droppable = growth.droppable.load(Ordering::Acquire);
        assert!((32..=48).contains(&droppable), "{droppable}");
        // One that was taken for another reason counts.
        for index in 65..100 {
            meter.add(&growth, index, entry);
        }
        meter.restart();
        for index in 100..163 {
            meter.add(&growth, index, entry);
        }
        assert_eq!(growth.due.count(), 1);
        meter.add(&growth, 163, entry);
        assert_eq!(growth.due.count(), 2);
    }
}
