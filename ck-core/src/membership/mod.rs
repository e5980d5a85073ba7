//! Membership: joining, admission, syncs and leases, failure detection, and who votes.
//!
//! A node asks any member to be let in; the leader decides. MembershipService is one commit; the node then learns the
//! log, and only when it has caught up is it a full member, and perhaps a voter: a joiner, honest or not, never
//! costs the cluster its quorum.

mod address_book;
mod bootstrap;
mod config_check;
mod discovery;
mod election_timeouts;
mod failure_detector;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod hedge;
mod identity;
mod joiner;
mod lease;
mod membership_service;
mod process_tag;
mod raft_membership;
mod spec_check;
mod voters;
mod wire;

pub(crate) use address_book::AddressBook;
pub(crate) use bootstrap::{Bootstrap, BootstrapStep, PromiseFile};
pub(crate) use discovery::Discovery;
pub(crate) use election_timeouts::{ElectionTimeoutTuner, ReportedDelays};
pub(crate) use failure_detector::FailureDetector;
pub(crate) use hedge::first_success;
pub(crate) use identity::{Identity, IdentityFile};
pub(crate) use joiner::{Found, Joiner};
pub(crate) use lease::Lease;
pub(crate) use membership_service::MembershipService;
pub(crate) use process_tag::ProcessTag;
pub(crate) use raft_membership::MembershipReconciler;
pub(crate) use wire::{
    Forming, JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong,
    SyncReply, SyncReport,
};
