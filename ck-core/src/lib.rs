//! ClusterKit core.
#![deny(missing_docs)]

#[doc(hidden)]
pub mod consensus;
#[doc(hidden)]
pub mod env;
mod error;
pub mod placement;

pub use error::{Error, ErrorCode, Result};
