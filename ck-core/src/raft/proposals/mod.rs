//! Proposals: they take a command from any node into the log, exactly once.
//!
//! - The [`Proposer`] numbers a command and retries until it knows the outcome (`retry`, `outcome`). It writes a large
//!   value to the log in pieces first.
//! - `batcher` puts proposals that wait at the same time into one batch, `forwarder` sends a batch to the leader, and
//!   `forward` receives it there.
//! - `write` appends to the local log, which succeeds only if this node leads.
//!
//! Task: `ProposalBatcher::run`, which `Proposer::new` spawns and which ends when the proposer is dropped. All else
//! runs in the task, or on the thread, of whoever proposes.
//!
//! Locks: `Proposer::flow` is held while a number is taken from `Proposer::numbers`. `Proposer::staging`, an
//! asynchronous lock, is held while a large value is committed piece by piece, and both others are taken under it.
//!
//! Invariants: a retry carries the number of the first attempt, so the state machine executes the command once. A call
//! fails with an error other than `TIMEOUT` only if it did not happen and never will. Another node's proposals are
//! checked before they are appended, and only commands that any member may propose are taken.
//!
//! Start with `Proposer::propose`. `Proposer::propose_here` is the short way: one attempt, into the local log.

pub(in crate::raft) mod batcher;
pub(in crate::raft) mod forward;
pub(in crate::raft) mod forwarder;
pub(in crate::raft) mod outcome;
pub(in crate::raft) mod proposer;
pub(in crate::raft) mod retry;
pub(in crate::raft) mod write;

pub(crate) use forward::ForwardServer;
#[cfg(feature = "sim")]
pub(crate) use forward::{ForwardAnswer, ForwardCall, ForwardRequest};
pub(crate) use outcome::{Attempt, is_over};
pub(crate) use proposer::Proposer;
pub(crate) use retry::{LeaderRetry, RETRY_PAUSE};
#[cfg(feature = "sim")]
pub(crate) use write::WriteOutcome;
