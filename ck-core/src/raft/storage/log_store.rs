//! The log storage for openraft, backed by the write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use super::wal::{Done, Wal};
use crate::error::Error;
use crate::raft::codec::{from_wal_entry, to_wal_entry};
use crate::raft::types::{
    Entry, LogId, Types, Vote, from_wal_id, from_wal_vote, io_error, to_wal_id, to_wal_vote,
};

/// The most bytes that one limited read of the log returns. It bounds the memory that replication holds per follower.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// The log storage. Clones share the log.
#[derive(Clone)]
pub(crate) struct LogStore {
    wal: Arc<Wal>,
    /// The last index of the newest durable snapshot; `None` where there are no snapshots.
    snapshot: Option<Arc<AtomicU64>>,
}

impl LogStore {
    pub(crate) fn new(wal: Arc<Wal>) -> Self {
        LogStore { wal, snapshot: None }
    }

    /// Refuses to purge entries that no durable snapshot covers: without the entries and without the snapshot the node
    /// could not start again.
    pub(crate) fn behind(mut self, snapshot: Arc<AtomicU64>) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Refuses an incomplete read of a log that has failed. Such a log did not store every entry that openraft
    /// appended, and with a short answer openraft would take those entries for applied. A healthy log may answer with
    /// fewer entries than were asked for.
    fn check_complete(&self, asked: u64, held: u64) -> Result<(), io::Error> {
        match self.wal.failure() {
            Some(error) if asked > held => Err(io_error(error)),
            _ => Ok(()),
        }
    }
}

/// A completion callback for the log, and the future that waits for it.
fn completion() -> (Done, impl Future<Output = io::Result<()>>) {
    let (tx, rx) = tokio::sync::oneshot::channel();
    // The receiver is dropped only with the future of its caller, and then the result does not matter.
    let done: Done = Box::new(move |result| drop(tx.send(result)));
    let wait = async move {
        match rx.await {
            Ok(result) => result.map_err(io_error),
            Err(_) => Err(io_error(Error::internal("the log was closed"))),
        }
    };
    (done, wait)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(n) => *n,
            Bound::Excluded(n) => n.saturating_add(1),
            Bound::Unbounded => self.wal.purged().map_or(0, |id| id.index + 1),
        };
        let end = match range.end_bound() {
            Bound::Included(n) => n.saturating_add(1),
            Bound::Excluded(n) => *n,
            Bound::Unbounded => u64::MAX,
        };
        let held = self.wal.last().map_or(0, |id| id.index + 1);
        if end != u64::MAX {
            self.check_complete(end, held)?;
        }
        let end = end.min(held);
        if start >= end {
            return Ok(Vec::new());
        }
        let entries = self
            .wal
            .read_async(start..end, u64::MAX)
            .await
            .map_err(io_error)?;
        entries
            .into_iter()
            .map(|entry| from_wal_entry(entry).map_err(io_error))
            .collect()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.wal.vote().map(from_wal_vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let held = self.wal.last().map_or(0, |id| id.index + 1);
        self.check_complete(end, held)?;
        let end = end.min(held);
        if start >= end {
            return Ok(Vec::new());
        }
        let entries = self
            .wal
            .read_async(start..end, MAX_READ_BYTES)
            .await
            .map_err(io_error)?;
        entries
            .into_iter()
            .map(|entry| from_wal_entry(entry).map_err(io_error))
            .collect()
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let last_purged_log_id = self.wal.purged().map(from_wal_id);
        let last_log_id = self.wal.last().map(from_wal_id).or(last_purged_log_id);
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        planted!("lose-a-vote", return Ok(()));
        let (done, wait) = completion();
        self.wal.save_vote(to_wal_vote(vote), done);
        wait.await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(id) = committed {
            self.wal.save_committed(to_wal_id(id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.wal.committed().map(from_wal_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries = entries
            .into_iter()
            .map(|entry| to_wal_entry(&entry).map_err(io_error))
            .collect::<io::Result<Vec<_>>>()?;
        self.wal.append(
            entries,
            Box::new(move |result| callback.io_completed(result.map_err(io_error))),
        );
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        planted!("skip-truncate", return Ok(()));
        let (done, wait) = completion();
        self.wal.truncate_after(last_log_id.map(to_wal_id), done);
        wait.await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        if let Some(snapshot) = &self.snapshot
            && log_id.index > snapshot.load(Ordering::Acquire)
        {
            return Err(io::Error::other(format!(
                "entry {} is in no durable snapshot, and must not be purged",
                log_id.index
            )));
        }
        let (done, wait) = completion();
        self.wal.purge_to(to_wal_id(log_id), done);
        wait.await
    }
}
