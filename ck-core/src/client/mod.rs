//! The smart client: a program that is no member follows a cluster over HTTP, and answers the same lookups as a member does,
//! from the same immutable view.
//!
//! ```text
//! Client, AsyncClient ──view()──────────────▶ Shared: the view, the addresses, contact, the end
//!        │                                      ▲                ▲
//!        └─refresh, read_barrier, ...─▶ Asks    │                │
//!                                        │      │                │
//!            Follower (the one task) ────┴▶ ask_around ─▶ Member ─▶ HttpConnection ─▶ net::Connector
//!                                                           └─▶ ClusterAnswer ─▶ Topology
//! ```
//!
//! Where to start reading: `shared.rs` has what everything else works on, [`Shared::accept`](shared::Shared::accept) first;
//! then `follower.rs`, the task; `round.rs` and `member.rs`, how addresses are asked; `asks.rs`, the calls that ask now. The
//! guide is `docs/client.md`.
//!
//! Invariants:
//! - The cluster of a client is that of its first answer, and never another. So the first request on every connection asks
//!   for the whole answer, which has the cluster's id; only after that a tag is compared.
//! - The revision of the view never falls: answers become the view one at a time, under `Shared::accept_turn`.
//! - A lookup takes no lock and waits for nothing: the view is behind an atomic pointer.
//! - Nothing that another end sends is believed for its size, kept beyond its bound, or waited for without an end.
//!
//! Tasks: [`Follower::run`](follower::Follower::run), one for each client, which ends with [`Client::close`] or the last
//! handle; and one for each call that waits, which goes on to its end. All of them run on the runtime that serves HTTP
//! (`ck-http`), so that a client in the process of a node delays no heartbeat. Connections have no task: whoever asks drives
//! them. Long answers are read by a thread of that runtime that may block.
//!
//! Locks, all of them leaves but the first: `Shared::accept_turn`, under which nothing else is locked; `Shared::addresses`,
//! `Shared::contact`, `Asks::last`, `ChangeDispatcher::state`. `Asks::turn` and `revision_turn` are tokio's, because they are
//! held for a round.

mod addresses;
mod answer;
mod asks;
mod async_client;
mod changes;
mod follower;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fuzz target reports what it found by a panic"
)]
pub(crate) mod fuzz;
mod handle;
mod http_connection;
mod member;
mod options;
mod round;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(feature = "tracing")]
mod tracing;

pub use async_client::AsyncClient;
pub use changes::{ChangeCallback, Changes};
pub use handle::Client;
pub use options::{ClientOptionSpec, ClientOptions, ClientOptionsBuilder, client_options_table};
pub use status::{AddrStatus, ClientStatus};
