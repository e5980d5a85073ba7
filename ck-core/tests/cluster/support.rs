//! Starting, watching, stopping and restarting nodes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clusterkit::http::{JoinNode, JoinRequest, JoinTerms};
use clusterkit::model::{Event, EventKind, NodeStatus};
use clusterkit::{ClusterKit, Error, ErrorCode, Options};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// What a test cluster is founded with.
pub(crate) const PARTITIONS: u32 = 24;

/// Options of a node that keeps everything in memory, on a port that the system gives.
pub(crate) fn options(id: &str) -> Options {
    let mut options = Options::new(id, "127.0.0.1:0");
    options.data_dir = String::new();
    options.join_timeout = TIMEOUT;
    options
}

/// The same for a node that founds a cluster.
pub(crate) fn founder(id: &str) -> Options {
    let mut options = options(id);
    options.partition_count = Some(PARTITIONS);
    options.replication_factor = Some(3);
    options
}

/// A node that runs, and everything that it told its hooks.
pub(crate) struct TestNode {
    pub(crate) kit: ClusterKit,
    pub(crate) options: Options,
    events: Arc<Mutex<Vec<Event>>>,
}

impl TestNode {
    /// Starts a node whose hooks record what they are told.
    pub(crate) fn start(options: Options) -> Result<Self, Error> {
        Self::start_with(options, |_| Ok(()))
    }

    /// The same, with hooks of the test's own that miss nothing.
    pub(crate) fn start_with(
        options: Options,
        prepare: impl FnOnce(&ClusterKit) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let kit = ClusterKit::new(options.clone())?;
        prepare(&kit)?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        kit.on_event(move |event| {
            told.lock().push(event.clone());
            Ok(())
        })?;
        kit.start()?;
        let mut options = options;
        options.http_addr = kit.http_addr().unwrap();
        Ok(TestNode { kit, options, events })
    }

    /// Where it is, also after it has stopped.
    pub(crate) fn addr(&self) -> String {
        self.options.http_addr.clone()
    }

    pub(crate) fn id(&self) -> &str {
        &self.options.node_id
    }

    /// What its hooks were told so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// What its hooks were told and `pick` picks.
    pub(crate) fn told<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.events()
            .iter()
            .filter_map(|event| pick(&event.kind))
            .collect()
    }

    /// Starts it again, on the same port with the same data.
    pub(crate) fn restart(self) -> Self {
        self.kit.stop().unwrap();
        self.start_again()
    }

    /// Starts a node that has stopped, or was dropped a moment ago, on the same port with the same data.
    pub(crate) fn start_again(self) -> Self {
        let TestNode { kit, options, .. } = self;
        drop(kit);
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match TestNode::start(options.clone()) {
                Ok(node) => return node,
                // What was dropped closes in the background.
                Err(error)
                    if matches!(error.code(), ErrorCode::AddressInUse | ErrorCode::DataDirInUse)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{} does not start again: {error}", options.node_id),
            }
        }
    }
}

/// Waits for a condition; fails when it does not come about in time.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A cluster of `n` nodes in memory, that joined one by one through the first.
pub(crate) fn cluster(n: usize) -> Vec<TestNode> {
    let mut nodes = vec![TestNode::start(founder("node-1")).unwrap()];
    for i in 2..=n {
        let options = options(&format!("node-{i}"));
        nodes.push(join(options, &nodes[..1]).unwrap());
    }
    settle(&nodes);
    nodes
}

/// A cluster of `n` nodes that keep their data under `dir`.
pub(crate) fn durable_cluster(n: usize, dir: &Path) -> Vec<TestNode> {
    let at = |mut options: Options| {
        options.data_dir = dir.join(&options.node_id).display().to_string();
        options
    };
    let mut nodes = vec![TestNode::start(at(founder("node-1"))).unwrap()];
    for i in 2..=n {
        let options = at(options(&format!("node-{i}")));
        nodes.push(join(options, &nodes[..1]).unwrap());
    }
    settle(&nodes);
    nodes
}

