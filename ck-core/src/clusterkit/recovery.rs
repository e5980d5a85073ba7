//! Decisions of an operator that may lose data.

use std::time::Duration;

use super::{ClusterKit, node_calls};
use crate::error::Result;
use crate::model::NodeId;

impl ClusterKit {
    /// [`ClusterKit::remove_node`], even if the member is the last that counts as holding the data of a partition: that
    /// partition is lost then, until [`ClusterKit::recover_partition`] accepts another copy. Blocks for at most
    /// `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`](crate::ErrorCode::NotFound); [`ErrorCode::Refused`](crate::ErrorCode::Refused) for the
    /// leader and for the last member; [`ErrorCode::NoLeader`](crate::ErrorCode::NoLeader),
    /// [`ErrorCode::Timeout`](crate::ErrorCode::Timeout).
    pub fn force_remove_node(&self, id: &str, timeout: Duration) -> Result<u64> {
        let id: NodeId = id.into();
        self.wait(node_calls::remove_node(self.shared_node(), id, true, timeout))
    }

    /// Accepts the copy of partition `number` on node `from` as its data, because no better copy is left: the node
    /// becomes primary with a higher epoch, and other nodes copy from it. Writes that it missed are lost, and a better
    /// copy that comes back later is overwritten. Returns the revision. Blocks for at most `timeout`.
    ///
    /// `force` accepts it even if a node that is up holds the data, or if `from` holds no copy.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`](crate::ErrorCode::NotFound); [`ErrorCode::Refused`](crate::ErrorCode::Refused) when a
    /// node that is up holds the data or `from` holds no copy (unless `force`), and always when `from` is not up;
    /// [`ErrorCode::NoLeader`](crate::ErrorCode::NoLeader), [`ErrorCode::Timeout`](crate::ErrorCode::Timeout).
    pub fn recover_partition(&self, number: u32, from: &str, force: bool, timeout: Duration) -> Result<u64> {
        let from: NodeId = from.into();
        self.wait(node_calls::recover(
            self.shared_node(),
            number,
            from,
            force,
            timeout,
        ))
    }
}
