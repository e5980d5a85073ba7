//! What a person decides where data is at stake.

use std::time::Duration;

use super::ClusterKit;
use crate::error::Result;
use crate::model::NodeId;

impl ClusterKit {
    /// [`ClusterKit::remove_node`], even where the member is the last that counts as holding the data of a partition: that
    /// partition is lost then, until [`ClusterKit::recover_partition`] accepts another copy. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`](crate::ErrorCode::NotFound); [`ErrorCode::Refused`](crate::ErrorCode::Refused) for the
    /// leader and for the last member; [`ErrorCode::NoLeader`](crate::ErrorCode::NoLeader),
    /// [`ErrorCode::Timeout`](crate::ErrorCode::Timeout).
    pub fn force_remove_node(&self, id: &str, timeout: Duration) -> Result<u64> {
        let id: NodeId = id.into();
        self.wait(move |node| async move { node.remove_node(id, true, timeout).await })
    }

    /// Accepts what node `from` has of partition `number` as its data, because nobody better is left: the node becomes
    /// primary with a higher epoch, and others copy from it. Whatever it missed is lost, and a better copy that comes
    /// back later is overwritten. Gives the revision. Blocks for at most `timeout`.
    ///
    /// `force`: even where a node that is up holds the data, and where `from` holds no copy.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`](crate::ErrorCode::NotFound); [`ErrorCode::Refused`](crate::ErrorCode::Refused) where a
    /// node that is up holds the data, where `from` holds no copy, and always where `from` is not up;
    /// [`ErrorCode::NoLeader`](crate::ErrorCode::NoLeader), [`ErrorCode::Timeout`](crate::ErrorCode::Timeout).
    pub fn recover_partition(&self, number: u32, from: &str, force: bool, timeout: Duration) -> Result<u64> {
        let from: NodeId = from.into();
        self.wait(move |node| async move { node.recover(number, from, force, timeout).await })
    }
}
