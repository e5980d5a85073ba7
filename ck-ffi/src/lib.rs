//! The C ABI of ClusterKit. It holds no logic: it converts between C and [`clusterkit`].
//!
//! - `handle` and `text` are the border: every pointer from C is checked there, and nowhere else.
//! - `guard` is around every function: no panic gets out, and a forked child is told that it cannot go on.
//! - `foreign` keeps what C gave us to keep, and gives it back exactly once.
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

mod cluster;
mod data;
mod error;
mod event;
mod foreign;
mod guard;
mod handle;
mod hook;
mod log;
mod lookup;
mod node;
mod options;
#[cfg(test)]
mod testing;
mod text;
mod version;
mod view;

pub use cluster::*;
pub use data::*;
pub use error::*;
pub use event::*;
pub use hook::*;
pub use log::*;
pub use lookup::*;
pub use node::*;
pub use options::*;
pub use version::*;
pub use view::*;
