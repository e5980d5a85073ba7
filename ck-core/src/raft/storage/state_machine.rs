//! The state machine for openraft: applies entries, builds and installs snapshots.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;

use super::log_compaction::{CompactionTrigger, LogSizeTracker};
use super::snapshot_file;
use super::wal::{Owner, WHAT_TO_DO};
use crate::env;
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::raft::applied_state::{AppliedState, LogItem};
use crate::raft::codec::SnapshotHeader;
use crate::raft::open::SnapshotPace;
use crate::raft::types::{Applied, LogId, SnapshotMeta, StoredMembership, Types, io_error};
use crate::rpc::{decode, encode};
use crate::state::State;

/// The most entries that are applied under one lock and published as one view.
const MAX_APPLY_BATCH: usize = 1024;

pub(crate) type Snapshot =
    openraft::storage::Snapshot<openraft::alias::CommittedLeaderIdOf<Types>, u64, openraft::EmptyNode, Bytes>;

/// The store of the newest snapshot: one file on the disk.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    owner: Owner,
    /// The last index of the newest durable snapshot; 0 if there is none.
    durable: Arc<AtomicU64>,
    /// The size of its state in bytes.
    length: Arc<AtomicU64>,
    /// Held while a snapshot is written.
    writing: Arc<Mutex<()>>,
}

