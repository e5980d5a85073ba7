//! Starting, stopping, leaving, and what a node has to say.

use std::time::{Duration, Instant};

use super::{ClusterKit, made_there};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::logger::{LAST_WORDS, LogCallback};

impl ClusterKit {
    /// Starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data
    /// directory say. Returns when it is a member.
    ///
    /// Blocks for at most `join_timeout` and a little. A node that was a member before returns without an error
    /// when that passes, and goes on trying: the others may be starting too.
    ///
    /// # Errors
    /// [`ErrorCode::JoinFailed`] with what every address answered, [`ErrorCode::AddressInUse`],
    /// [`ErrorCode::DataDirInUse`], [`ErrorCode::WrongCluster`], [`ErrorCode::ClusterMismatch`],
    /// [`ErrorCode::DuplicateNode`], [`ErrorCode::Removed`], [`ErrorCode::Corrupt`], [`ErrorCode::Io`],
    /// [`ErrorCode::AlreadyStarted`]. After an error the node is stopped.
    pub fn start(&self) -> Result<()> {
        self.refuse_in_hook("start")?;
        self.wait(|node| async move { node.start().await })
    }

    /// Stops the node: others take over what it has, then everything is closed. Idempotent.
    ///
    /// Blocks for a few seconds at most: it waits for hooks that run, and for the leader's answer. Then it waits until the log
    /// callback has heard everything that was said, for 1 s at most; one that stands still fails no stop.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook of this node; [`ErrorCode::Timeout`] when a hook does not return,
    /// everything else being closed.
    pub fn stop(&self) -> Result<()> {
        self.refuse_in_hook("stop")?;
        let stopped = self.wait(|node| async move { node.stop().await });
        self.inner.logger.flush(LAST_WORDS);
        stopped
    }

    /// [`ClusterKit::stop`], waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`ClusterKit::stop`]; [`ErrorCode::Timeout`] when time is up too: stopping goes on, and another call
    /// waits for its end.
    pub fn stop_within(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook("stop")?;
        let began = Instant::now();
        let stopping = made_there(self.node().clone(), |node| async move { node.stop().await });
        let stopped = self.inner.runtime.wait_within(stopping, timeout);
        let left = timeout.saturating_sub(began.elapsed());
        self.inner.logger.flush(left.min(LAST_WORDS));
        stopped
    }

    /// Closes the node as dropping its last clone does, without telling the others, and waits until that is
    /// done: no hook and no log callback runs or will, and all that they held is dropped. When it was the last
    /// node of the process and had no other clone, the runtime's threads have ended too.
    ///
    /// Blocks for milliseconds as a rule, for some seconds when a hook does not return, and for 1 s at most when the log
    /// callback does not: that one is left to itself, hears of nothing more, and is dropped when it returns.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook of this node: nothing is waited for, and this clone is dropped.
    /// [`ErrorCode::Timeout`] when a hook does not return, everything else being closed.
    pub fn close(self) -> Result<()> {
        self.refuse_in_hook("close")?;
        let closed = self.wait(|node| async move { node.close_immediately().await });
        self.inner.logger.close_within(LAST_WORDS);
        closed
    }

    /// Leaves the cluster for good: leadership and everything that this node has go elsewhere, then it is no member
    /// any more and stops. Blocks until then, for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] where nobody could take over: the only active node cannot leave.
    /// [`ErrorCode::Timeout`] with what is left: it goes on leaving, and the call may be made again.
    pub fn leave(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook("leave")?;
        let left = self.wait(move |node| async move { node.leave(timeout).await });
        if self.node().has_stopped() {
            self.inner.logger.flush(LAST_WORDS);
        }
        left
    }

    /// Where messages for people go. `None` drops them, which is the default. It replaces an earlier callback, which is
    /// dropped before this returns, or when the call of it that is under way does; what waited for it is told to the new one.
    /// Never blocks.
    pub fn on_log(&self, callback: Option<LogCallback>) {
        self.inner.logger.set_callback(callback);
    }
}
