//! A node in memory: the real state machine without a log, so that the shapes of its answers are real.

mod api;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::Result;
use crate::model::{ClusterConfig, Target, Timestamp};
use crate::state::{Command, NodeSpec, Proposal, Reply, State};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) struct FakeNode {
    state: Mutex<State>,
    applied: watch::Sender<u64>,
    /// No leader is known.
    pub(super) leaderless: AtomicBool,
    pub(super) log_has_failed: AtomicBool,
    /// This node holds no lease.
    pub(super) leaseless: AtomicBool,
    /// The timeout of the last write.
    pub(super) timeout: Mutex<Duration>,
    /// Writes panic.
    pub(super) panics: AtomicBool,
    /// Writes and linearizable reads are never answered.
    pub(super) hangs: AtomicBool,
}

pub(super) fn spec(id: &str, number: u16) -> NodeSpec {
    NodeSpec {
        id: id.into(),
        name: format!("Server-{number}"),
        ip: format!("10.0.0.{number}:8080"),
        port: 8080,
        peer_addr: format!("10.0.0.{number}:8080"),
        services: BTreeMap::from([("kv".to_owned(), ":9080".to_owned())]),
        zone: None,
        weight: 100,
        labels: BTreeMap::new(),
        process: u64::from(number),
        raft_id: None,
    }
}

impl FakeNode {
    /// Two nodes, two partitions on both, `node-1` leads. Revision 5.
    pub(super) fn new() -> Arc<Self> {
        let node = Self::without_partitions();
        node.create_two_partitions().unwrap();
        node
    }

    pub(super) fn without_partitions() -> Arc<Self> {
        let node = FakeNode {
            state: Mutex::default(),
            applied: watch::Sender::new(0),
            leaderless: AtomicBool::new(false),
            log_has_failed: AtomicBool::new(false),
            leaseless: AtomicBool::new(false),
            timeout: Mutex::default(),
            panics: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        };
        let config = ClusterConfig {
            cluster_name: "test".into(),
            partition_count: 2,
            replication_factor: 2,
            ..ClusterConfig::default()
        };
        let bootstrap = Command::Bootstrap {
            cluster_id: "c-1".into(),
            config,
            node: spec("node-1", 1),
        };
        node.propose(bootstrap).unwrap();
        let elected = Command::LeaderElected {
            node: "node-1".into(),
            term: 3,
        };
        node.propose(elected).unwrap();
        node.add("node-2", 2);
        Arc::new(node)
    }

    pub(super) fn add(&self, id: &str, number: u16) {
        let planned_on = self.state.lock().topology_revision();
        let join = Command::Join {
            node: spec(id, number),
            promotions: vec![],
            planned_on,
            silent_ms: 0,
            unleased_from: None,
        };
        let (incarnation, _) = self.propose(join).unwrap();
        let activate = Command::Activate {
            node: id.into(),
            incarnation,
        };
        self.propose(activate).unwrap();
    }

    pub(super) fn propose(&self, command: Command) -> Result<(u64, Reply)> {
        let mut state = self.state.lock();
        let proposal = Proposal::without_session(command, NOW);
        let index = state.revision() + 1;
        let response = state.apply(index, &proposal, &mut Vec::new());
        self.applied.send_replace(index);
        response.result.map(|reply| (index, reply))
    }

    pub(super) fn revision_now(&self) -> u64 {
        self.state.lock().revision()
    }

    /// Completes when `calls` calls wait for a revision.
    pub(super) async fn waiting(&self, calls: usize) {
        while self.applied.receiver_count() < calls {
            tokio::task::yield_now().await;
        }
    }

    fn create_two_partitions(&self) -> Result<(u64, Reply)> {
        let planned_on = self.state.lock().topology_revision();
        let target = |primary: &str| Target {
            nodes: vec!["node-1".into(), "node-2".into()],
            primary: primary.into(),
        };
        self.propose(Command::CreatePartitions {
            assignments: vec![target("node-1"), target("node-2")],
            planned_on,
        })
    }

    fn injected_hang<T>(&self) -> Option<BoxFuture<'_, T>>
    where
        T: Send + 'static,
    {
        assert!(!self.panics.load(Ordering::Relaxed), "asked to panic");
        self.hangs.load(Ordering::Relaxed).then(|| pending().boxed())
    }

    fn write<T: Send + 'static>(
        &self,
        timeout: Duration,
        act: impl FnOnce() -> Result<T> + Send,
    ) -> BoxFuture<'_, Result<T>> {
        *self.timeout.lock() = timeout;
        self.run(act)
    }

    fn run<T: Send + 'static>(&self, act: impl FnOnce() -> Result<T> + Send) -> BoxFuture<'_, Result<T>> {
        if let Some(hang) = self.injected_hang() {
            return hang;
        }
        let outcome = act();
        async move { outcome }.boxed()
    }
}
