//! ClusterKit core.
#![deny(missing_docs)]

pub mod env;
mod error;
pub mod http;
pub mod model;
mod options;
pub mod placement;
pub mod state;

pub use error::{Error, ErrorCode, Result};
pub use options::{
    HealthCheckOptions, ListenAddr, LogLevel, OptionDefault, OptionKind, OptionSpec, Options, TimingOptions,
    TimingProfile, TimingValues, advertised, format_duration, options_markdown, parse_duration,
    table as options_table,
};
