//! How much log there is: openraft counts entries, and one may be a mebibyte, and a snapshot that costs as much as all of
//! them.
//!
//! Every node counts what it applies, whether it leads, follows or replays its log after a start. When the log has
//! grown enough, beside the state, a snapshot is taken, and what is far enough behind it is purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::WatchReceiver;

use super::open::SnapshotPace;
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
#[derive(Debug)]
pub(crate) struct Meter {
    pace: SnapshotPace,
    entries: u64,
    since_snapshot: u64,
    since_mark: u64,
    /// The last entries before the last two marks, which stand [`KEPT_BYTES`] apart.
    marks: [u64; 2],
}

impl Meter {
    pub(crate) const fn new(pace: SnapshotPace) -> Self {
        Meter {
            pace,
            entries: 0,
            since_snapshot: 0,
            since_mark: 0,
            marks: [0; 2],
        }
    }

    /// Notes that the entry `index` with so many bytes was applied, where the last snapshot has so many.
    pub(crate) fn add(&mut self, growth: &Growth, index: u64, bytes: usize, snapshot: u64) {
        let bytes = bytes as u64;
        self.entries += 1;
        self.since_snapshot += bytes;
        self.since_mark += bytes;
        if self.since_mark >= KEPT_BYTES {
            self.since_mark = 0;
            self.marks = [self.marks[1], index];
        }
        let worth = snapshot.saturating_mul(self.pace.times).min(SNAPSHOT_BYTES);
        if self.since_snapshot >= SNAPSHOT_BYTES {
            growth.droppable.store(self.marks[0], Ordering::Release);
        } else if self.entries < self.pace.entries || self.since_snapshot < worth {
            return;
        }
        self.restart();
        growth.due.notify();
    }

    /// Notes that a snapshot is taken, for whatever reason, or was installed.
    pub(crate) const fn restart(&mut self) {
        self.entries = 0;
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

/// Takes a snapshot whenever one is due, and after many bytes drops what is far behind it: openraft's own policies count
/// entries. Ends when Raft does.
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
    fn a_snapshot_is_due_by_entries_where_they_outweigh_it() {
        let pace = SnapshotPace {
            entries: 100,
            times: 4,
            kept: 10,
        };
        // What is applied before one is due: entries of 1,000 bytes beside a snapshot of so many.
        for (snapshot, expected) in [(0, 100), (25_000, 100), (100_000, 400), (1 << 30, 67_109)] {
            let (growth, mut meter) = (Growth::default(), Meter::new(pace));
            for round in 1..3 {
                let count = (1..).find(|index| {
                    meter.add(&growth, *index, 1000, snapshot);
                    growth.due.count() == round
                });
                assert_eq!(count, Some(expected), "{snapshot}, {round}");
            }
        }
    }

    #[test]
    fn a_snapshot_is_due_by_bytes_and_the_last_of_the_log_stays() {
        let (growth, mut meter) = (Growth::default(), Meter::new(SnapshotPace::default()));
        let entry = 1024 * 1024;
        for index in 1..64 {
            meter.add(&growth, index, entry, 0);
            assert_eq!(growth.due.count(), 0, "after {index} MiB");
        }
        meter.add(&growth, 64, entry, 0);
        assert_eq!(growth.due.count(), 1);
        let droppable = growth.droppable.load(Ordering::Acquire);
        assert!((32..=48).contains(&droppable), "{droppable}");
        // One that was taken for another reason counts.
        for index in 65..100 {
            meter.add(&growth, index, entry, 0);
        }
        meter.restart();
        for index in 100..163 {
            meter.add(&growth, index, entry, 0);
        }
        assert_eq!(growth.due.count(), 1);
        meter.add(&growth, 163, entry, 0);
        assert_eq!(growth.due.count(), 2);
    }
}
