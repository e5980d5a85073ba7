//! Whether a started node is ready, and what it waits for until then.

use std::sync::atomic::Ordering;

use super::{Node, Phase};
use crate::error::{Error, ErrorCode, Result};

impl Node {
    /// What this node waits for before it is ready; `None` when it is a member that was admitted, knows a leader, holds
    /// a lease, and has a disk that answers.
    ///
    /// # Errors
    /// Why it will never be ready: its cluster has refused it permanently, its log has failed, or it is stopping
    /// ([`ErrorCode::Stopped`]).
    pub(crate) fn waiting_for(&self) -> Result<Option<String>> {
        if let Some(refusal) = self.refusal() {
            let left = self.wants_to_leave.load(Ordering::Acquire) && refusal.code() == ErrorCode::Removed;
            // The node asked for its removal, so this is no error: its process ends when it is told to.
            return if left {
                Ok(Some(refusal.message().to_owned()))
            } else {
                Err(refusal)
            };
        }
        if let Some(error) = self.log_failure() {
            return Err(error);
        }
        match self.phase() {
            Phase::Created => return Ok(Some("its start".to_owned())),
            Phase::Stopping | Phase::Stopped => {
                return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
            }
            Phase::Starting | Phase::Running => {}
        }
        if self.applied.incarnation().is_none() {
            let entering = self.waiting();
            return Ok(Some(entering.unwrap_or_else(|| "its data to be read".to_owned())));
        }
        Ok(self.unhealthy_reason_in(&self.view()))
    }
}
