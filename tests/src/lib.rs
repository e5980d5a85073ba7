//! What the tests share that run whole clusters of real processes: [`Cluster`] starts, kills and restarts nodes,
//! [`Load`] writes to them and keeps book of what it was promised, [`Journal`] compares that with what is there,
//! [`LeaderWatch`] listens to who claims to lead; [`claims`] is what processes say of themselves, and whether that
//! can be true.
//!
//! Everything here fails by panicking, as a test does, and says what the cluster and its nodes had to say. Nothing
//! outlives a test: nodes are killed when their [`Cluster`] is dropped, and stop by themselves when the test's own
//! process is killed, because it holds the other end of their standard input.
#![deny(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test harness fails by panicking, and tells why on standard error"
)]

mod api;
pub mod claims;
mod cluster;
mod journal;
mod load;
mod network;
mod node;
mod wait;
mod watch;

pub use api::{Answer, Api, Snapshot};
pub use cluster::{Cluster, Holders, copies, primaries};
pub use journal::Journal;
pub use load::Load;
pub use network::Network;
pub use node::{Ended, Node};
pub use ureq::http::Method;
pub use wait::{WAIT_LIMIT, wait_until};
pub use watch::LeaderWatch;
