//! The C ABI of ClusterKit. It holds no logic: it converts between C and [`clusterkit`].
//!
//! - `border` checks every pointer from C, and nothing else does; no panic gets past it.
//! - `done` tells C the outcomes of calls that do not wait, on a thread of its own for each node and each client.
//! - Every other module is one noun of the header: its functions written out, because cbindgen must see them.
//!
//! The rules that all functions follow stand at the top of the header (`cbindgen.toml`). Rust applications use
//! `clusterkit`.
#![deny(missing_docs)]
#![allow(
    non_camel_case_types,
    reason = "the types carry the names that they have in the header"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "what a caller owes is the same for every function, and stands once at the top of the header"
)]

mod border;
mod client;
mod client_calls;
mod client_options;
mod cluster;
mod data;
mod done;
mod error;
mod event;
mod events;
mod hook;
mod leadership;
mod log;
mod lookup;
mod manage;
mod named_options;
mod node;
mod option_table;
mod options;
mod payload;
mod rebalance;
mod status;
mod test_cluster;
mod test_cluster_faults;
mod test_cluster_options;
mod test_cluster_waits;
#[cfg(test)]
mod testing;
mod values;
mod version;
mod view;
mod view_keys;
mod view_partitions;

pub use client::*;
pub use client_calls::*;
pub use client_options::*;
pub use cluster::*;
pub use data::*;
pub use done::*;
pub use error::*;
pub use event::*;
pub use events::*;
pub use hook::*;
pub use leadership::*;
pub use log::*;
pub use lookup::*;
pub use manage::*;
pub use node::*;
pub use option_table::*;
pub use options::*;
pub use payload::*;
pub use rebalance::*;
pub use status::*;
pub use test_cluster::*;
pub use test_cluster_faults::*;
pub use test_cluster_options::*;
pub use test_cluster_waits::*;
pub use values::*;
pub use version::*;
pub use view::*;
pub use view_keys::*;
pub use view_partitions::*;
