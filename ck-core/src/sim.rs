//! Whole nodes in the simulator. The network, the disk and the time are simulated; everything else is the real code.
//!
//! Used by `tests/simulation`, by the fuzz targets and by this crate's simulated tests. A [`SimNode`] is one process of
//! one node: it is started once, and a restart is another [`SimNode`] on the same disk. Everything that it does runs in
//! a [`SimProcess`] of its own, so it can drift, pause and be killed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use crate::env::runtime::simulate;
pub use crate::env::sim_process::SimProcess;
pub use crate::net::sim::{SentObserver, observe_sent};
pub use crate::raft::observe::{Applied, Observer, observe};

use crate::env::disk::MemDisk;
use crate::error::Result;
use crate::hooks::{Driver, EventFilter, Hook, HookId};
use crate::logger::Logger;
use crate::model::{DataEntry, LeaderInfo, NodeId, Topology};
use crate::net::Handler;
use crate::net::sim::SimNetwork;
use crate::node::{Close, Listen, Listening, Node, NodeDeps, Phase};
use crate::options::Options;
use crate::raft::SnapshotPace;
use crate::routing::ClusterView;
use crate::state::Expect;

/// The listener of a node on the simulated network.
#[derive(Debug)]
pub(crate) struct SimListen {
    pub(crate) network: SimNetwork,
    pub(crate) addr: String,
    /// The address that others dial: a name of `addr`, or `addr` itself.
    pub(crate) advertised: String,
}

impl SimListen {
    /// The listener of a node with these options.
    pub(crate) fn new(network: &SimNetwork, options: &Options) -> Self {
        let addr = options.http_addr.clone();
        SimListen {
            network: network.clone(),
            advertised: options.advertise_addr.clone().unwrap_or_else(|| addr.clone()),
            addr,
        }
    }
}

#[derive(Debug)]
struct SimDoors {
    network: SimNetwork,
    addr: String,
}

impl Close for SimDoors {
    fn close(&self) -> BoxFuture<'_, ()> {
        async { self.network.unserve(&self.addr) }.boxed()
    }
}

