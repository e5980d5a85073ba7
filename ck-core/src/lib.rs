//! ClusterKit core.
#![deny(missing_docs)]

#[doc(hidden)]
pub mod consensus;
#[doc(hidden)]
pub mod env;
mod error;
mod log;
pub mod model;
pub mod net;
mod membership;
mod options;
pub mod placement;
mod rebalance;
pub mod routing;
pub mod state;

pub use error::{Error, ErrorCode, Result};
pub use options::{
    HealthCheckOptions, ListenAddr, LogLevel, OptionDefault, OptionKind, OptionSpec, Options, TimingOptions,
    TimingProfile, TimingValues, advertised, format_duration, options_markdown, parse_duration,
    table as options_table,
};
