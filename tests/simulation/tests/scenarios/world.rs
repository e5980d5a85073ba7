//! The world of a scenario: a network, the nodes on it, and what is waited for.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ck_simulation::nodes;
use clusterkit::env::disk::MemDisk;
use clusterkit::env::{self, Instant};
use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::Event;
use clusterkit::net::sim::SimNetwork;
use clusterkit::sim::{SimNode, SimSpec};
use clusterkit::{Expect, Options, TimingProfile};
use parking_lot::Mutex;

/// How much simulated time anything may take.
pub(crate) const SCENARIO_TIMEOUT: Duration = Duration::from_secs(60);
/// A snapshot is taken after so many entries, and so many are kept behind it: few, so that scenarios come by them.
const SNAPSHOTS: (u64, u64) = (200, 50);

/// One process of a node, and what its hook was told.
pub(crate) struct TestNode {
    pub(crate) node: SimNode,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl Deref for TestNode {
    type Target = SimNode;

    fn deref(&self) -> &SimNode {
        &self.node
    }
}

/// A network with nodes on it.
pub(crate) struct World {
    pub(crate) network: SimNetwork,
}

/// Runs a scenario in a simulation of its own, in which every node has the cluster's secret.
pub(crate) fn simulate<T, F: Future<Output = T>>(seed: u64, scenario: impl FnOnce(World) -> F) -> T {
    simulate_open(seed, async move |world: World| {
        world.network.secure();
        scenario(world).await
    })
}

/// Runs a scenario in which nothing has to be proved.
pub(crate) fn simulate_open<T, F: Future<Output = T>>(seed: u64, scenario: impl FnOnce(World) -> F) -> T {
    clusterkit::sim::simulate(seed, async move { scenario(World::new(seed)).await })
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            network: SimNetwork::new(seed),
        }
    }

    /// The options of node `i`, which joins through others or founds a cluster where there are none.
    pub(crate) fn options(i: usize, through: &[usize]) -> Options {
        let mut options = nodes::options(i, nodes::addr(i));
        options.join_addrs = through.iter().map(|i| nodes::addr(*i)).collect();
        options.join_timeout = SCENARIO_TIMEOUT;
        if through.is_empty() {
            options.partition_count = Some(12);
        }
        options
    }

    /// A node on a disk, which may have been another process's before. Not started.
    pub(crate) fn make(&self, options: Options, disk: Arc<MemDisk>) -> TestNode {
        let sim = self.make_without_hook(options, disk);
        sim.register(EventFilter::ALL, sim.recorder()).unwrap();
        sim
    }

    /// The same without a hook.
    pub(crate) fn make_without_hook(&self, options: Options, disk: Arc<MemDisk>) -> TestNode {
        let spec = SimSpec {
            options,
            disk,
            network: self.network.clone(),
            snapshots: SNAPSHOTS,
            drift_ppm: 0,
        };
        TestNode {
            node: SimNode::new(spec).unwrap(),
            events: Arc::default(),
        }
    }

    /// Node `i` as a member, on a disk of its own.
    pub(crate) async fn start(&self, i: usize, through: &[usize]) -> TestNode {
        let sim = self.make(World::options(i, through), Arc::new(MemDisk::new()));
        sim.start().await.unwrap();
        sim
    }

    /// Nodes 1 to `n`, which joined one by one.
    pub(crate) async fn cluster(&self, n: usize) -> Vec<TestNode> {
        self.cluster_of(n, TimingProfile::Lan).await
    }

    /// The same with another timing.
    pub(crate) async fn cluster_of(&self, n: usize, timing: TimingProfile) -> Vec<TestNode> {
        let mut nodes = Vec::new();
        for i in 1..=n {
            let through: &[usize] = if i == 1 { &[] } else { &[1] };
            let mut options = World::options(i, through);
            options.timing.profile = timing;
            let sim = self.make(options, Arc::new(MemDisk::new()));
            sim.start().await.unwrap();
            nodes.push(sim);
        }
        settle(&nodes).await;
        nodes
    }

    /// Another process of the same node. Not started.
    pub(crate) fn next_process(&self, sim: &SimNode) -> TestNode {
        self.make(sim.options().clone(), sim.disk().clone())
    }

    /// The same node as a new process, after its machine lost power.
    pub(crate) async fn crash_and_restart(&self, sim: TestNode, seed: u64) -> TestNode {
        sim.kill(Some(seed));
        let sim = self.next_process(&sim);
        sim.start().await.unwrap();
        sim
    }
}

impl TestNode {
    /// A hook that notes what it is told.
    pub(crate) fn recorder(&self) -> Hook {
        let told = self.events.clone();
        Hook::from_async(move |event| {
            told.lock().push((*event).clone());
            async { Ok(()) }
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }
}

pub(crate) fn all(nodes: &[TestNode]) -> Vec<&TestNode> {
    nodes.iter().collect()
}

/// Waits, in simulated time, for something to come about.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SCENARIO_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        env::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until these nodes are all there is, and nothing moves.
pub(crate) async fn settle(nodes: &[TestNode]) {
    for sim in nodes {
        until(&format!("rest on {}", sim.id()), || is_settled(sim, nodes.len())).await;
    }
}

pub(crate) fn is_settled(sim: &SimNode, n: usize) -> bool {
    let view = sim.view();
    let topology = view.topology();
    let stats = view.partition_stats();
    let primaries = || stats.partitions_per_node.values();
    topology.active_count() == n
        && topology.nodes.len() == n
        && !topology.partitions.is_empty()
        && primaries().max() <= primaries().min().map(|least| least + 1).as_ref()
        && topology.partitions.iter().all(|partition| {
            partition.primary.is_some()
                && partition.target.is_none()
                && partition.pending().count() == 0
                && partition.copies.len() == n.min(topology.config.replication_factor as usize)
        })
}

/// Who leads: at most one at any moment.
pub(crate) fn leads(nodes: &[TestNode]) -> Option<usize> {
    let leading: Vec<usize> = (0..nodes.len()).filter(|i| nodes[*i].is_leader()).collect();
    assert!(leading.len() <= 1, "{leading:?} lead at {:?}", Instant::now());
    leading.first().copied()
}

/// Waits for a leader other than `not`, looking all the time whether there are two.
pub(crate) async fn leader(nodes: &[TestNode], not: Option<usize>) -> usize {
    let deadline = Instant::now() + SCENARIO_TIMEOUT;
    loop {
        if let Some(leader) = leads(nodes).filter(|leader| Some(*leader) != not) {
            return leader;
        }
        assert!(Instant::now() < deadline, "there is no leader");
        env::sleep(Duration::from_millis(1)).await;
    }
}

/// Writes a key that is not there yet; gives the revision.
pub(crate) async fn write(sim: &SimNode, key: &str) -> u64 {
    let value = key.as_bytes().to_vec().into();
    sim.set_data(key.to_owned(), value, Expect::Absent, SCENARIO_TIMEOUT)
        .await
        .unwrap()
}

/// Waits until all have applied this revision; then they have the keys.
pub(crate) async fn all_have(nodes: &[TestNode], revision: u64, keys: &[&str]) {
    for sim in nodes {
        until("everybody is up to date", || sim.revision() >= revision).await;
        for key in keys {
            assert!(sim.data(key).is_some(), "{} lacks {key}", sim.id());
        }
    }
}
