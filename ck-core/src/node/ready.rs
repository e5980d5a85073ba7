//! Whether a started node is ready, and what it waits for until then.

use super::Node;
use super::phase::Phase;
use crate::error::{Error, ErrorCode, Result};

impl Node {
    /// What this node waits for before it is ready; `None` when it is a member that was admitted, knows a leader, holds
    /// a lease, and has a disk that answers.
    ///
    /// # Errors
    /// Why it will never be ready: its cluster has refused it permanently, its log has failed, or it is stopping
    /// ([`ErrorCode::Stopped`]).
    pub(crate) fn waiting_for(&self) -> Result<Option<String>> {
        if let Some(refusal) = self.context.standing.refusal() {
            let left = self.context.standing.has_left(&refusal);
            // The node asked for its removal, so this is no error: its process ends when it is told to.
            return if left {
                Ok(Some(refusal.message().to_owned()))
            } else {
                Err(refusal)
            };
        }
        if let Some(error) = self.context.log_failure() {
            return Err(error);
        }
        match self.context.lifecycle.phase() {
            Phase::Created => return Ok(Some("its start".to_owned())),
            Phase::Stopping | Phase::Stopped => {
                return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
            }
            Phase::Starting | Phase::Running => {}
        }
        if self.context.applied.incarnation().is_none() {
            let entering = self.entry.waiting();
            return Ok(Some(entering.unwrap_or_else(|| "its data to be read".to_owned())));
        }
        Ok(self.unhealthy_reason_in(&self.view()))
    }
}
