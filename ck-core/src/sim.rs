//! Whole nodes in the simulator. The network, the disk and the time are simulated; everything else is the real code.
//!
//! Used by `tests/simulation`, by the fuzz targets and by this crate's simulated tests. A [`SimNode`] is one process of
//! one node: it is started once, and a restart is another [`SimNode`] on the same disk. Everything that it does runs in
//! a [`SimProcess`] of its own, so it can drift, pause and be killed.
//!
//! - Here: what starts and ends a process.
//! - `calls`: what the application asks of its node and waits for.
//! - `queries`: what a node answers at once.
//! - `raft`: a look into its Raft, for scenarios that need one.
//! - `stranger`: somebody on the network who is no member and talks like one.

mod calls;
mod listener;
mod queries;
mod raft;
mod stranger;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use crate::env::runtime::simulate;
pub use crate::env::sim_process::SimProcess;
pub use crate::net::sim::{SentObserver, observe_sent};
pub use crate::raft::RaftMembers;
pub use crate::raft::observe::{Applied, Observer, observe};
pub use stranger::{MemberOrder, Stranger};

use crate::env::disk::MemDisk;
use crate::error::Result;
use crate::hooks::{Driver, EventFilter, Hook, HookId, Rejected};
use crate::logger::Logger;
use crate::model::NodeId;
use crate::net::Security;
use crate::net::sim::SimNetwork;
use crate::node::{Node, NodeDeps, Phase};
use crate::options::Options;
use crate::raft::SnapshotPace;
use crate::rpc::ProcessTag;

use listener::SimListen;

/// The parameters of one process of a node.
pub struct SimSpec {
    /// Its options; `http_addr` is its address on the network.
    pub options: Options,
    /// Its disk. An earlier process may have used it.
    pub disk: Arc<MemDisk>,
    /// The network.
    pub network: SimNetwork,
    /// A snapshot is taken after the first number of entries; the second number of entries is kept in the log behind
    /// it.
    pub snapshots: (u64, u64),
    /// The drift of its monotonic clock, in parts per million.
    pub drift_ppm: i32,
}

/// One process of one node.
#[derive(Clone)]
pub struct SimNode {
    node: Arc<Node>,
    sim_process: SimProcess,
    disk: Arc<MemDisk>,
    network: SimNetwork,
    closings: Arc<AtomicUsize>,
}

impl std::fmt::Debug for SimNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNode")
            .field("id", self.node.id())
            .finish_non_exhaustive()
    }
}

impl SimNode {
    /// A process that has not been started.
    ///
    /// # Errors
    /// Those of invalid options.
    pub fn new(spec: SimSpec) -> Result<Self> {
        let sim_process = SimProcess::new(spec.drift_ppm);
        let closings = Arc::<AtomicUsize>::default();
        let seams = NodeDeps {
            disk: spec.disk.clone(),
            transport: spec.network.transport(&spec.options.http_addr),
            security: Security::none(),
            listen: Arc::new(SimListen::new(&spec.network, &spec.options, closings.clone())),
            hooks: Driver::Tasks,
            snapshots: SnapshotPace {
                entries: spec.snapshots.0,
                times: 0,
                kept: spec.snapshots.1,
            },
        };
        let node = sim_process.enter(|| Node::new(spec.options, seams, Arc::new(Logger::default())))?;
        Ok(SimNode {
            node,
            sim_process,
            disk: spec.disk,
            network: spec.network,
            closings,
        })
    }

    /// The interface that its REST API uses.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn api(&self) -> Arc<dyn crate::http::Api> {
        self.node.clone()
    }

    /// What its process does until this is done. Boxed, so that the code of a node is compiled here, and not once more in
    /// every crate that calls it.
    fn call<'a, T>(&self, call: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        self.sim_process.wrap(call).boxed()
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        self.node.id()
    }

    /// The address that it listens on.
    pub fn addr(&self) -> &str {
        &self.options().http_addr
    }

    /// The options that it was made with.
    pub fn options(&self) -> &Options {
        self.node.options()
    }

    /// The number that identifies the process.
    pub fn process(&self) -> u64 {
        self.node.process()
    }

    /// The number by which it names its process to everybody who asks.
    pub fn process_tag(&self) -> u64 {
        ProcessTag::of(self.process()).number()
    }

    /// Its disk.
    pub fn disk(&self) -> &Arc<MemDisk> {
        &self.disk
    }

    /// The simulated process: its clock, and whether it runs.
    pub fn sim_process(&self) -> &SimProcess {
        &self.sim_process
    }

    /// Starts it. Returns as [`crate::ClusterKit::start`] does.
    ///
    /// # Errors
    /// Those of [`crate::ClusterKit::start`].
    pub fn start(&self) -> BoxFuture<'_, Result<()>> {
        self.call(self.node.start())
    }

    /// Stops it gracefully.
    ///
    /// # Errors
    /// Those of the stop.
    pub fn stop(&self) -> BoxFuture<'_, Result<()>> {
        self.call(self.node.stop())
    }

    /// Leaves the cluster: returns when its copies are elsewhere, it was removed, and it has stopped.
    ///
    /// # Errors
    /// Those of [`crate::ClusterKit::leave`].
    pub fn leave(&self, timeout: Duration) -> BoxFuture<'_, Result<()>> {
        self.call(self.node.leave(timeout))
    }

    /// Closes everything without a word to the other nodes, as when the application drops its last handle.
    ///
    /// # Errors
    /// Those of the close.
    pub fn close_immediately(&self) -> BoxFuture<'_, Result<()>> {
        self.call(self.node.close_immediately())
    }

    /// Kills the process without a graceful stop. With a seed the machine fails with it, and the seed decides which of
    /// the writes that were not durable are lost or torn.
    pub fn kill(&self, power_loss: Option<u64>) {
        self.sim_process.kill();
        self.network.crash(self.addr());
        match power_loss {
            Some(seed) => self.disk.crash(seed),
            None => self.disk.end_process(),
        }
    }

    /// True while it runs and was not asked to stop.
    pub fn is_up(&self) -> bool {
        self.sim_process.is_running() && self.node.is_running()
    }

    /// True if its start has succeeded and it was not asked to stop.
    pub fn is_started(&self) -> bool {
        self.node.phase() == Phase::Running
    }

    /// True when everything is closed.
    pub fn has_stopped(&self) -> bool {
        self.node.has_stopped()
    }

    /// How often its listeners were closed.
    pub fn closings(&self) -> usize {
        self.closings.load(Ordering::SeqCst)
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// When the node has stopped.
    pub fn register(&self, filter: EventFilter, hook: Hook) -> Result<HookId> {
        let registered = self.sim_process.enter(|| self.node.register_hook(filter, hook));
        registered.map_err(Rejected::into_error)
    }

    /// Adds a hook that observes every event and confirms no copy.
    ///
    /// # Errors
    /// When the node has stopped.
    pub fn observe(&self, hook: Hook) -> Result<HookId> {
        self.sim_process.enter(|| self.node.observe(hook))
    }
}
