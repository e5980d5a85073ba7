//! Maintenance, and recovery of partitions that lost their data.

use super::MembershipService;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::model::NodeId;
use crate::state::Command;

impl MembershipService {
    /// Begins maintenance for `reason`, or ends it with `None`.
    pub(crate) async fn set_maintenance(&self, reason: Option<String>) -> Result<(u64, usize)> {
        self.commit(Command::Maintenance { reason }).await
    }

    /// Accepts a node's copy of a partition as the partition's data.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] where a better copy would be given up and `force` is not set.
    pub(crate) async fn recover(&self, number: u32, from: &NodeId, force: bool) -> Result<(u64, usize)> {
        let from = from.clone();
        self.commit(Command::Recover { number, from, force }).await
    }
}
