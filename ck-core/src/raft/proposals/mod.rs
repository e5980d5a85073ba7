//! Proposals: they take a command from any node into the log, exactly once.
//!
//! The [`Proposer`] numbers a command and retries until it knows the outcome; the batcher puts proposals that wait at
//! the same time into one message; the forwarder sends that to the leader; `write` appends it there.

pub(in crate::raft) mod batcher;
pub(in crate::raft) mod forward;
pub(in crate::raft) mod forwarder;
pub(in crate::raft) mod outcome;
pub(in crate::raft) mod proposer;
pub(in crate::raft) mod retry;
pub(in crate::raft) mod write;

pub(crate) use forward::ForwardServer;
pub(crate) use outcome::{Attempt, is_over};
pub(crate) use proposer::Proposer;
pub(crate) use retry::{LeaderRetry, RETRY_PAUSE};
