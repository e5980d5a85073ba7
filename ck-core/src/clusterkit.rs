//! The handle that applications hold: every public call, and the runtime behind it.

mod assembly;
mod async_clusterkit;
mod bindings;
mod events;
mod hooks;
mod life;
mod node_calls;
mod readiness;
mod recovery;
mod runtime;
#[cfg(test)]
mod tests;
#[cfg(feature = "tracing")]
mod tracing;
mod weak;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorCode, Result};
use crate::hooks::Driver;
use crate::logger::Logger;
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, Migration, NodeHealth,
    NodeHealthState, NodeId, RebalanceStatus, Role,
};
use crate::net::{NetLimits, TcpTransport};
use crate::node::{LeasedView, Node, NodeDeps, TcpServer, disk_for, security_of};
use crate::options::Options;
use crate::raft::SnapshotPace;
use crate::routing::ViewGuard;
use crate::state::Expect;
pub use async_clusterkit::AsyncClusterKit;
pub use events::{Events, Lagged};
use node_calls::NodeCall;
pub(crate) use runtime::SharedRuntime;
pub use weak::WeakClusterKit;

/// A node of a cluster, embedded in this process.
///
/// For programs whose threads may block; [`AsyncClusterKit`] is the same node for programs that are asynchronous
/// themselves.
///
/// Clones refer to the same node. All calls may be made from any thread. Calls that wait for the cluster block the
/// calling thread, for as long as they document, inside a task of the application's own tokio runtime too; lookups
/// never wait. When the last clone is dropped the node stops without notifying the other nodes: call
/// [`ClusterKit::stop`] for a graceful shutdown. A clone that one of the node's own hooks holds counts too, so hooks
/// should hold a [`WeakClusterKit`].
///
/// All nodes of a process share two runtimes, one for their own work and one for HTTP clients, which start with the
/// first node and end with the last. Their threads start with all signals blocked except those of faults, so no signal
/// handler of the application runs on them.
#[derive(Clone)]
pub struct ClusterKit {
    inner: Arc<ClusterKitInner>,
}

struct ClusterKitInner {
    node: Arc<Node>,
    logger: Arc<Logger>,
    runtime: Arc<SharedRuntime>,
}

impl fmt::Debug for ClusterKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKit")
            .field("node_id", self.inner.node.id())
            .finish_non_exhaustive()
    }
}

impl Drop for ClusterKitInner {
    fn drop(&mut self) {
        let node = self.node.clone();
        self.logger.close();
        node.hooks().shut();
        if node.has_stopped() {
            // Nothing is open, so the runtime may end here and now.
            return;
        }
        // The runtime lives until the node has closed its files. This does not wait for that, because it may run on a
        // hook's thread.
        let runtime = self.runtime.clone();
        let keep = runtime.clone();
        runtime.spawn(Box::pin(async move {
            // There is no handle left to which an error could be reported.
            drop(node.close_immediately().await);
            drop(keep);
        }));
    }
}

impl ClusterKit {
    /// Creates a node with these options. Nothing is opened before [`ClusterKit::start`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]; [`ErrorCode::Io`] when the threads of the runtime cannot be started.
    pub fn new(options: Options) -> Result<Self> {
        // Validated before anything is created from them.
        options.validate()?;
        let security = security_of(&options)?;
        let runtime = SharedRuntime::get(options.runtime_threads)?;
        let deps = NodeDeps {
            disk: disk_for(&options),
            // Created inside the runtime that drives its connections, whatever thread calls this.
            transport: runtime.enter(|| {
                let (limits, security) = (NetLimits::default(), security.clone());
                Arc::new(TcpTransport::new(&*options.cluster_name, limits, security))
            })?,
            security,
            listen: Arc::new(TcpServer {
                clients: runtime.clients(),
            }),
            hooks: Driver::Threads(runtime.handle()),
            snapshots: SnapshotPace::default(),
        };
        ClusterKit::assemble(options, runtime, deps)
    }

