//! ClusterKit core.
#![deny(missing_docs)]

mod catch_panic;
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
pub mod http;
mod leader;
mod logger;
mod membership;
pub mod model;
pub mod net;
mod node;
mod options;
pub mod placement;
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[doc(hidden)]
pub mod raft;
pub mod routing;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
pub mod state;

pub use clusterkit::{ClusterKit, WeakClusterKit};
pub use error::{Error, ErrorCode, Result};
pub use logger::LogCallback;
pub use node::LeasedView;
pub use options::{
    HealthCheckOptions, ListenAddr, LogLevel, OptionDefault, OptionKind, OptionSpec, Options, TimingOptions,
    TimingProfile, TimingValues, advertised, format_duration, options_markdown, parse_duration,
    table as options_table,
};

/// The programs in the guides, compiled with the tests of the documentation.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../docs/hooks.md")]
    struct Hooks;
    #[doc = include_str!("../../docs/partitioning.md")]
    struct Partitioning;
}
