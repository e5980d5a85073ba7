//! Tests of nodes in the simulator. What they stand on is in [`crate::sim`].

mod dead_grants;
mod disk;
mod failure;
mod half_disk;
mod heal;
mod joining;
mod late;
mod late_hooks;
mod leader_changes;
mod lease;
mod many;
mod migrations;
mod mutations;
mod old_disk;
mod outage;
mod outcome;
mod present;
mod promises;
mod raft_edges;
mod slow_link;
mod step_down;
mod strangers;
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Node, NodeDeps};
use crate::env::disk::MemDisk;
use crate::env::{self, Instant};
use crate::hooks::{Driver, EventFilter, Hook};
use crate::logger::Logger;
use crate::model::{Event, EventKind};
use crate::net::sim::SimNetwork;
use crate::options::{Options, TimingProfile};
use crate::raft::SnapshotPace;
use crate::sim::SimListen;

/// How much simulated time anything may take.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(60);

/// A node, its disk, and what its hooks were told.
struct SimNode {
    node: Arc<Node>,
    disk: Arc<MemDisk>,
    options: Options,
    events: Arc<Mutex<Vec<Event>>>,
}

/// A network with nodes on it.
struct World {
    network: SimNetwork,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            network: SimNetwork::new(seed),
        }
    }

    /// Where node `i` is.
    fn addr(i: usize) -> String {
        format!("10.0.0.{i}:7000")
    }

    fn options(i: usize, through: &[usize]) -> Options {
        let mut options = Options::new(format!("node-{i}"), World::addr(i));
        options.join_addrs = through.iter().map(|i| World::addr(*i)).collect();
        options.join_timeout = SCENARIO_TIMEOUT;
        options.data_dir = "/data".to_owned();
        if through.is_empty() {
            options.partition_count = Some(12);
        }
        options
    }

    /// A node on a disk, which may have been another process's before. Not started.
    fn make(&self, options: Options, disk: Arc<MemDisk>) -> SimNode {
        let sim = self.make_without_hook(options, disk);
        sim.node.register_hook(EventFilter::ALL, sim.recorder()).unwrap();
        sim
    }

    /// The same without a hook.
    fn make_without_hook(&self, options: Options, disk: Arc<MemDisk>) -> SimNode {
        let node = self.make_without_hooks(&options, disk.clone());
        SimNode {
            node,
            disk,
            options,
            events: Arc::default(),
        }
    }

    /// The node alone.
    fn make_without_hooks(&self, options: &Options, disk: Arc<MemDisk>) -> Arc<Node> {
        let deps = self.deps(options, disk);
        Node::new(options.clone(), deps, Arc::new(Logger::default())).unwrap()
    }

    /// What a node with these options is given on this network.
    fn deps(&self, options: &Options, disk: Arc<MemDisk>) -> NodeDeps {
        NodeDeps {
            disk,
            transport: self.network.transport(&options.http_addr),
            listen: Arc::new(SimListen::new(&self.network, options)),
            hooks: Driver::Tasks,
            snapshots: SnapshotPace {
                entries: 200,
                times: 0,
                kept: 50,
            },
        }
    }

    async fn start(&self, i: usize, through: &[usize]) -> SimNode {
        let sim = self.make(World::options(i, through), Arc::new(MemDisk::new()));
        sim.node.start().await.unwrap();
        sim
    }

    /// Nodes 1 to `n`, which joined one by one.
    async fn cluster(&self, n: usize) -> Vec<SimNode> {
        self.cluster_of(n, TimingProfile::Lan).await
    }

    /// The same with another timing.
    async fn cluster_of(&self, n: usize, timing: TimingProfile) -> Vec<SimNode> {
        let mut nodes = Vec::new();
        for i in 1..=n {
            let through: &[usize] = if i == 1 { &[] } else { &[1] };
            let mut options = World::options(i, through);
            options.timing.profile = timing;
            let sim = self.make(options, Arc::new(MemDisk::new()));
            sim.node.start().await.unwrap();
            nodes.push(sim);
        }
        settle(&nodes).await;
        nodes
    }

    /// The same node as a new process: the old one dies without a word, and what was not durable is lost.
    async fn crash_and_restart(&self, sim: SimNode, seed: u64) -> SimNode {
        self.network.unserve(&sim.options.http_addr);
        // Whether it ends well matters to nobody: it is dead.
        drop(sim.node.close_immediately().await);
        sim.disk.crash(seed);
        let sim = self.make(sim.options, sim.disk);
        sim.node.start().await.unwrap();
        sim
    }
}

impl SimNode {
    fn addr(&self) -> &str {
        &self.options.http_addr
    }

    /// A hook that notes what it is told.
    fn recorder(&self) -> Hook {
        let told = self.events.clone();
        Hook::from_async(move |event| {
            told.lock().push((*event).clone());
            async { Ok(()) }
        })
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// What every node must have been told alike, from `revision` on, in the order of the log: calls for different
    /// partitions do not wait for each other.
    fn shared_events(&self, revision: u64) -> Vec<String> {
        let is_own = |event: &Event| {
            matches!(
                event.kind,
                EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_)
            )
        };
        let mut events = self.events();
        events.retain(|event| event.revision >= revision && !is_own(event));
        events.sort_by_key(|event| event.revision);
        // Calls of one commit for different partitions end in any order.
        let change = |event: &Event| match &event.kind {
            EventKind::PartitionChange(change) => Some((event.revision, change.number)),
            _ => None,
        };
        let together = |one: &Event, other: &Event| {
            change(one)
                .zip(change(other))
                .is_some_and(|(one, other)| one.0 == other.0)
        };
        for run in events.chunk_by_mut(together) {
            run.sort_by_key(change);
        }
        events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap())
            .collect()
    }

    fn incarnation(&self) -> u64 {
        self.node.view().my_node().map_or(0, |node| node.incarnation)
    }
}

/// Waits, in simulated time, for something to come about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SCENARIO_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        env::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until these nodes are all there is, and nothing moves.
async fn settle(nodes: &[SimNode]) {
    for sim in nodes {
        until(&format!("rest on {}", sim.node.id()), || {
            is_settled(sim, nodes.len())
        })
        .await;
    }
}

fn is_settled(sim: &SimNode, n: usize) -> bool {
    let view = sim.node.view();
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
fn leads(nodes: &[SimNode]) -> Option<usize> {
    let leading: Vec<usize> = (0..nodes.len()).filter(|i| nodes[*i].node.is_leader()).collect();
    assert!(leading.len() <= 1, "{leading:?} lead at {:?}", Instant::now());
    leading.first().copied()
}

/// Waits for a leader other than `not`, looking all the time whether there are two.
async fn leader(nodes: &[SimNode], not: Option<usize>) -> usize {
    let deadline = Instant::now() + SCENARIO_TIMEOUT;
    loop {
        if let Some(leader) = leads(nodes).filter(|leader| Some(*leader) != not) {
            return leader;
        }
        assert!(Instant::now() < deadline, "there is no leader");
        env::sleep(Duration::from_millis(1)).await;
    }
}