    /// Runs a call on the runtime and waits for its result, on any thread.
    fn wait<T: Send + 'static>(&self, call: NodeCall<T>) -> Result<T> {
        self.inner.runtime.wait(call)
    }

    /// Runs a call on the calling thread, whatever thread that is: for calls that are made often.
    fn block_on<T, F>(&self, call: impl FnOnce(Arc<Node>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.runtime.block_on(call(self.node().clone()))
    }

    fn refuse_in_hook(&self, what: &str) -> Result<()> {
        if self.node().hooks().in_hook() {
            return Err(Error::new(
                ErrorCode::InHook,
                format!("{what} waits for hooks to return, so a hook cannot call it"),
            ));
        }
        Ok(())
    }

    /// The address at which other nodes reach this node: `host:port`, never a bare port. `None` before it listens.
    pub fn http_addr(&self) -> Option<String> {
        self.node()
            .listening()
            .map(|listening| listening.http_addr.clone())
    }

    // ---- lookups: no lock, no waiting ----------------------------------------------------------------------

    /// The present view of the cluster. Every lookup by key is made on a view, and all answers of one view agree.
    pub fn view(&self) -> ViewGuard {
        self.node().view()
    }

    /// The present view together with this node's lease, for an answer that says both which node holds a key and what
    /// this node may do with it now.
    pub fn leased_view(&self) -> LeasedView {
        self.node().leased_view()
    }

    /// This node's id.
    pub fn my_node_id(&self) -> &NodeId {
        self.inner.node.id()
    }

    /// The partition of a key; `None` before the partitions have been created.
    pub fn partition_number(&self, key: &[u8]) -> Option<u32> {
        self.view().partition(key).map(|partition| partition.number())
    }

    /// True when this node takes the writes of partition `number` at this moment.
    pub fn is_primary(&self, number: u32) -> bool {
        self.node().is_primary(number)
    }

    /// True when this node takes the writes of `key` at this moment.
    pub fn is_primary_for_key(&self, key: &[u8]) -> bool {
        let leased = self.leased_view();
        let partition = leased.view().partition(key);
        partition.is_some_and(|partition| leased.is_primary(&partition))
    }

    /// The epoch of partition `number`, if this node takes its writes at this moment: the strict form of
    /// [`ClusterKit::is_primary`], and the fencing token with which storage refuses an earlier primary.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when this node would be primary but holds no lease; [`ErrorCode::Conflict`] when
    /// another node is primary, or none at present; [`ErrorCode::NotFound`].
    pub fn primary_epoch(&self, number: u32) -> Result<u64> {
        self.node().primary_epoch(number)
    }

    /// True while this node holds a lease, without which it is primary of no partition.
    pub fn is_leased(&self) -> bool {
        self.node().is_leased()
    }

    /// The role of this node for partition `number` at this moment; `None` when it has none.
    pub fn role(&self, number: u32) -> Option<Role> {
        let leased = self.leased_view();
        leased.role(&leased.view().partition_by_number(number)?)
    }

    /// The role of this node for `key` at this moment; `None` when it has none.
    pub fn should_handle_key(&self, key: &[u8]) -> Option<Role> {
        let leased = self.leased_view();
        leased.role(&leased.view().partition(key)?)
    }

    // ---- the cluster ---------------------------------------------------------------------------------------

    /// The whole cluster at one revision, including the replicated store. `leader` is empty when this node has had no
    /// contact with a leader for the duration of a lease; then the rest is as old too.
    pub fn cluster(&self) -> Cluster {
        self.node().cluster(true)
    }

    /// Counters and gauges of this node.
    pub fn metrics(&self) -> Metrics {
        self.node().metrics()
    }

    /// The health of this node.
    pub fn health_check(&self) -> HealthStatus {
        self.node().health()
    }

    /// Reports the health of this node's application to every node. It affects the health of the cluster, not the
    /// placement of partitions. `reason` is for people, and is cut after 256 characters.
    pub fn report_health(&self, health: NodeHealthState, reason: &str) {
        self.node().report_health(health, reason);
    }

    /// Begins maintenance, with a reason for people, or ends it with `None`. During maintenance no migrations are
    /// planned, and primaries still fail over. The cluster begins it by itself when more than half of its members have
    /// failed. Returns the revision. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`], [`ErrorCode::Timeout`].
    pub fn maintenance(&self, reason: Option<&str>, timeout: Duration) -> Result<u64> {
        let reason = reason.map(str::to_owned);
        self.wait(node_calls::maintenance(self.shared_node(), reason, timeout))
    }

    /// The health of a member. The leader's information is the most accurate.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn node_health(&self, id: &str) -> Result<NodeHealth> {
        self.node().node_health(id)
    }

    /// Removes a member permanently; returns the revision. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for the leader, for the last member, and for the last member
    /// that counts as holding a partition's data (only [`ClusterKit::force_remove_node`] removes such a member);
    /// [`ErrorCode::NoLeader`], [`ErrorCode::Timeout`].
    pub fn remove_node(&self, id: &str, timeout: Duration) -> Result<u64> {
        let id: NodeId = id.into();
        self.wait(node_calls::remove_node(self.shared_node(), id, false, timeout))
    }

    /// Creates the partitions if there are none, which a leader also does by itself. Returns the revision and the
    /// number of partitions. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`], [`ErrorCode::Timeout`].
    pub fn create_partitions(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.wait(node_calls::create_partitions(self.shared_node(), timeout))
    }

    /// Plans and starts a rebalance, which a leader also does by itself. Returns the revision and the number of
    /// partitions that move. Blocks for at most `timeout`; the migrations continue afterwards.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`], [`ErrorCode::Timeout`].
    pub fn rebalance_partitions(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.wait(node_calls::rebalance(self.shared_node(), timeout))
    }

    /// The migrations in progress and waiting: as the leader knows them, or, when it does not answer within `timeout`,
    /// as this node does. The answer says which.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn rebalance_status(&self, timeout: Duration) -> Result<RebalanceStatus> {
        self.wait(node_calls::rebalance_status(self.shared_node(), timeout))
    }

    /// The migration steps of [`ClusterKit::rebalance_status`], those in progress first, then the waiting ones: at most
    /// a thousand.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn migrations(&self, timeout: Duration) -> Result<Vec<Migration>> {
        self.rebalance_status(timeout).map(|status| status.migrations)
    }

    // ---- leadership ----------------------------------------------------------------------------------------

    /// True when this node leads the cluster at this moment: a quorum acknowledged it so recently that no other node
    /// can lead.
    pub fn is_leader(&self) -> bool {
        self.node().is_leader()
    }

    /// The leader epoch of this node's leadership, a fencing token.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when this node does not lead.
    pub fn leader_epoch(&self) -> Result<u64> {
        self.node().leader_epoch()
    }

    /// The leader; `None` when this node has had no contact with a leader for the duration of a lease (`lease_ttl`).
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.node().leader()
    }

    /// Waits until a leader is known, for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`].
    pub fn wait_for_leader(&self, timeout: Duration) -> Result<LeaderInfo> {
        self.block_on(move |node| async move { node.wait_for_leader(timeout).await })
    }

    /// Asks the leader to transfer leadership to another voter; returns the leader afterwards.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason when no voter could take over.
    pub fn step_down(&self) -> Result<NodeId> {
        self.wait(node_calls::step_down(self.shared_node(), None))
    }

    /// [`ClusterKit::transfer_leadership`], by the name that it has in HTTP and in other languages.
    ///
    /// # Errors
    /// As [`ClusterKit::transfer_leadership`].
    pub fn promote(&self, node: &str) -> Result<NodeId> {
        self.transfer_leadership(node)
    }

    /// Asks the leader to transfer leadership to the voter `node`; returns the leader afterwards.
    ///
    /// # Errors
    /// As [`ClusterKit::step_down`]; [`ErrorCode::NotFound`].
    pub fn transfer_leadership(&self, node: &str) -> Result<NodeId> {
        let node: NodeId = node.into();
        self.wait(node_calls::step_down(self.shared_node(), Some(node)))
    }

    /// [`ClusterKit::step_down`], after which the former leader does not stand for election by itself for `cooldown`.
    ///
    /// # Errors
    /// As [`ClusterKit::step_down`].
    pub fn demote(&self, cooldown: Duration) -> Result<NodeId> {
        self.wait(node_calls::demote(self.shared_node(), cooldown))
    }

    /// Raft statistics of this node.
    pub fn consensus_stats(&self) -> ConsensusStats {
        self.node().consensus_stats()
    }

    // ---- the replicated store ------------------------------------------------------------------------------

    /// Writes a small value that is replicated to every node; returns the revision of the write. Blocks for at most
    /// `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] above 1 MiB; [`ErrorCode::Conflict`] when `expect` does not hold;
    /// [`ErrorCode::NoLeader`]: the write has not happened; [`ErrorCode::Timeout`]: the write may or may not have
    /// happened.
    pub fn set_custom_data(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        expect: Expect,
        timeout: Duration,
    ) -> Result<u64> {
        let (key, value) = (key.to_owned(), value.into());
        self.block_on(move |node| async move { node.set_data(key, value, expect, timeout).await })
    }

    /// The value of `key` as this node has applied it; another node may be ahead. See
    /// [`ClusterKit::wait_for_revision`] and [`ClusterKit::read_barrier`].
    pub fn custom_data(&self, key: &str) -> Option<DataEntry> {
        self.node().data(key)
    }

    /// Deletes a value; returns the revision and whether the value existed. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// As [`ClusterKit::set_custom_data`].
    pub fn delete_custom_data(&self, key: &str, expect: Expect, timeout: Duration) -> Result<(u64, bool)> {
        let key = key.to_owned();
        self.block_on(move |node| async move { node.delete_data(key, expect, timeout).await })
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, in order.
    pub fn list_custom_data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.node().data_keys(prefix, after, limit)
    }

    /// Waits until this node has applied `revision`, for at most `timeout`: read your writes, including those made
    /// through another node.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`].
    pub fn wait_for_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        self.block_on(move |node| async move { node.wait_for_revision(revision, timeout).await })
    }

    /// Waits until this node has applied everything that any node acknowledged before this call: a read that follows is
    /// linearizable. Returns the revision. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`], [`ErrorCode::Timeout`].
    pub fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.block_on(move |node| async move { node.read_barrier(timeout).await })
    }
}
