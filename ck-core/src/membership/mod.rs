//! Membership: joining, admission, syncs and leases, failure detection, and who votes.
//!
//! A node asks any member to be let in; the leader decides. Admission is one commit; the node then learns the
//! log, and only when it has caught up is it a full member, and perhaps a voter: a joiner, honest or not, never
//! costs the cluster its quorum.

mod address_book;
mod admission;
mod agreement;
mod detector;
mod dial_back;
mod formation;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod identity;
mod join;
mod lease;
mod pacer;
mod process_tag;
mod spec_check;
mod stagger;
mod steward;
mod survey;
mod voters;
mod wire;

pub(crate) use address_book::AddressBook;
pub(crate) use admission::Admission;
pub(crate) use detector::Detector;
pub(crate) use formation::{Formation, Look, PromiseFile};
pub(crate) use identity::{Identity, IdentityFile};
pub(crate) use join::{Found, Joiner};
pub(crate) use lease::Lease;
pub(crate) use pacer::{Delays, Pacer};
pub(crate) use process_tag::ProcessTag;
pub(crate) use stagger::first_of;
pub(crate) use steward::Steward;
pub(crate) use survey::Survey;
pub(crate) use wire::{
    Forming, JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong,
    SyncReply, SyncReport,
};
