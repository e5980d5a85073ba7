//! Whole nodes in the simulator: simulated network, disk and time, and everything else as it is.
//!
//! For `tests/simulation` alone. A [`SimNode`] is one process of one node: it is started once, and a restart is another
//! one on the same disk. Everything that it does happens in a [`SimProcess`] of its own, so it can drift, pause and die.

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

/// Doors on the simulated network.
#[derive(Debug)]
pub(crate) struct SimListen {
    pub(crate) network: SimNetwork,
    pub(crate) addr: String,
    /// What others dial: a name of that address, or the address itself.
    pub(crate) advertised: String,
}

impl SimListen {
    /// Where a node with these options listens.
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

/// What one process of a node stands on.
pub struct SimSpec {
    /// Its options; `http_addr` is its address on the network.
    pub options: Options,
    /// Its disk, which may have been another process's before.
    pub disk: Arc<MemDisk>,
    /// The network.
    pub network: SimNetwork,
    /// After so many entries a snapshot is taken, and so many are kept in the log behind it.
    pub snapshots: (u64, u64),
    /// How fast its monotonic clock is, in millionths.
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
    /// A process that has not started.
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

    /// What its REST API asks.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn api(&self) -> Arc<dyn crate::http::Api> {
        self.node.clone()
    }

    /// Where its log ends.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn tip(&self) -> Option<crate::raft::storage::wal::LogId> {
        crate::raft::fuzz::tip(&self.node.member().ok()?.raft)
    }

    /// Its id.
    pub fn id(&self) -> &NodeId {
        self.node.id()
    }

    /// Where it listens.
    pub fn addr(&self) -> &str {
        &self.node.options().http_addr
    }

    /// The number that names the process.
    pub fn process(&self) -> u64 {
        self.node.process()
    }

    /// Its disk.
    pub fn disk(&self) -> &Arc<MemDisk> {
        &self.disk
    }

    /// Its clock, and whether it runs.
    pub fn sim_process(&self) -> &SimProcess {
        &self.sim_process
    }

    /// Starts it; returns as [`crate::ClusterKit::start`] does.
    ///
    /// # Errors
    /// Those of the start.
    pub async fn start(&self) -> Result<()> {
        self.sim_process.wrap(self.node.start()).await
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// Those of the stop.
    pub async fn stop(&self) -> Result<()> {
        self.sim_process.wrap(self.node.stop()).await
    }

    /// Ends it without a word. With a seed the machine dies with it, and the seed decides what is lost or torn of
    /// what was not durable.
    pub fn kill(&self, power_loss: Option<u64>) {
        self.sim_process.kill();
        self.network.crash(self.addr());
        match power_loss {
            Some(seed) => self.disk.crash(seed),
            None => self.disk.orphan(),
        }
    }

    /// True while it runs and has not been told to stop.
    pub fn is_up(&self) -> bool {
        self.sim_process.is_running() && self.node.is_running()
    }

    /// True when its start has succeeded and nobody has told it to stop.
    pub fn is_started(&self) -> bool {
        self.node.phase() == Phase::Running
    }

    /// Why the cluster does not want it, if it said so.
    pub fn refusal(&self) -> Option<String> {
        self.node.refusal().map(|error| error.to_string())
    }

    /// What keeps it from being healthy.
    pub fn complaint(&self) -> Option<String> {
        self.sim_process.enter(|| self.node.unhealthy_reason())
    }

    /// True when Raft has stopped on it, as after a failure of its disk.
    pub fn has_failed(&self) -> bool {
        self.sim_process
            .enter(|| self.node.consensus_stats().state == "Shutdown")
            && self.node.member().is_ok()
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// When it has stopped.
    pub fn register(&self, filter: EventFilter, hook: Hook) -> Result<HookId> {
        let registered = self.sim_process.enter(|| self.node.register_hook(filter, hook));
        registered.map_err(crate::hooks::Rejected::into_error)
    }

    /// Its answer to "are you primary of this partition?".
    pub fn is_primary(&self, number: u32) -> bool {
        self.sim_process.enter(|| self.node.is_primary(number))
    }

    /// The partitions that it says it is primary of. Asks about those only that its view names it for.
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

    /// Its answer to "do you lead?".
    pub fn is_leader(&self) -> bool {
        self.sim_process.enter(|| self.node.is_leader())
    }

    /// True when others may hear that it leads, also while it stops.
    pub fn holds_leadership(&self) -> bool {
        let leads = || {
            let member = self.node.member();
            member.is_ok_and(|member| member.leadership.is_leader())
        };
        self.sim_process.is_running() && self.sim_process.enter(leads)
    }

    /// The epoch with which it leads.
    pub fn leader_epoch(&self) -> Option<u64> {
        self.sim_process.enter(|| self.node.leader_epoch().ok())
    }

    /// Who leads, as far as it knows.
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.sim_process.enter(|| self.node.leader())
    }

    /// What lookups read.
    pub fn view(&self) -> Arc<ClusterView> {
        self.node.view().into_owned()
    }

    /// Members, partitions and leader.
    pub fn topology(&self) -> Arc<Topology> {
        self.node.view().topology().clone()
    }

    /// How far it has applied the log.
    pub fn revision(&self) -> u64 {
        self.node.view().revision()
    }

    /// The incarnation that the log gave this process.
    pub fn incarnation(&self) -> Option<u64> {
        self.node.incarnation()
    }

    /// Its number in Raft, and the numbers of those that vote.
    pub fn raft(&self) -> Option<(u64, Vec<u64>)> {
        let member = self.node.member().ok()?;
        let voters = member.raft.raft_members().voters;
        Some((member.raft.raft_id(), voters.into_iter().collect()))
    }

    /// Where its Raft is, for a trace.
    pub fn raft_state(&self) -> String {
        self.node
            .member()
            .map_or_else(|error| error.to_string(), |member| member.raft.describe())
    }

    /// A value as applied here.
    pub fn data(&self, key: &str) -> Option<DataEntry> {
        self.node.data(key)
    }

    /// The keys that begin with `prefix`.
    pub fn data_keys(&self, prefix: &str) -> Vec<String> {
        self.node.data_keys(prefix, None, usize::MAX)
    }

    /// The whole state as bytes.
    pub fn state_bytes(&self) -> Vec<u8> {
        self.node.state_bytes()
    }

    /// Writes a value; gives the revision.
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

    /// Waits until everything that was committed when the call began is applied here.
    ///
    /// # Errors
    /// When that cannot be told or reached in time.
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.read_barrier(timeout)).await
    }

    /// Waits until a revision is applied here.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn wait_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        let wait = async { self.node.member()?.proposer.wait_for(revision, timeout).await };
        self.sim_process.wrap(wait).await
    }

    /// Has a member removed.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> Result<u64> {
        self.sim_process
            .wrap(self.node.remove_node(node, force, timeout))
            .await
    }

    /// Begins its departure: what it has is moved elsewhere, then it is taken out.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn begin_leaving(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.begin_leaving(timeout)).await
    }

    /// Has the leader give leadership up.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn step_down(&self, target: Option<NodeId>) -> Result<NodeId> {
        self.sim_process.wrap(self.node.step_down(target)).await
    }

    /// Has partitions moved to where they belong.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn rebalance(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.sim_process.wrap(self.node.rebalance(timeout)).await
    }
}
