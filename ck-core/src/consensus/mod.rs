//! RaftNode: how the nodes agree on one log of commands, and on who leads, by openraft.
//!
//! Everything that knows openraft is in here. Outside, there are proposals and their answers, the applied
//! state that every read goes to, and leadership as epochs.

mod applied_state;
mod codec;
mod disk_watch;
mod election;
mod flow;
mod forward;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod heartbeats;
mod inbound;
mod lateness;
mod leadership;
mod lease;
mod lease_manager;
mod log_compaction;
mod log_store;
mod match_index;
mod network;
#[cfg(feature = "sim")]
pub mod observe;
mod open;
mod outcome;
mod pipeline;
mod pledge;
mod pledge_file;
mod proposal_batcher;
mod proposal_forwarder;
mod proposer;
mod quorum_acks;
mod raft_node;
mod server;
mod service;
mod snapshot_file;
mod snapshot_receiver;
mod snapshot_sender;
mod state_machine;
#[cfg(test)]
mod tests;
mod transfer;
mod types;
pub mod wal;
mod wire;
mod write;

pub(crate) use applied_state::AppliedState;
pub(crate) use codec::{decode, encode};
pub(crate) use forward::{handle_forwarded, refuse_forwarded};
pub(crate) use lateness::stretch_for;
pub(crate) use leadership::{Leadership, LeadershipChange};
pub(crate) use lease_manager::{LeaseManager, Leased};
pub(crate) use network::Addresses;
pub(crate) use open::{LOG_DIR, RaftConfig, SnapshotPace, has_log, has_snapshot};
pub(crate) use outcome::{Attempt, Outcome, is_over};
pub(crate) use proposer::Proposer;
pub(crate) use raft_node::{RaftNode, VoterChange};
pub(crate) use server::refuse_raft;
pub(crate) use service::Service;
pub(crate) use types::RaftId;
pub(crate) use wal::{WHAT_TO_DO, too_long_is_damage};
