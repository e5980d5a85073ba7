//! The member's side of membership: identity, bootstrap, discovery, join, and the node's own lease.
//!
//! A joining node asks any member; the leader decides. The join is one commit; the node then learns the log, and
//! becomes a full member, and perhaps a voter, only when it has caught up. So a joining node, honest or not, never
//! costs the cluster its quorum.
//!
//! - `identity` and `bootstrap` are what a node must not forget: who it is, and whom it has promised to let found.
//! - `joiner` asks members to admit this node, and `discovery` has what every address has answered. `hedge` asks
//!   several nodes for what any of them can answer.
//! - `address_book`: where Raft nodes are dialled. `lease`: until when this node may act as primary.
//! - `config_check` and `spec_check`: what the leader checks of a node that joins.
//!
//! Starts no task: `node::discovery`, `node::rejoin` and `node::heartbeat` call it from theirs.
//!
//! Locks: `Bootstrap::turn`, an asynchronous lock, is held while a promise is written to the disk; `Bootstrap::inner`
//! is taken under it. `Lease::terms` and `AddressBook::inner` are held alone. Lookups read the lease's atomics and take
//! no lock.
//!
//! The invariants are at the beginning of `identity`, `bootstrap` and `lease`. Start with `Joiner::search`.

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
