//! Raft storage: the write-ahead log, the state machine, and the snapshot.
//!
//! - `wal`: the write-ahead log, which knows nothing of openraft. `log_store` makes openraft's log storage of it.
//! - `state_machine`: applies committed entries to `AppliedState`, builds and installs snapshots. openraft owns it and
//!   calls it from one task.
//! - `snapshot_file`: the snapshot on the disk.
//! - `log_compaction`: when a snapshot is taken, and how much of the log is purged.
//! - `disk_watch`: notices a data directory that was removed or became read-only.
//!
//! Tasks: `run_compaction`, `watch_disk` and `Wal::keep_marked`, which `RaftNode::open` spawns, and the log's thread
//! `ck-wal`. Snapshots are encoded, decoded, written and read in the blocking pool.
//!
//! Locks: `SnapshotStore::writing` is held while a snapshot is written to the disk. That of the log is described in
//! `wal`.
//!
//! Invariants: an entry or a vote is acknowledged only when it is durable; the log is purged only up to the newest
//! durable snapshot; a node that cannot decode a command stops instead of skipping it.
//!
//! Start with `StateMachine::apply`, and with `LogStore::append` for the way to the disk.

pub(in crate::raft) mod disk_watch;
pub(in crate::raft) mod log_compaction;
pub(in crate::raft) mod log_store;
pub(in crate::raft) mod snapshot_file;
pub(in crate::raft) mod state_machine;
pub mod wal;
