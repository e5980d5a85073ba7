//! Log compaction: when a snapshot is taken, and how much of the log is purged then. openraft's own policy counts entries,
//! but an entry may be a mebibyte, and a snapshot may cost as much as all entries together.
//!
//! Every node counts the entries and bytes that it applies, as leader, as follower, and while it replays its log. When the
//! log has grown enough in relation to the state, a snapshot is taken, and the log far behind it is purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::WatchReceiver;

use super::state_machine::Raft;
use crate::env::ChangeNotifier;
use crate::raft::open::SnapshotPace;

/// A snapshot is taken after so many bytes of log, however few the entries are.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// At least so many bytes, and at most twice as many, stay in the log behind a snapshot, for followers that are a
/// little late.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Says when a snapshot is due.
#[derive(Debug, Default)]
pub(crate) struct CompactionTrigger {
    due: ChangeNotifier,
    /// The log may be purged up to this entry once the snapshot that is due covers it; 0 for none.
    droppable: AtomicU64,
}

/// Counts log entries and bytes since the last snapshot; owned by the one task that applies.
#[derive(Debug)]
pub(crate) struct LogSizeTracker {
    pace: SnapshotPace,
    entries: u64,
    since_snapshot: u64,
    since_mark: u64,
    /// The last entries before the last two marks, which stand [`KEPT_BYTES`] apart.
    marks: [u64; 2],
}

impl LogSizeTracker {
    pub(crate) const fn new(pace: SnapshotPace) -> Self {
        LogSizeTracker {
            pace,
            entries: 0,
            since_snapshot: 0,
            since_mark: 0,
            marks: [0; 2],
        }
    }

    /// Counts the entry `index` of `bytes`, which was applied. `snapshot` is the size of the last snapshot in bytes.
    pub(crate) fn add(&mut self, compaction: &CompactionTrigger, index: u64, bytes: usize, snapshot: u64) {
        let bytes = bytes as u64;
        self.entries += 1;
        self.since_snapshot += bytes;
        self.since_mark += bytes;
        if self.since_mark >= KEPT_BYTES {
            self.since_mark = 0;
            self.marks = [self.marks[1], index];
        }
        let worth = snapshot.saturating_mul(self.pace.times).min(MAX_LOG_BYTES);
        if self.since_snapshot >= MAX_LOG_BYTES {
            compaction.droppable.store(self.marks[0], Ordering::Release);
        } else if self.entries < self.pace.entries || self.since_snapshot < worth {
            return;
        }
        self.restart();
        compaction.due.notify();
    }

    /// A snapshot is being taken, for whatever reason, or was installed.
    pub(crate) const fn restart(&mut self) {
        self.entries = 0;
        self.since_snapshot = 0;
    }
}

impl CompactionTrigger {
    /// Waits until a snapshot has been due more often than `seen`; gives how often, and up to which entry the log may be
    /// purged once the snapshot is there.
    pub(crate) async fn due(&self, seen: u64) -> (u64, u64) {
        let count = self.due.after(seen).await;
        (count, self.droppable.load(Ordering::Acquire))
    }
}

/// Takes a snapshot whenever one is due, and purges the log far behind it. Ends when Raft does.
pub(in crate::raft) async fn run_compaction(raft: Raft, compaction: Arc<CompactionTrigger>) {
    let mut metrics = raft.metrics();
    let (mut seen, mut droppable, mut dropped) = (0, 0, 0);
    loop {
        tokio::select! {
            biased;
            due = compaction.due(seen) => {
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
    fn a_snapshot_is_due_by_entries_where_they_outweigh_it() {
        let pace = SnapshotPace {
            entries: 100,
            times: 4,
            kept: 10,
        };
        // What is applied before one is due: entries of 1,000 bytes beside a snapshot of so many.
        for (snapshot, expected) in [(0, 100), (25_000, 100), (100_000, 400), (1 << 30, 67_109)] {
            let (compaction, mut log_size) = (CompactionTrigger::default(), LogSizeTracker::new(pace));
            for round in 1..3 {
                let count = (1..).find(|index| {
                    log_size.add(&compaction, *index, 1000, snapshot);
                    compaction.due.count() == round
                });
                assert_eq!(count, Some(expected), "{snapshot}, {round}");
            }
        }
    }

    #[test]
    fn a_snapshot_is_due_by_bytes_and_the_last_of_the_log_stays() {
        let (compaction, mut log_size) = (
            CompactionTrigger::default(),
            LogSizeTracker::new(SnapshotPace::default()),
        );
        let entry = 1024 * 1024;
        for index in 1..64 {
            log_size.add(&compaction, index, entry, 0);
            assert_eq!(compaction.due.count(), 0, "after {index} MiB");
        }
        log_size.add(&compaction, 64, entry, 0);
        assert_eq!(compaction.due.count(), 1);
        let droppable = compaction.droppable.load(Ordering::Acquire);
        assert!((32..=48).contains(&droppable), "{droppable}");
        // One that was taken for another reason counts.
        for index in 65..100 {
            log_size.add(&compaction, index, entry, 0);
        }
        log_size.restart();
        for index in 100..163 {
            log_size.add(&compaction, index, entry, 0);
        }
        assert_eq!(compaction.due.count(), 1);
        log_size.add(&compaction, 163, entry, 0);
        assert_eq!(compaction.due.count(), 2);
    }
}
