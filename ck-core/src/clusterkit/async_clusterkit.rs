//! The handle for programs that are asynchronous themselves.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;

use super::node_calls::{self, NodeCall};
use super::{ClusterKit, Events};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::hooks::HookId;
use crate::logger::LOG_CLOSE_TIMEOUT;
use crate::model::{LeaderInfo, Migration, NodeId, RebalanceStatus};
use crate::options::Options;
use crate::state::Expect;

/// A node of a cluster, embedded in this process: [`ClusterKit`] with every call that waits as an `async` method.
///
/// Await the calls on any executor: they run on ClusterKit's own runtime, and no thread of the caller's is blocked. Every
/// method that is not here is that of [`ClusterKit`], which this handle dereferences to: lookups, hooks and queries, none
/// of which waits.
///
/// *Cancellation.* A call begins when it is first polled. Dropping it after that stops the waiting, not the call, which
/// goes on to its end on the runtime: nothing is half done, and whether a write happened is as unknown as after
/// [`ErrorCode::Timeout`]. So it is safe in `select!` and under timeouts.
///
/// Both handles are of the same node: [`ClusterKit::into_async`] and [`AsyncClusterKit::into_blocking`] turn one into the
/// other, and both may be used at the same time.
///
/// ```
/// use std::time::Duration;
///
/// use clusterkit::prelude::*;
///
/// # fn main() { futures_executor_block_on(async {
/// # let result: clusterkit::Result<()> = async {
/// let options = Options::builder("node-1", "127.0.0.1:0").data_dir("").build()?;
/// let node = AsyncClusterKit::new(options)?;
/// node.start().await?;
/// let timeout = Duration::from_secs(10);
/// let revision = node.set_custom_data("config/limit", "10", Expect::Any, timeout).await?;
/// node.wait_for_revision(revision, timeout).await?;
/// assert!(node.view().partition(b"user:123").is_some());
/// node.stop().await
/// # }.await; result.unwrap(); }) }
/// # fn futures_executor_block_on<F: Future>(future: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncClusterKit {
    blocking: ClusterKit,
}

impl fmt::Debug for AsyncClusterKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncClusterKit")
            .field(self.blocking.my_node_id())
            .finish()
    }
}

impl Deref for AsyncClusterKit {
    type Target = ClusterKit;

    fn deref(&self) -> &ClusterKit {
        &self.blocking
    }
}

impl From<ClusterKit> for AsyncClusterKit {
    fn from(blocking: ClusterKit) -> Self {
        AsyncClusterKit { blocking }
    }
}

impl From<AsyncClusterKit> for ClusterKit {
    fn from(node: AsyncClusterKit) -> Self {
        node.blocking
    }
}

impl ClusterKit {
    /// The same node, for a caller that is asynchronous itself.
    pub fn into_async(self) -> AsyncClusterKit {
        self.into()
    }

    /// Every event from now on, as a stream: see [`Events`]. Nothing waits for its reader.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn events(&self) -> Result<Events> {
        Events::subscribe(&self.shared_node())
    }
}

impl AsyncClusterKit {
    /// Creates a node with these options. Nothing is opened before [`AsyncClusterKit::start`].
    ///
    /// # Errors
    /// As [`ClusterKit::new`].
    pub fn new(options: Options) -> Result<Self> {
        ClusterKit::new(options).map(ClusterKit::into_async)
    }

    /// The same node, for a caller whose threads may block.
    pub fn into_blocking(self) -> ClusterKit {
        self.into()
    }

