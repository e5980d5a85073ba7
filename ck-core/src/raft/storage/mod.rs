//! Raft storage: the write-ahead log, the state machine, and the snapshot.

pub(in crate::raft) mod disk_watch;
pub(in crate::raft) mod log_compaction;
pub(in crate::raft) mod log_store;
pub(in crate::raft) mod snapshot_file;
pub(in crate::raft) mod state_machine;
pub mod wal;
