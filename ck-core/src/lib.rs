//! The coordination layer that a distributed application embeds.
//!
//! From inside your own process it answers: which partition does this key belong to, which nodes own that partition, who
//! leads, who is alive, and what must be done now that something changed. The application keeps its own storage and its own
//! replication: ClusterKit says where data goes, and when to move it.
//!
//! # A program
//!
//! One node that founds a cluster, routes a key, and writes to the replicated store. Give further nodes its address with
//! `join_addrs`, and they join.
//!
//! ```
//! use std::time::Duration;
//!
//! use clusterkit::prelude::*;
//!
//! #[tokio::main(flavor = "current_thread")] // any executor will do
//! async fn main() -> clusterkit::Result<()> {
//!     let options = Options::builder("node-1", "127.0.0.1:0") // port 0 takes any free one
//!         .data_dir("") // in memory; by default it is durable
//!         .build()?;
//!     let node = AsyncClusterKit::new(options)?;
//!     node.on(EventType::PartitionChange, |event| {
//!         println!("{event:?}"); // copy or drop your data here: returning Ok confirms the copy
//!         Ok(())
//!     })?;
//!     node.start().await?; // resolves when the node is a member
//!
//!     let key = b"user:123";
//!     let timeout = Duration::from_secs(10);
//!     let revision = node.set_custom_data("config/limit", "10", Expect::Any, timeout).await?;
//!     node.wait_for_revision(revision, timeout).await?;
//!     match node.should_handle_key(key) {
//!         Some(Role::Primary) => println!("this node takes writes of the key"),
//!         Some(Role::Replica) => println!("this node holds a copy"),
//!         None => println!("ask {:?}", node.view().primary_node(key)),
//!     }
//!     node.stop().await
//! }
//! ```
//!
//! # Async or blocking
//!
//! There are two handles for one node. [`AsyncClusterKit`] is for programs that are asynchronous themselves: await its
//! calls on any executor, drop them when you like. [`ClusterKit`] has the same calls for programs whose threads may
//! block, and is what the other languages stand on. What does not wait (lookups, hooks, queries) is the same on both.
//! They are two types, and not one type in two modules, because a program may use both on the same node: the service
//! asynchronous, its storage engine's threads not.
//!
//! # Map of the modules
//!
//! | module | what it is for |
//! |---|---|
//! | [`prelude`] | what most applications name |
//! | [`AsyncClusterKit`], [`ClusterKit`] | the handle of a node: start, stop, leave, lookups, writes, hooks |
//! | [`AsyncClient`], [`Client`] | for a program that is no member: the same lookups, with [`ClientOptions`] |
//! | [`Options`] | every option with its default and bounds; from code, JSON, a file, the environment |
//! | [`Events`] | the events of a node as a stream, to observe |
//! | [`model`] | plain data: nodes, partitions, events, records |
//! | [`routing`] | key to partition to nodes: the immutable view that every lookup reads |
//! | [`hooks`] | what an application registers to be called with events |
//!
//! Everything else that is `pub` is for the tests, benches and tools of this repository, hidden from this documentation, and
//! changes without notice.
//!
//! # Threads
//!
//! ClusterKit runs its own tokio runtime. Calls that wait run there, or block the thread that made them; a lookup waits for
//! nothing, takes no lock and allocates nothing. Hooks run on threads of their own and may call everything that does not
//! wait for them. The library installs no signal handler and no global logger, and never ends the process.
//!
//! # Features
//!
//! `tracing` sends log messages of nodes and clients to the crate of that name ([`ClusterKit::on_log`] needs no feature).
//! `testing` has clusters in memory for the tests of your application: `clusterkit::testing`. No other is for
//! applications: `sim` runs whole nodes on a deterministic simulator, `fuzz` exports the fuzz targets, `planted-bugs` adds
//! faults for the simulation to find; none of them is part of a release build.
//!
//! # Where to read on
//!
//! The guides are in `docs/`: architecture, partitioning, the client, hooks, consistency (each promise and its conditions),
//! operations, and a glossary with the name of each concept in every language. What is promised about two primaries at one instant, and
//! what is not, is in `docs/consistency.md`: read it before you rely on it.
#![deny(missing_docs)]

// First: its macro is used in all that follow.
#[macro_use]
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub mod planted;
#[macro_use]
#[cfg(not(feature = "planted-bugs"))]
mod planted;

mod catch_panic;
mod client;
mod clusterkit;
#[doc(hidden)]
pub mod env;
mod error;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub mod fuzz;
pub mod hooks;
#[doc(hidden)]
pub mod http;
mod leader;
mod logger;
mod membership;
pub mod model;
#[doc(hidden)]
pub mod net;
mod node;
mod options;
#[doc(hidden)]
pub mod placement;
pub mod prelude;
#[doc(hidden)]
pub mod raft;
pub mod routing;
mod rpc;
#[cfg(test)]
mod scenarios;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;

pub use client::{
    AddrStatus, AsyncClient, ChangeCallback, Changes, Client, ClientOptionSpec, ClientOptions,
    ClientOptionsBuilder, ClientStatus, client_options_table,
};
pub use clusterkit::{AsyncClusterKit, ClusterKit, Events, Lagged, WeakClusterKit};
pub use error::{Error, ErrorCode, Result};
pub use logger::LogCallback;
#[doc(hidden)]
pub use logger::send_panics_to_logs;
pub use node::LeasedView;
pub use options::{
    HealthCheckOptions, ListenAddr, LogLevel, OptionDefault, OptionKind, OptionSpec, Options, OptionsBuilder,
    Secret, TimingOptions, TimingProfile, TimingValues, TlsOptions, advertised, format_duration,
    options_markdown, parse_duration, table as options_table,
};
pub use state::Expect;

/// The programs in the guides and in the README, compiled with the tests of the documentation.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/client.md")]
    struct Client;
    #[doc = include_str!("../../docs/hooks.md")]
    struct Hooks;
    #[doc = include_str!("../../docs/node-rejoin.md")]
    struct NodeRejoin;
    #[doc = include_str!("../../docs/partitioning.md")]
    struct Partitioning;
    #[cfg(feature = "testing")]
    #[doc = include_str!("../../docs/testing.md")]
    struct Testing;
}