    /// Runs a call on the runtime, from when this is first polled.
    async fn run<T: Send + 'static>(&self, call: NodeCall<T>) -> Result<T> {
        self.blocking.inner.runtime.run(call).await
    }

    /// Waits on a thread of the runtime that may block until the log callback has received every message, for 1 s at
    /// most.
    async fn flush_log(&self) {
        let inner = &self.blocking.inner;
        let logger = inner.logger.clone();
        let flushed = inner
            .runtime
            .run_blocking(move || logger.flush(LOG_CLOSE_TIMEOUT));
        // A callback that panics makes no stop fail.
        drop(flushed.await);
    }

    /// Starts the node; resolves when it is a member. See [`ClusterKit::start`].
    ///
    /// # Errors
    /// As [`ClusterKit::start`].
    pub async fn start(&self) -> Result<()> {
        self.refuse_in_hook("start")?;
        self.run(node_calls::start(self.shared_node())).await
    }

    /// Stops the node gracefully. See [`ClusterKit::stop`].
    ///
    /// # Errors
    /// As [`ClusterKit::stop`].
    pub async fn stop(&self) -> Result<()> {
        self.refuse_in_hook("stop")?;
        let stopped = self.run(node_calls::stop(self.shared_node())).await;
        self.flush_log().await;
        stopped
    }

    /// Closes the node without notifying the other nodes. See [`ClusterKit::close`].
    ///
    /// # Errors
    /// As [`ClusterKit::close`].
    pub async fn close(self) -> Result<()> {
        self.refuse_in_hook("close")?;
        let closed = self.run(node_calls::close_immediately(self.shared_node())).await;
        let inner = self.blocking.inner.clone();
        drop(self);
        let logger = inner.logger.clone();
        let closing = inner
            .runtime
            .run_blocking(move || logger.close_within(LOG_CLOSE_TIMEOUT));
        drop(closing.await);
        closed
    }

    /// Leaves the cluster permanently. See [`ClusterKit::leave`].
    ///
    /// # Errors
    /// As [`ClusterKit::leave`].
    pub async fn leave(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook("leave")?;
        let left = self.run(node_calls::leave(self.shared_node(), timeout)).await;
        if self.node().has_stopped() {
            self.flush_log().await;
        }
        left
    }

    /// Begins maintenance for `reason`, or ends it with `None`. See [`ClusterKit::maintenance`].
    ///
    /// # Errors
    /// As [`ClusterKit::maintenance`].
    pub async fn maintenance(&self, reason: Option<&str>, timeout: Duration) -> Result<u64> {
        let reason = reason.map(str::to_owned);
        self.run(node_calls::maintenance(self.shared_node(), reason, timeout))
            .await
    }

    /// Removes a member permanently. See [`ClusterKit::remove_node`].
    ///
    /// # Errors
    /// As [`ClusterKit::remove_node`].
    pub async fn remove_node(&self, id: &str, timeout: Duration) -> Result<u64> {
        let id: NodeId = id.into();
        self.run(node_calls::remove_node(self.shared_node(), id, false, timeout))
            .await
    }

    /// Removes a member though it is the last that holds some data. See [`ClusterKit::force_remove_node`].
    ///
    /// # Errors
    /// As [`ClusterKit::force_remove_node`].
    pub async fn force_remove_node(&self, id: &str, timeout: Duration) -> Result<u64> {
        let id: NodeId = id.into();
        self.run(node_calls::remove_node(self.shared_node(), id, true, timeout))
            .await
    }

    /// Accepts the copy of a node as a partition's data. See [`ClusterKit::recover_partition`].
    ///
    /// # Errors
    /// As [`ClusterKit::recover_partition`].
    pub async fn recover_partition(
        &self,
        number: u32,
        from: &str,
        force: bool,
        timeout: Duration,
    ) -> Result<u64> {
        let from: NodeId = from.into();
        self.run(node_calls::recover(
            self.shared_node(),
            number,
            from,
            force,
            timeout,
        ))
        .await
    }

    /// Creates the partitions if there are none. See [`ClusterKit::create_partitions`].
    ///
    /// # Errors
    /// As [`ClusterKit::create_partitions`].
    pub async fn create_partitions(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.run(node_calls::create_partitions(self.shared_node(), timeout))
            .await
    }

    /// Plans and starts a rebalance. See [`ClusterKit::rebalance_partitions`].
    ///
    /// # Errors
    /// As [`ClusterKit::rebalance_partitions`].
    pub async fn rebalance_partitions(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.run(node_calls::rebalance(self.shared_node(), timeout)).await
    }

    /// The migrations in progress and waiting. See [`ClusterKit::rebalance_status`].
    ///
    /// # Errors
    /// As [`ClusterKit::rebalance_status`].
    pub async fn rebalance_status(&self, timeout: Duration) -> Result<RebalanceStatus> {
        self.run(node_calls::rebalance_status(self.shared_node(), timeout))
            .await
    }

    /// The migration steps of [`AsyncClusterKit::rebalance_status`]. See [`ClusterKit::migrations`].
    ///
    /// # Errors
    /// As [`ClusterKit::migrations`].
    pub async fn migrations(&self, timeout: Duration) -> Result<Vec<Migration>> {
        self.rebalance_status(timeout)
            .await
            .map(|status| status.migrations)
    }

    /// Waits until a leader is known. See [`ClusterKit::wait_for_leader`].
    ///
    /// # Errors
    /// As [`ClusterKit::wait_for_leader`].
    pub async fn wait_for_leader(&self, timeout: Duration) -> Result<LeaderInfo> {
        self.run(node_calls::wait_for_leader(self.shared_node(), timeout))
            .await
    }

    /// Has the leader transfer leadership to another voter. See [`ClusterKit::step_down`].
    ///
    /// # Errors
    /// As [`ClusterKit::step_down`].
    pub async fn step_down(&self) -> Result<NodeId> {
        self.run(node_calls::step_down(self.shared_node(), None)).await
    }

    /// Has the leader transfer leadership to the voter `node`. See [`ClusterKit::transfer_leadership`].
    ///
    /// # Errors
    /// As [`ClusterKit::transfer_leadership`].
    pub async fn transfer_leadership(&self, node: &str) -> Result<NodeId> {
        let node: NodeId = node.into();
        self.run(node_calls::step_down(self.shared_node(), Some(node)))
            .await
    }

    /// [`AsyncClusterKit::transfer_leadership`], by the name that it has in HTTP and in other languages.
    ///
    /// # Errors
    /// As [`ClusterKit::promote`].
    pub async fn promote(&self, node: &str) -> Result<NodeId> {
        self.transfer_leadership(node).await
    }

    /// [`AsyncClusterKit::step_down`], with a cooldown for the former leader. See [`ClusterKit::demote`].
    ///
    /// # Errors
    /// As [`ClusterKit::demote`].
    pub async fn demote(&self, cooldown: Duration) -> Result<NodeId> {
        self.run(node_calls::demote(self.shared_node(), cooldown)).await
    }

    /// Writes a small value that is replicated to every node. See [`ClusterKit::set_custom_data`].
    ///
    /// # Errors
    /// As [`ClusterKit::set_custom_data`].
    pub async fn set_custom_data(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        expect: Expect,
        timeout: Duration,
    ) -> Result<u64> {
        let (key, value) = (key.to_owned(), value.into());
        self.run(node_calls::set_data(
            self.shared_node(),
            key,
            value,
            expect,
            timeout,
        ))
        .await
    }

    /// Deletes a value. See [`ClusterKit::delete_custom_data`].
    ///
    /// # Errors
    /// As [`ClusterKit::delete_custom_data`].
    pub async fn delete_custom_data(
        &self,
        key: &str,
        expect: Expect,
        timeout: Duration,
    ) -> Result<(u64, bool)> {
        let key = key.to_owned();
        self.run(node_calls::delete_data(self.shared_node(), key, expect, timeout))
            .await
    }

    /// Waits until this node has applied `revision`. See [`ClusterKit::wait_for_revision`].
    ///
    /// # Errors
    /// As [`ClusterKit::wait_for_revision`].
    pub async fn wait_for_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        self.run(node_calls::wait_for_revision(
            self.shared_node(),
            revision,
            timeout,
        ))
        .await
    }

    /// Waits until this node has applied everything that was acknowledged before. See [`ClusterKit::read_barrier`].
    ///
    /// # Errors
    /// As [`ClusterKit::read_barrier`].
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.run(node_calls::read_barrier(self.shared_node(), timeout))
            .await
    }

    /// Removes a hook; resolves when no call of it runs or will run. See [`ClusterKit::remove_hook`], with its exceptions.
    pub async fn remove_hook(&self, id: HookId) -> bool {
        if self.node().hooks().in_hook() {
            // Inside a hook nothing waits, so nothing blocks.
            return self.blocking.remove_hook(id);
        }
        let node = self.blocking.clone();
        let removed = self
            .blocking
            .inner
            .runtime
            .run_blocking(move || node.remove_hook(id))
            .await;
        removed.unwrap_or(false)
    }
}
