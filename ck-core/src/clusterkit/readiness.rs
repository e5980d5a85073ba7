//! Whether a node is ready, for whoever waits for it.

use super::ClusterKit;
use crate::error::Result;

impl ClusterKit {
    /// What this node waits for before it is ready, in words for people; `None` when it is: it is a member, knows a
    /// leader and holds a lease. `GET /ready` asks for more, that every partition of the cluster has a primary.
    ///
    /// A node that was a member before returns from [`ClusterKit::start`] when `join_timeout` has passed, ready or not;
    /// whoever sends it work asks here first. Takes no time; may be called at any time, in hooks too.
    ///
    /// # Errors
    /// Why it will never be ready, and has to be started anew or given up: the cluster has refused it for good
    /// ([`crate::ErrorCode::Removed`], [`crate::ErrorCode::DuplicateNode`] and the like), its log has failed
    /// ([`crate::ErrorCode::Io`]), or it was stopped ([`crate::ErrorCode::Stopped`]).
    pub fn waiting_for(&self) -> Result<Option<String>> {
        self.node().waiting_for()
    }
}
