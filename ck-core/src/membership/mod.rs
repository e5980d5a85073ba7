//! The member's side of membership: identity, bootstrap, discovery, join, and the node's own lease.
//!
//! A joining node asks any member; the leader decides. The join is one commit; the node then learns the log, and
//! becomes a full member, and perhaps a voter, only when it has caught up. So a joining node, honest or not, never
//! costs the cluster its quorum.

mod address_book;
mod bootstrap;
mod config_check;
mod discovery;
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
mod spec_check;

pub(crate) use address_book::AddressBook;
pub(crate) use bootstrap::{Bootstrap, BootstrapStep, PromiseFile};
pub(crate) use config_check::check_config;
pub(crate) use discovery::Discovery;
pub(crate) use hedge::first_success;
pub(crate) use identity::{Identity, IdentityFile};
pub(crate) use joiner::{Found, Joiner};
pub(crate) use lease::Lease;
pub(crate) use spec_check::check_spec;