impl Listen for SimListen {
    fn listen(&self, _: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>> {
        async move {
            self.network.serve(&self.addr, handler);
            let doors = SimDoors {
                network: self.network.clone(),
                addr: self.addr.clone(),
            };
            Ok(Listening {
                http_addr: self.advertised.clone(),
                peer_addr: self.advertised.clone(),
                close: Box::new(doors),
            })
        }
        .boxed()
    }
}

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
        let seams = NodeDeps {
            disk: spec.disk.clone(),
            transport: spec.network.transport(&spec.options.http_addr),
            listen: Arc::new(SimListen::new(&spec.network, &spec.options)),
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
        })
    }

    /// The interface that its REST API uses.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn api(&self) -> Arc<dyn crate::http::Api> {
        self.node.clone()
    }

    /// The id of the last entry of its log.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn tip(&self) -> Option<crate::raft::storage::wal::LogId> {
        crate::raft::fuzz::tip(&self.node.raft_parts().ok()?.raft)
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        self.node.id()
    }

    /// The address that it listens on.
    pub fn addr(&self) -> &str {
        &self.node.options().http_addr
    }

    /// The number that identifies the process.
    pub fn process(&self) -> u64 {
        self.node.process()
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
    pub async fn start(&self) -> Result<()> {
        self.sim_process.wrap(self.node.start()).await
    }

    /// Stops it gracefully.
    ///
    /// # Errors
    /// Those of the stop.
    pub async fn stop(&self) -> Result<()> {
        self.sim_process.wrap(self.node.stop()).await
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

    /// Why the cluster refuses it, if it did.
    pub fn refusal(&self) -> Option<String> {
        self.node.refusal().map(|error| error.to_string())
    }

    /// The reason why it is unhealthy, if it is.
    pub fn complaint(&self) -> Option<String> {
        self.sim_process.enter(|| self.node.unhealthy_reason())
    }

    /// True if Raft has stopped on it, as after a failure of its disk.
    pub fn has_failed(&self) -> bool {
        self.sim_process
            .enter(|| self.node.consensus_stats().state == "Shutdown")
            && self.node.raft_parts().is_ok()
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// When the node has stopped.
    pub fn register(&self, filter: EventFilter, hook: Hook) -> Result<HookId> {
        let registered = self.sim_process.enter(|| self.node.register_hook(filter, hook));
        registered.map_err(crate::hooks::Rejected::into_error)
    }

    /// True if the node says that it is primary of this partition.
    pub fn is_primary(&self, number: u32) -> bool {
        self.sim_process.enter(|| self.node.is_primary(number))
    }

    /// The partitions of which it says that it is primary. Only those that its view assigns to it are asked about.
    pub fn claims(&self) -> Vec<u32> {
        self.sim_process.enter(|| {
            let view = self.node.view();
            let mine = view.topology().partitions.iter();
            mine.filter(|partition| partition.primary.as_ref() == Some(self.id()))
                .map(|partition| partition.number)
                .filter(|number| self.node.is_primary(*number))
                .collect()
        })
    }

    /// True if the node says that it leads.
    pub fn is_leader(&self) -> bool {
        self.sim_process.enter(|| self.node.is_leader())
    }

    /// True if it may still act as leader towards other nodes, even while it stops.
    pub fn holds_leadership(&self) -> bool {
        let leads = || {
            let parts = self.node.raft_parts();
            parts.is_ok_and(|parts| parts.leadership.is_leader())
        };
        self.sim_process.is_running() && self.sim_process.enter(leads)
    }

    /// The epoch with which it leads.
    pub fn leader_epoch(&self) -> Option<u64> {
        self.sim_process.enter(|| self.node.leader_epoch().ok())
    }

    /// The leader, as far as it knows.
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.sim_process.enter(|| self.node.leader())
    }

    /// The view that lookups read.
    pub fn view(&self) -> Arc<ClusterView> {
        self.node.view().into_owned()
    }

    /// The topology: members, partitions and leader.
    pub fn topology(&self) -> Arc<Topology> {
        self.node.view().topology().clone()
    }

    /// The last revision that it has applied.
    pub fn revision(&self) -> u64 {
        self.node.view().revision()
    }

    /// The incarnation that the log assigned to this process.
    pub fn incarnation(&self) -> Option<u64> {
        self.node.incarnation()
    }

    /// Its Raft id, and the Raft ids of the voters.
    pub fn raft(&self) -> Option<(u64, Vec<u64>)> {
        let parts = self.node.raft_parts().ok()?;
        let voters = parts.raft.raft_members().voters;
        Some((parts.raft.raft_id(), voters.into_iter().collect()))
    }

    /// The state of its Raft, for traces.
    pub fn raft_state(&self) -> String {
        self.node
            .raft_parts()
            .map_or_else(|error| error.to_string(), |member| member.raft.describe())
    }

    /// A value of the custom data, as applied on this node.
    pub fn data(&self, key: &str) -> Option<DataEntry> {
        self.node.data(key)
    }

    /// The keys that begin with `prefix`.
    pub fn data_keys(&self, prefix: &str) -> Vec<String> {
        self.node.data_keys(prefix, None, usize::MAX)
    }

    /// The whole replicated state, encoded.
    pub fn state_bytes(&self) -> Vec<u8> {
        self.node.state_bytes()
    }

    /// Writes a value. The result is the revision.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> Result<u64> {
        self.sim_process
            .wrap(self.node.set_data(key, value, expect, timeout))
            .await
    }

    /// Waits until this node has applied everything that was committed when the call began.
    ///
    /// # Errors
    /// When the revision cannot be determined or reached in time.
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.read_barrier(timeout)).await
    }

    /// Waits until this node has applied a revision.
    ///
    /// # Errors
    /// When it is not applied in time.
    pub async fn wait_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        let wait = self.node.wait_for_revision(revision, timeout);
        self.sim_process.wrap(wait).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> Result<u64> {
        self.sim_process
            .wrap(self.node.remove_node(node, force, timeout))
            .await
    }

    /// Begins its leave: its copies move to other nodes, then it is removed.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn begin_leaving(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.begin_leaving(timeout)).await
    }

    /// Makes the leader transfer its leadership.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn step_down(&self, target: Option<NodeId>) -> Result<NodeId> {
        self.sim_process.wrap(self.node.step_down(target)).await
    }

    /// Moves partitions to the nodes where they belong.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn rebalance(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.sim_process.wrap(self.node.rebalance(timeout)).await
    }
}