impl SnapshotStore {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, owner: Owner) -> Self {
        SnapshotStore {
            disk,
            path,
            owner,
            durable: Arc::default(),
            length: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// The last index of the newest durable snapshot; 0 if there is none.
    pub(crate) fn durable(&self) -> Arc<AtomicU64> {
        self.durable.clone()
    }

    fn note(&self, meta: &SnapshotMeta, state: &Bytes) {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.durable.fetch_max(index, Ordering::AcqRel);
        self.length.store(state.len() as u64, Ordering::Release);
    }

    fn read(&self) -> Result<Option<(SnapshotMeta, Bytes)>> {
        let Some((head, state)) = snapshot_file::read(&*self.disk, &self.path, self.owner)? else {
            return Ok(None);
        };
        let meta = decode(&head, "the head of the snapshot").and_then(SnapshotHeader::into_meta);
        let meta = meta.map_err(|error| self.of_no_use(&error))?;
        Ok(Some((meta, state)))
    }

    /// The error for a snapshot whose checksum is right but which cannot be decoded.
    fn of_no_use(&self, error: &Error) -> Error {
        let what_to_do = match error.code() {
            ErrorCode::Version => "start the version that wrote it, or a later one",
            _ => WHAT_TO_DO,
        };
        let message = format!("{}: {}; {what_to_do}", self.path.display(), error.message());
        Error::new(error.code(), message)
    }

    /// The stored snapshot, from which the node starts. The folder is synced, because the previous process may have
    /// died before the name of the file was durable.
    fn open(&self) -> Result<Option<(SnapshotMeta, Bytes)>> {
        let stored = self.read()?;
        if let Some((meta, state)) = &stored {
            self.disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
            self.note(meta, state);
        }
        Ok(stored)
    }

    /// Makes a snapshot durable before any component relies on it. A snapshot older than the stored one is dropped: it
    /// took long to build while a newer one came from the leader, and the log between the two may already be purged.
    fn write(&self, meta: &SnapshotMeta, state: &Bytes) -> Result<()> {
        let _one = self.writing.lock();
        let index = meta.last_log_id.map_or(0, |id| id.index);
        if index < self.durable.load(Ordering::Acquire) {
            return Ok(());
        }
        let head = encode(&SnapshotHeader::from(meta))?;
        snapshot_file::write(&*self.disk, &self.path, self.owner, &head, state)?;
        self.note(meta, state);
        Ok(())
    }
}

/// The openraft handle with this state machine.
pub(crate) type Raft = openraft::Raft<Types, StateMachine>;

/// The state machine. openraft owns it and calls it from one task.
pub(crate) struct StateMachine {
    applied: Arc<AppliedState>,
    store: SnapshotStore,
    last: Option<LogId>,
    membership: StoredMembership,
    log_size: LogSizeTracker,
    compaction: Arc<CompactionTrigger>,
}

impl StateMachine {
    /// Restores the state machine from the stored snapshot. openraft then applies the log after it again.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`], [`ErrorCode::Version`] when the snapshot cannot be used; those of the disk.
    pub(crate) fn open(
        applied: Arc<AppliedState>,
        store: SnapshotStore,
        compaction: Arc<CompactionTrigger>,
        pace: SnapshotPace,
    ) -> Result<Self> {
        let mut machine = StateMachine {
            applied,
            store,
            last: None,
            membership: StoredMembership::default(),
            log_size: LogSizeTracker::new(pace),
            compaction,
        };
        if let Some((meta, state)) = machine.store.open()? {
            let state = State::decode(&state).map_err(|error| machine.store.of_no_use(&error))?;
            machine.applied.restore(state);
            machine.last = meta.last_log_id;
            machine.membership = meta.last_membership;
        }
        Ok(machine)
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(MAX_APPLY_BATCH);
        while let Some(chunk) = chunks.next().await {
            let mut items = Vec::with_capacity(chunk.len());
            let mut responders = Vec::with_capacity(chunk.len());
            let mut last = self.last;
            let mut failed = None;
            for entry in chunk {
                let (entry, responder) = match entry {
                    Ok(pair) => pair,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                };
                let index = entry.log_id.index;
                items.push(match entry.payload {
                    EntryPayload::Blank => LogItem::Blank(index),
                    // A command that this build cannot decode stops the node here: skipping it would make this state
                    // differ from that of nodes that can decode it.
                    EntryPayload::Normal(command) => match decode(&command.0, "a command") {
                        Ok(proposal) => {
                            let snapshot = self.store.length.load(Ordering::Acquire);
                            self.log_size
                                .add(&self.compaction, index, command.0.len(), snapshot);
                            LogItem::Command(index, Box::new(proposal))
                        }
                        Err(error) => {
                            failed = Some(io_error(error.context(format!("log entry {index}"))));
                            break;
                        }
                    },
                    EntryPayload::Membership(membership) => {
                        let voters = membership.voter_ids().collect();
                        self.membership = StoredMembership::new(Some(entry.log_id), membership);
                        LogItem::Membership(index, voters)
                    }
                });
                last = Some(entry.log_id);
                responders.push(responder);
            }
            let responses = self.applied.apply(&items);
            self.last = last;
            for (responder, response) in responders.into_iter().zip(responses) {
                if let Some(responder) = responder {
                    responder.send(Applied(response));
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.log_size.restart();
        SnapshotBuilder {
            meta: SnapshotMeta {
                last_log_id: self.last,
                last_membership: self.membership.clone(),
            },
            // A copy of the current state. Values and tree nodes are shared, so it copies the tree and not the data.
            state: self.applied.state().clone(),
            store: self.store.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let store = self.store.clone();
        let stored = meta.clone();
        let state = blocking(move || {
            let state = State::decode(&snapshot)?;
            store.write(&stored, &snapshot)?;
            Ok(state)
        })
        .await?;
        self.applied.install(state);
        self.log_size.restart();
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let store = self.store.clone();
        let stored = blocking(move || store.read()).await?;
        Ok(stored.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Builds one snapshot while the state machine continues to apply.
pub(crate) struct SnapshotBuilder {
    meta: SnapshotMeta,
    state: State,
    store: SnapshotStore,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let state = std::mem::take(&mut self.state);
        let store = self.store.clone();
        let meta = self.meta.clone();
        let snapshot = blocking(move || {
            let bytes = Bytes::from(state.encode()?);
            store.write(&meta, &bytes)?;
            Ok(bytes)
        })
        .await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot,
        })
    }
}

async fn blocking<T, F>(work: F) -> io::Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let done = env::blocking(work).await;
    done.and_then(|done| done).map_err(io_error)
}
