//! Starting, stopping and leaving, and the log callback.

use std::time::{Duration, Instant};

use super::{ClusterKit, node_calls};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::logger::{LOG_CLOSE_TIMEOUT, LogCallback};

impl ClusterKit {
    /// Starts the node: it bootstraps a cluster, joins one, or rejoins its own, as its options and its data directory
    /// say. Returns when it is a member.
    ///
    /// Blocks for slightly longer than `join_timeout` at most. A node that was a member before returns without an error
    /// when that time has passed, and keeps trying, because the other nodes may be starting too.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook of this node, and [`ErrorCode::AlreadyStarted`]: neither changes anything.
    /// After any other error the node is stopped: [`ErrorCode::JoinFailed`] with the answer of every address,
    /// [`ErrorCode::AddressInUse`], [`ErrorCode::DataDirInUse`], [`ErrorCode::WrongCluster`],
    /// [`ErrorCode::ClusterMismatch`], [`ErrorCode::DuplicateNode`], [`ErrorCode::Removed`], [`ErrorCode::Corrupt`],
    /// [`ErrorCode::Io`], [`ErrorCode::Stopped`].
    pub fn start(&self) -> Result<()> {
        self.refuse_in_hook("start")?;
        self.wait(node_calls::start(self.shared_node()))
    }

    /// Stops the node: other members take over its roles, then everything is closed. Idempotent.
    ///
    /// Blocks for a few seconds at most: it waits for running hooks, and for the leader's answer. Then it waits until
    /// the log callback has received every message, for 1 s at most; a callback that hangs does not make a stop fail.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook of this node; [`ErrorCode::Timeout`] when a hook does not return, while
    /// everything else is closed.
    pub fn stop(&self) -> Result<()> {
        self.refuse_in_hook("stop")?;
        let stopped = self.wait(node_calls::stop(self.shared_node()));
        self.inner.logger.flush(LOG_CLOSE_TIMEOUT);
        stopped
    }

    /// [`ClusterKit::stop`], waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`ClusterKit::stop`]; [`ErrorCode::Timeout`] also when `timeout` has passed: stopping continues, and another
    /// call waits for its end.
    pub fn stop_within(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook("stop")?;
        if self.node().has_stopped() {
            // Only a hook that has not returned can be left to wait for, and for that one there is all of the time.
            return self.node().hooks().close(timeout);
        }
        let began = Instant::now();
        let stopping = node_calls::stop(self.shared_node());
        let stopped = self.inner.runtime.wait_within(stopping, timeout);
        let left = timeout.saturating_sub(began.elapsed());
        self.inner.logger.flush(left.min(LOG_CLOSE_TIMEOUT));
        stopped
    }

    /// Closes the node as dropping its last clone does, without notifying the other nodes, and waits until that is
    /// done: no hook and no log callback runs or will run, and everything that they captured is dropped. If it was the
    /// last node of the process and had no other clone, the runtime's threads have ended too.
    ///
    /// Usually blocks for milliseconds; for some seconds when a hook does not return, and for 1 s at most when the log
    /// callback does not: that callback gets no further message, and is dropped when it returns.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook of this node: this does not wait then, and drops this clone.
    /// [`ErrorCode::Timeout`] when a hook does not return, while everything else is closed.
    pub fn close(self) -> Result<()> {
        self.refuse_in_hook("close")?;
        let closed = self.wait(node_calls::close_immediately(self.shared_node()));
        self.inner.logger.close_within(LOG_CLOSE_TIMEOUT);
        closed
    }

    /// Leaves the cluster permanently: leadership and all copies of this node move to other nodes, then it is removed
    /// and stops. Blocks until then, for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] when no node could take over: the only active node cannot leave. [`ErrorCode::Timeout`]
    /// with what is left to move: the node continues to leave, and the call may be made again. [`ErrorCode::InHook`]
    /// inside a hook of this node.
    pub fn leave(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook("leave")?;
        let left = self.wait(node_calls::leave(self.shared_node(), timeout));
        if self.node().has_stopped() {
            self.inner.logger.flush(LOG_CLOSE_TIMEOUT);
        }
        left
    }

    /// Sets the log callback. `None`, the default, drops messages. An earlier callback is dropped before this returns,
    /// or when its running call returns; messages that waited for it go to the new one. Never blocks.
    pub fn on_log(&self, callback: Option<LogCallback>) {
        self.inner.logger.set_callback(callback);
    }
}
