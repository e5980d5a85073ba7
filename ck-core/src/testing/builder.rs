//! How a test cluster is made.

use std::fmt;
use std::sync::Arc;

use super::TestCluster;
use crate::clusterkit::ClusterKit;
use crate::error::{Error, ErrorCode, Result};
use crate::options::{Options, TimingProfile};

/// The default number of nodes.
const DEFAULT_NODES: usize = 3;
/// The most nodes of one cluster, added ones included: each has a port of its own above [`FIRST_PORT`].
pub(super) const MAX_NODES: usize = 1000;
/// The port in the address of node 0. Nobody listens there, and systems usually give none of these away either.
const FIRST_PORT: usize = 61_001;

type EditOptions = Arc<dyn Fn(usize, &mut Options) + Send + Sync>;
type Prepare = Arc<dyn Fn(usize, &ClusterKit) -> Result<()> + Send + Sync>;

/// The parameters of a [`TestCluster`]. Made by [`TestCluster::builder`].
///
/// ```
/// use clusterkit::hooks::EventType;
/// use clusterkit::testing::TestCluster;
///
/// # fn main() -> clusterkit::Result<()> {
/// let cluster = TestCluster::builder()
///     .nodes(3)
///     .partitions(16)
///     .options(|index, options| options.zone = Some(format!("zone-{index}")))
///     .prepare(|_, node| node.on(EventType::PartitionChange, |_| Ok(())).map(drop))
///     .start()?;
/// # drop(cluster);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a cluster is made by `start`"]
pub struct TestClusterBuilder {
    nodes: usize,
    partitions: Option<u32>,
    replication_factor: Option<u32>,
    timing: TimingProfile,
    seed: u64,
    pub(super) manual_clock: bool,
    edit_options: Option<EditOptions>,
    prepare: Option<Prepare>,
}

impl Default for TestClusterBuilder {
    fn default() -> Self {
        TestClusterBuilder {
            nodes: DEFAULT_NODES,
            partitions: None,
            replication_factor: None,
            timing: TimingProfile::Wan,
            seed: 0,
            manual_clock: false,
            edit_options: None,
            prepare: None,
        }
    }
}

impl fmt::Debug for TestClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClusterBuilder")
            .field("nodes", &self.nodes)
            .field("partitions", &self.partitions)
            .field("replication_factor", &self.replication_factor)
            .field("timing", &self.timing)
            .field("seed", &self.seed)
            .field("manual_clock", &self.manual_clock)
            .finish_non_exhaustive()
    }
}

impl TestClusterBuilder {
    /// The number of nodes, 1 to 1000. Default 3.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The number of partitions, 1 to 65,536. Default 64.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// The number of copies of each partition, 1 to 100. Default 3.
    pub fn replication_factor(mut self, copies: u32) -> Self {
        self.replication_factor = Some(copies);
        self
    }

    /// The timing of elections, heartbeats and leases. Default [`TimingProfile::Wan`]: rare heartbeats make
    /// [`TestCluster::advance`] fast, and as the test does not wait for the clock, long timeouts cost nothing. Where a test
    /// lets real time pass, [`TimingProfile::Lan`] finds a dead node three times sooner.
    pub fn timing(mut self, timing: TimingProfile) -> Self {
        self.timing = timing;
        self
    }

    /// Decides what slow links lose, and what of writes that were not durable a killed node keeps. Elections stay random.
    /// Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With `true` no time passes by itself: only [`TestCluster::advance`] and the calls that wait move the clock. A call
    /// of a node that would time out waits until one of these is made. Default `false`.
    pub fn manual_clock(mut self, manual: bool) -> Self {
        self.manual_clock = manual;
        self
    }

    /// Edits the options of each node, by its index, before the node is made. `http_addr`, `raft_addr`, `advertise_addr`,
    /// `join_addrs`, `bootstrap`, `bootstrap_expect` and `data_dir` are the cluster's: what is set there is replaced.
    /// `runtime_threads` has no effect.
    pub fn options(mut self, edit: impl Fn(usize, &mut Options) + Send + Sync + 'static) -> Self {
        self.edit_options = Some(Arc::new(edit));
        self
    }

    /// Is called with the index and the handle of every process of a node before it is started, also by
    /// [`TestCluster::restart`]: the place for hooks and log callbacks. A hook that holds a handle of its own node keeps
    /// that alive, as elsewhere: give it a [`crate::WeakClusterKit`]. An error is that of the call that makes the node.
    pub fn prepare(
        mut self,
        prepare: impl Fn(usize, &ClusterKit) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Some(Arc::new(prepare));
        self
    }

    /// Starts the cluster. Returns when all nodes are members, every partition has its copies and a primary, and nothing
    /// moves.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for a number of nodes out of bounds; [`ErrorCode::InvalidOption`]; the errors of
    /// `prepare`; those of [`ClusterKit::start`] and [`TestCluster::wait_settled`]; [`ErrorCode::Io`] when the system
    /// refuses a thread.
    pub fn start(self) -> Result<TestCluster> {
        if !(1..=MAX_NODES).contains(&self.nodes) {
            let message = format!("a test cluster has 1 to {MAX_NODES} nodes, not {}", self.nodes);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        TestCluster::with(self)
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes
    }

    pub(super) fn seed_value(&self) -> u64 {
        self.seed
    }

    /// The options of a node. The others are at `others`; a node with none founds the cluster.
    pub(super) fn options_of(&self, index: usize, others: Vec<String>) -> Options {
        let mut options = Options::new(format!("node-{index}"), address(index));
        options.cluster_name = "test".to_owned();
        options.partition_count = self.partitions;
        options.replication_factor = self.replication_factor;
        options.timing.profile = self.timing;
        if let Some(edit) = &self.edit_options {
            edit(index, &mut options);
        }
        options.http_addr = address(index);
        options.raft_addr = None;
        options.advertise_addr = None;
        options.bootstrap = Some(others.is_empty());
        options.bootstrap_expect = None;
        options.join_addrs = others;
        // A name on the disk in memory.
        options.data_dir = "/data".to_owned();
        options
    }

    pub(super) fn prepare_node(&self, index: usize, kit: &ClusterKit) -> Result<()> {
        match &self.prepare {
            Some(prepare) => prepare(index, kit),
            None => Ok(()),
        }
    }
}

/// The address of a node. Services of the application that name only a port are on this machine.
pub(super) fn address(index: usize) -> String {
    format!("127.0.0.1:{}", FIRST_PORT + index)
}
