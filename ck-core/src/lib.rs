//! ClusterKit core.
#![deny(missing_docs)]

mod error;
pub mod placement;

pub use error::{Error, ErrorCode, Result};