/// Starts a node that joins through others.
pub(crate) fn join(mut options: Options, through: &[TestNode]) -> Result<TestNode, Error> {
    options.join_addrs = through.iter().map(TestNode::addr).collect();
    TestNode::start(options)
}

/// Waits until all these nodes, and no others, are active and see each other so; every partition has its
/// primary and all its copies, and nothing moves.
pub(crate) fn settle(nodes: &[TestNode]) {
    for node in nodes {
        until(&format!("rest on {}", node.id()), || {
            is_settled(node, nodes.len())
        });
    }
}

fn is_settled(node: &TestNode, n: usize) -> bool {
    let view = node.kit.view();
    let topology = view.topology();
    let active = topology
        .nodes
        .values()
        .filter(|node| node.status == NodeStatus::Active)
        .count();
    // A node that has just joined has its share only once the next plan is carried out.
    let stats = view.partition_stats();
    let primaries = || stats.partitions_per_node.values();
    let spread = primaries().max() <= primaries().min().map(|least| least + 1).as_ref();
    active == n
        && topology.nodes.len() == n
        && spread
        && view.partition_count() > 0
        && !topology.partitions.is_empty()
        && topology.partitions.iter().all(|partition| {
            partition.primary.is_some()
                && partition.target.is_none()
                && partition.pending().count() == 0
                && partition.copies.len() == n.min(topology.config.replication_factor as usize)
        })
}

/// Who leads, once all of these nodes say the same and it says so itself.
pub(crate) fn leader(nodes: &[TestNode]) -> usize {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(leads) = nodes.iter().position(|node| node.kit.is_leader())
            && nodes.iter().all(|node| {
                node.kit
                    .leader()
                    .is_some_and(|leader| &*leader.leader_id == nodes[leads].id())
            })
        {
            return leads;
        }
        assert!(Instant::now() < deadline, "no leader that all agree on");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One that does not lead.
pub(crate) fn follower(nodes: &[TestNode]) -> usize {
    (leader(nodes) + 1) % nodes.len()
}

/// Who holds what, as one node sees it: partition number to holders, the primary first.
pub(crate) fn copies(node: &TestNode) -> BTreeMap<u32, Vec<String>> {
    let view = node.kit.view();
    let partitions = view.topology().partitions.iter();
    partitions
        .map(|partition| {
            let holders = partition.copies.iter().map(|copy| copy.node.to_string());
            (partition.number, holders.collect())
        })
        .collect()
}

/// Stops all nodes, the last first.
pub(crate) fn stop(nodes: Vec<TestNode>) {
    for node in nodes.iter().rev() {
        node.kit.stop().unwrap();
    }
}

/// Has the leader step down. On a busy machine no follower may have been heard of lately, or none takes over in
/// time: that is refused, and asked for again.
pub(crate) fn step_down(node: &TestNode) -> String {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match node.kit.step_down() {
            Ok(leader) => return leader.to_string(),
            Err(error) => {
                let busy = error.is_retriable() || error.code() == ErrorCode::Refused;
                assert!(busy && Instant::now() < deadline, "{error}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// `POST /join` by hand.
pub(crate) fn post_join(to: &TestNode, node: JoinNode, raft_addr: &str) -> Result<Value, Error> {
    let request = JoinRequest {
        node,
        raft_addr: raft_addr.to_owned(),
        terms: JoinTerms::default(),
    };
    #[derive(Deserialize)]
    struct Refusal {
        error: Error,
    }
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (status, body) = send("POST", &to.addr(), "/join", serde_json::to_vec(&request).unwrap());
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).unwrap());
        }
        let Refusal { error } = serde_json::from_slice(&body).unwrap();
        // A busy machine may be without a leader for a moment.
        if !error.is_retriable() || Instant::now() >= deadline {
            return Err(error);
        }
    }
}

/// Sends a request over HTTP; the status and the body of its answer.
pub(crate) fn send(method: &str, addr: &str, path: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{addr}{path}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = tokio::time::timeout(TIMEOUT, client.request(request)).await;
        let (head, body) = answer.expect("an answer in time").unwrap().into_parts();
        (head.status, body.collect().await.unwrap().to_bytes())
    })
}
