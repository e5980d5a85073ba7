//! ClusterKit core.
#![deny(missing_docs)]

mod error;
pub mod model;
pub mod placement;
pub mod routing;

pub use error::{Error, ErrorCode, Result};
