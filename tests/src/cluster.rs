//! Several nodes that make a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clusterkit::model::{Cluster as ClusterRecord, NodeStatus, PartitionState};
use tempfile::TempDir;

use crate::{Api, Node, Snapshot, WAIT_LIMIT, wait_until};

/// A cluster of real processes. Nodes are named `node-1`, `node-2` ...; the first founded it, the others were told
/// the first one's address.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    flags: Vec<String>,
    nodes: Vec<Node>,
    /// Dropped last, when no process writes to it any more.
    folder: TempDir,
}

/// The nodes that hold each partition, by the partition's id.
pub type Holders = BTreeMap<String, BTreeSet<String>>;

impl Cluster {
    /// A cluster of the `clusterkit` program at `program`, with one node, started with `flags` as every later one.
    pub fn found_with(program: &str, flags: &[&str]) -> Self {
        let mut cluster = Cluster::without_nodes(program, flags);
        cluster.spawn();
        cluster.nodes[0].wait_ready();
        cluster
    }

    /// A cluster without a node yet, for [`Cluster::adopt`].
    pub fn without_nodes(program: &str, flags: &[&str]) -> Self {
        Cluster {
            program: program.into(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            nodes: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Takes in a node that was started by hand.
    pub fn adopt(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Lets go of the last node.
    pub fn dismiss(&mut self) -> Option<Node> {
        self.nodes.pop()
    }

    /// A cluster of one node.
    pub fn found(program: &str) -> Self {
        Cluster::found_with(program, &[])
    }

    /// A cluster of `count` nodes that were started together after the first, and that has settled.
    pub fn of(program: &str, count: usize) -> Self {
        Cluster::of_with(program, count, &[])
    }

    /// The same, all started with `flags`.
    pub fn of_with(program: &str, count: usize, flags: &[&str]) -> Self {
        let mut cluster = Cluster::found_with(program, flags);
        for _ in 1..count {
            cluster.spawn();
        }
        cluster.wait_ready();
        cluster.settle();
        cluster
    }

    /// A node that this cluster does not have yet, with its own flags besides those of all.
    pub fn stranger(&self, id: &str, flags: &[&str]) -> Node {
        let all = self.flags.iter().cloned();
        let flags = all.chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        Node::new(&self.program, self.folder.path(), id, flags)
    }

    /// Starts one more node, and does not wait for it.
    pub fn spawn(&mut self) {
        let id = format!("node-{}", self.nodes.len() + 1);
        let mut node = match self.nodes.first() {
            Some(first) => self.stranger(&id, &["--join-addrs", first.addr()]),
            None => self.stranger(&id, &["--bootstrap", "true"]),
        };
        node.spawn_at("127.0.0.1:0");
        self.nodes.push(node);
    }

    /// Adds one more node, and waits until it is ready.
    pub fn add(&mut self) {
        self.spawn();
        self.nodes.last_mut().unwrap().wait_ready();
    }

    /// Waits until the nodes that were started last are ready.
    pub fn wait_ready(&mut self) {
        for node in self.nodes.iter_mut().skip(1) {
            node.wait_ready();
        }
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: a cluster has a node that founded it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Where this cluster keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All nodes, running or not.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node at `place`, from 0.
    pub fn node(&mut self, place: usize) -> &mut Node {
        &mut self.nodes[place]
    }

    /// A client of the node at `place`.
    pub fn api(&self, place: usize) -> Api {
        self.nodes[place].api()
    }

    /// Clients of all nodes that run.
    pub fn apis(&self) -> Vec<Api> {
        self.running().map(Node::api).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// The place of a node.
    pub fn place_of(&self, id: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.id == id);
        found.unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// The place of the node that leads, once all nodes that run agree who that is and it runs.
    pub fn leader(&self) -> usize {
        self.until("all agree on a leader that lives", || {
            let mut named = BTreeSet::new();
            for node in self.running() {
                let leader = node.api().leader();
                named.insert(leader.map_err(|error| error.to_string())?.leader_id.to_string());
            }
            let place = self.place_of(named.first().unwrap());
            let agreed = named.len() == 1 && self.nodes[place].is_running();
            agreed.then_some(place).ok_or_else(|| format!("{named:?}"))
        })
        .0
    }

    /// Waits for a condition; with the state of everything in the message when it does not come about.
    pub fn until<T>(&self, what: &str, condition: impl FnMut() -> Result<T, String>) -> (T, Duration) {
        // The state is told when this value is dropped by the panic.
        wait_until(WAIT_LIMIT, condition)
            .unwrap_or_else(|reason| panic!("within {WAIT_LIMIT:?}: {what}; last: {reason}"))
    }

    /// Waits until all nodes that run answer the same `/cluster`, byte for byte.
    pub fn agree(&self) -> Snapshot {
        self.until("all nodes answer the same", || self.same()).0
    }

    /// What all nodes that run answer now: the first one's, and the others'.
    fn answers(&self) -> Result<(Snapshot, Vec<Snapshot>), String> {
        let mut answers = Vec::new();
        for node in self.running() {
            let answer = node.api().cluster().map_err(|error| error.to_string())?;
            if answer.stale {
                return Err(format!("{} knows of no leader", node.id));
            }
            answers.push(answer);
        }
        let first = answers.swap_remove(0);
        for other in &answers {
            // At one revision there is one state: no waiting makes this right.
            assert!(
                other.cluster.revision != first.cluster.revision || other.body == first.body,
                "different answers at revision {}",
                first.cluster.revision
            );
        }
        Ok((first, answers))
    }

    fn same(&self) -> Result<Snapshot, String> {
        let (first, others) = self.answers()?;
        let revision = first.cluster.revision;
        if others.iter().any(|other| other.cluster.revision != revision) {
            let revisions: Vec<u64> = others.iter().map(|other| other.cluster.revision).collect();
            return Err(format!(
                "not at one revision yet: revisions {revision} and {revisions:?}"
            ));
        }
        Ok(first)
    }

    /// Waits until all nodes that run agree, all of them are active, every partition has a primary and all its
    /// copies, and both are spread evenly over them.
    pub fn settle(&self) -> Snapshot {
        let active = self.running().count();
        let settled = || {
            let snapshot = self.same()?;
            is_settled(&snapshot.cluster, active)?;
            Ok(snapshot)
        };
        self.until("the cluster settles", settled).0
    }

    /// As [`settle`](Self::settle), while clients write: nodes that are asked one after the other are then never at
    /// one revision, and need not have the same data. Members and partitions are the same.
    pub fn settle_under_load(&self) -> Snapshot {
        let active = self.running().count();
        let without_data = |cluster: &ClusterRecord| ClusterRecord {
            revision: 0,
            custom_data: None,
            ..cluster.clone()
        };
        let settled = || {
            let (first, others) = self.answers()?;
            is_settled(&first.cluster, active)?;
            let expected = without_data(&first.cluster);
            let mut found = others.iter().map(|other| without_data(&other.cluster));
            match found.find(|found| *found != expected) {
                Some(found) => Err(format!("{expected:?} and {found:?} differ")),
                None => Ok(first),
            }
        };
        self.until("the cluster settles under load", settled).0
    }

    /// What every node has to say, for people.
    fn describe(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let _ = writeln!(
                text,
                "--- {} {}",
                node.id,
                if node.is_running() { "runs" } else { "does not run" }
            );
            if let Some(api) = node
                .is_running()
                .then(|| node.api().with_timeout(Duration::from_secs(2)))
            {
                for path in [
                    "/health/detailed",
                    "/ready",
                    "/consensus/stats",
                    "/nodes",
                    "/partitions/stats",
                ] {
                    let said = match api.get(path) {
                        Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
                        Err(error) => error.to_string(),
                    };
                    let _ = writeln!(text, "  {path}: {said}");
                }
            }
            let _ = writeln!(text, "  its log:\n    {}", node.last_words());
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

fn is_settled(cluster: &ClusterRecord, active: usize) -> Result<(), String> {
    let up = cluster
        .nodes
        .iter()
        .filter(|node| node.status == NodeStatus::Active);
    if up.count() != active {
        return Err(format!("not {active} nodes are active"));
    }
    let wanted = active.min(cluster.config.replication_factor as usize);
    let best = match wanted < cluster.config.replication_factor as usize {
        true => PartitionState::UnderReplicated,
        false => PartitionState::Ok,
    };
    let partitions = &cluster.partition_map.partitions;
    if partitions.len() != cluster.config.partition_count as usize {
        return Err(format!("there are {} partitions", partitions.len()));
    }
    for record in partitions.values() {
        let holders = record.replica_nodes.len() + 1;
        if record.state != best || record.primary_node.is_empty() || holders != wanted {
            return Err(format!("{record:?}"));
        }
    }
    for (what, counts) in [
        ("copies", counts(cluster, copies(cluster).values().flatten())),
        ("primaries", counts(cluster, primaries(cluster).values())),
    ] {
        let (least, most) = (counts.values().min(), counts.values().max());
        if least.zip(most).is_none_or(|(least, most)| most - least > 1) {
            return Err(format!("{what} are not balanced: {counts:?}"));
        }
    }
    Ok(())
}

fn counts<'a>(cluster: &ClusterRecord, ids: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let nodes = cluster.nodes.iter();
    let mut counts: BTreeMap<String, usize> = nodes.map(|node| (node.id.to_string(), 0)).collect();
    for id in ids {
        *counts.entry(id.clone()).or_default() += 1;
    }
    counts
}

/// Every node that holds a copy of each partition, or is getting one.
pub fn copies(cluster: &ClusterRecord) -> Holders {
    let records = cluster.partition_map.partitions.values();
    records
        .map(|record| {
            let named = record
                .replica_nodes
                .iter()
                .chain(&record.pending)
                .chain([&record.primary_node]);
            let named = named.filter(|id| !id.is_empty());
            (record.id.clone(), named.map(ToString::to_string).collect())
        })
        .collect()
}

/// The primary of each partition that has one.
pub fn primaries(cluster: &ClusterRecord) -> BTreeMap<String, String> {
    let records = cluster.partition_map.partitions.values();
    records
        .filter(|record| !record.primary_node.is_empty())
        .map(|record| (record.id.clone(), record.primary_node.to_string()))
        .collect()
}
