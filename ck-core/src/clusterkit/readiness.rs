//! Whether a node is ready to be sent work.

use super::ClusterKit;
use crate::error::Result;

impl ClusterKit {
    /// What this node waits for before it is ready, as text for people; `None` when it is ready: it is a member, knows
    /// a leader and holds a lease. `GET /ready` requires more: every partition of the cluster has a primary.
    ///
    /// A node that was a member before returns from [`ClusterKit::start`] when `join_timeout` has passed, ready or not,
    /// so a sender of work checks this first. Takes no time; may be called at any time, in hooks too.
    ///
    /// # Errors
    /// Why the node will never be ready, and has to be restarted or abandoned: the cluster has refused it permanently
    /// ([`crate::ErrorCode::Removed`], [`crate::ErrorCode::DuplicateNode`] and the like), its log has failed
    /// ([`crate::ErrorCode::Io`]), or it was stopped ([`crate::ErrorCode::Stopped`]).
    pub fn waiting_for(&self) -> Result<Option<String>> {
        self.node().waiting_for()
    }
}
