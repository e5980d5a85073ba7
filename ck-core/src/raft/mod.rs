//! Raft: the nodes agree on one log of commands and on a leader. The engine is openraft.
//!
//! Only this module uses openraft. The rest of the crate sees proposals and their outcomes, the applied state that
//! serves every read, and leadership as epochs.
//!
//! - `RaftNode` is the handle of one node's Raft; `open` makes it.
//! - `AppliedState` is the state that the log has produced on this node, with the view that lookups read.
//! - `storage`: the write-ahead log, the state machine, snapshots on the disk.
//! - `transport`: Raft RPCs between nodes, and the checks that each of them must pass.
//! - `election`: when a node campaigns, what it pledges to a leader, how long a leader's lease is.
//! - `proposals`: takes a command from any node into the log, exactly once.
//!
//! Tasks: `RaftNode::open` spawns seven beside openraft's own, and `RaftNode::close` aborts them. The log has a thread,
//! the proposer a task that batches.
//!
//! Locks: `AppliedState::apply` hands the events of a batch to the hooks while it holds its state lock, so that they
//! keep the order of the log: what is called from there must not read the applied state. A borrow of openraft's metrics
//! is a read lock too: the pledges, the acknowledgements and the log's view are locked under it, but a second borrow is
//! never taken, because Raft may wait in between to update them. Where two other locks are held together, the header of
//! their folder says so.
//!
//! Start with `open`; docs/architecture.md walks through a write.

mod applied_state;
mod codec;
mod election;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod match_index;
#[cfg(feature = "sim")]
pub mod observe;
mod open;
mod proposals;
mod raft_node;
pub mod storage;
#[cfg(test)]
mod tests;
mod transport;
mod types;

pub(crate) use applied_state::AppliedState;
pub(crate) use election::{Leadership, LeadershipChange, stretch_for};
pub(crate) use open::{LOG_DIR, RaftConfig, SnapshotPace, has_log, has_snapshot};
pub(crate) use proposals::{Attempt, ForwardServer, LeaderRetry, Proposer, RETRY_PAUSE, is_over};
#[cfg(feature = "sim")]
pub(crate) use proposals::{ForwardAnswer, ForwardCall, ForwardRequest, WriteOutcome};
pub use raft_node::RaftMembers;
pub(crate) use raft_node::{RaftNode, VoterChange};
pub(crate) use storage::wal::{WHAT_TO_DO, too_long_is_damage};
#[cfg(feature = "sim")]
pub(crate) use transport::wire::{RaftAnswer, RaftRequest};
