//! ClusterKit core.
#![deny(missing_docs)]

pub mod env;
mod error;
pub mod hooks;
pub mod model;
pub mod placement;

pub use error::{Error, ErrorCode, Result};
