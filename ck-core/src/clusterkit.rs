//! The handle that applications hold.

use std::sync::Arc;

/// A node.
#[derive(Debug)]
pub struct ClusterKit {}
