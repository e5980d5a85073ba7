//! Whether the cluster wants this node: whether it has refused or removed the node, and whether the node leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::context::NodeContext;
use crate::error::{Error, ErrorCode, Result};
use crate::model::NodeId;

/// Longer than any process lives.
const FOREVER: Duration = Duration::from_secs(1 << 31);

/// What the cluster has decided about this node.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Set when the cluster has refused this node permanently. Separate from the reason in `refusal`, because lookups
    /// read this flag and take no lock.
    is_refused: AtomicBool,
    /// Why the cluster has refused this node, if it has.
    refusal: Mutex<Option<Error>>,
    /// Set when this node was asked to leave. Its removal is then the expected outcome, not a failure.
    wants_to_leave: AtomicBool,
}

impl Standing {
    /// True when the cluster has refused this node permanently. Takes no lock.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Acquire)
    }

    /// Why the cluster has refused this node, if it has.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.refusal.lock().clone()
    }

    /// True when this node was asked to leave.
    pub(super) fn wants_to_leave(&self) -> bool {
        self.wants_to_leave.load(Ordering::Acquire)
    }

    pub(super) fn set_wants_to_leave(&self, wants: bool) {
        self.wants_to_leave.store(wants, Ordering::Release);
    }

    /// True for the end that this node has asked for: it was asked to leave, and was removed.
    pub(super) fn has_left(&self, error: &Error) -> bool {
        self.wants_to_leave() && error.code() == ErrorCode::Removed
    }

    fn refuse(&self, error: Error) {
        self.is_refused.store(true, Ordering::Release);
        *self.refusal.lock() = Some(error);
    }
}

impl NodeContext {
    /// The error that says that this process was removed, if its own log shows that. A log that is replayed also shows
    /// the removal of an earlier process of this node, which does not count.
    pub(super) fn removal(&self) -> Option<Error> {
        let session = self.raft_parts().ok()?.proposer.session();
        let revision = self.applied.state().removed_at(&self.me)?;
        (session != 0 && revision > session).then(|| self.leaving_or(removed(&self.me, revision)))
    }

    /// The error as this node reports it: a removal that the node asked for is reported as its leave.
    pub(super) fn leaving_or(&self, error: Error) -> Error {
        if !self.standing.has_left(&error) {
            return error;
        }
        Error::new(
            ErrorCode::Removed,
            format!(
                "node {:?} has left the cluster, and its process can be ended",
                self.me
            ),
        )
    }

    /// Checks that this process may write and give orders: it is running, and not known to be removed or refused.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`]; [`ErrorCode::Removed`], and any other error with which the cluster has refused this
    /// node.
    pub(super) fn check_member(&self) -> Result<()> {
        if !self.lifecycle.is_running() {
            return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
        }
        if let Some(refusal) = self.standing.refusal() {
            return Err(refusal);
        }
        if self.applied.incarnation().is_none()
            && let Some(removal) = self.removal()
        {
            return Err(removal);
        }
        Ok(())
    }

    /// Resolves with the error of [`NodeContext::check_member`] once there is one.
    pub(super) async fn removed_or_refused(&self) -> Error {
        loop {
            let (phase, applied) = (self.lifecycle.changed().count(), self.applied.changed().count());
            if let Err(error) = self.check_member() {
                return error;
            }
            tokio::select! {
                biased;
                _ = self.lifecycle.changed().after(phase) => {}
                _ = self.applied.changed().after(applied) => {}
            }
        }
    }

    /// Records that the cluster refuses this node permanently: the node proposes nothing and campaigns no more.
    pub(super) fn refuse(&self, error: Error) {
        let error = self.leaving_or(error);
        if self.standing.has_left(&error) {
            self.logger.info(format_args!("{}", error.message()));
        } else {
            self.logger
                .warn(format_args!("the cluster refuses this node: {error}"));
        }
        if let Ok(parts) = self.raft_parts() {
            // The node votes until the others have removed it from the voters, but should not become leader.
            parts.raft.hold_elections_for(FOREVER);
            parts.proposer.bar(error.clone());
        }
        self.standing.refuse(error);
        self.lifecycle.changed().notify();
    }

    /// Resolves when the cluster has refused this node permanently. `seen` is a count of
    /// [`Lifecycle::changed`](super::phase::Lifecycle::changed).
    pub(super) async fn wait_for_refusal(&self, mut seen: u64) -> Error {
        loop {
            if let Some(error) = self.standing.refusal() {
                return error;
            }
            seen = self.lifecycle.changed().after(seen).await;
        }
    }
}

/// The error for a node that is no longer a member.
pub(super) fn removed(node: &NodeId, revision: u64) -> Error {
    Error::new(
        ErrorCode::Removed,
        format!("node {node:?} was removed from the cluster at revision {revision}"),
    )
}
