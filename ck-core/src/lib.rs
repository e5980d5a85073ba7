//! ClusterKit core.
#![deny(missing_docs)]

pub mod env;
mod error;
pub mod model;
pub mod placement;
pub mod state;

pub use error::{Error, ErrorCode, Result};
