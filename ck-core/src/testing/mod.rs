//! Clusters in memory, for the tests of applications (feature `testing`).
//!
//! A [`TestCluster`] is some real nodes in one process, without sockets and files: each is an ordinary
//! [`crate::ClusterKit`], so the code of the application runs on it unchanged. The test starts and kills nodes, pauses
//! and cuts them off, and moves their clock: what takes minutes elsewhere takes milliseconds here.
//!
//! ```
//! use std::time::Duration;
//!
//! use clusterkit::prelude::*;
//! use clusterkit::testing::TestCluster;
//!
//! # fn main() -> clusterkit::Result<()> {
//! let cluster = TestCluster::start(3)?;
//! let timeout = Duration::from_secs(60); // of the cluster's clock: a test does not wait for it
//!
//! let leader = cluster.wait_for_leader(timeout)?;
//! cluster.node(leader)?.set_custom_data("limit", "10", Expect::Any, timeout)?;
//!
//! cluster.kill(leader)?;
//! let successor = cluster.wait_for_leader(timeout)?;
//! assert_ne!(successor, leader);
//! cluster.wait_settled(timeout)?; // its copies have been made elsewhere
//!
//! cluster.restart(leader)?;
//! cluster.wait_settled(timeout)?;
//! assert_eq!(&cluster.node(leader)?.custom_data("limit").unwrap().value[..], b"10");
//! # Ok(())
//! # }
//! ```
//!
//! # The clock
//!
//! All nodes of a cluster have one clock. By itself it passes with real time, or not at all
//! ([`TestClusterBuilder::manual_clock`]). [`TestCluster::advance`] moves it, and so do the calls that wait: by as little as
//! they need. It moves from timer to timer: at each, everything that the timer causes is done before the next. So heartbeats keep
//! up, and a cluster that is well survives any time without an election, while a node that is paused or cut off is found
//! dead by all others after its timeouts. No timer is ever late, however busy the machine is: while the nodes compute, their
//! clock stands still.
//!
//! Hooks run on threads of their own and take real time, so the clock is not moved while a hook runs, for at most one second of
//! real time for each call: a hook that blocks longer sees time pass. Nor is it moved while a call of a node on another thread
//! has something to do. Everything else that the application does takes no part: its own timers, sleeping threads and
//! sockets have real time.
//!
//! # Addresses
//!
//! The nodes listen on no socket. [`crate::ClusterKit::http_addr`] is the address of a node in the memory of the cluster,
//! `127.0.0.1:61001` for node 0, and cannot be dialled: there is no HTTP API. Services of the application that name only a
//! port (`services`) are at `127.0.0.1`, as they are where all nodes are on one machine.
//!
//! # What is real and what is not
//!
//! Raft, the log, leases, hooks, placement and every call are the code that runs in production. The network, the disk and
//! the clock are not, and nor are threads: all tasks of a cluster run on one thread (`ck-test`), hooks on their own as
//! elsewhere. Performance is not that of production. [`docs/testing.md`] has recipes.
//!
//! [`docs/testing.md`]: https://github.com/clusterkit/clusterkit/blob/main/docs/testing.md

mod builder;
mod faults;
mod lifecycle;
mod listen;
mod member;
mod runtime;
mod settled;
mod waits;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;

pub use builder::TestClusterBuilder;
pub use faults::{DiskFault, LinkFaults};

use crate::clusterkit::ClusterKit;
use crate::env::test_cluster::{ClockHold, TestProcess};
use crate::error::{Error, ErrorCode, Result};
use crate::net::memory::MemoryNetwork;
use member::Member;
use runtime::TestRuntime;

/// How long the nodes of a new cluster may take to settle, on their clock.
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// Real nodes in one process, for tests: see the [module](self).
///
/// Nodes are named by their index, from 0: node 0 has the id `node-0`, unless [`TestClusterBuilder::options`] gives it
/// another. Every method may be called from any thread. Those that wait block the thread, and answer
/// [`ErrorCode::InHook`] inside a hook of any node. Inside tasks of an async runtime, call them as anything that blocks is
/// called there (`spawn_blocking`).
///
/// Dropping it ends everything: nodes, threads, calls that wait. Handles of its nodes that are left answer
/// [`ErrorCode::Stopped`]. It waits for hooks that run, for some seconds at most; [`TestCluster::close`] says whether one is
/// left.
pub struct TestCluster {
    shared: Arc<TestClusterShared>,
}

pub(crate) struct TestClusterShared {
    recipe: TestClusterBuilder,
    runtime: TestRuntime,
    network: MemoryNetwork,
    members: Mutex<Vec<Member>>,
    /// Held while nodes are made, started or ended.
    changing: Mutex<()>,
    /// How many nodes were killed: each takes another part of the seed.
    kills: AtomicU64,
    /// Keeps the clock from passing by itself, where only the test moves it.
    manual: Mutex<Option<ClockHold>>,
}

impl fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.shared.members();
        let running = members.iter().filter(|member| member.is_running());
        f.debug_struct("TestCluster")
            .field("nodes", &members.len())
            .field("running", &running.map(Member::id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl TestCluster {
    /// Starts a cluster of so many nodes, 1 to 1000, with default options: [`TestClusterBuilder::start`].
    ///
    /// # Errors
    /// As [`TestClusterBuilder::start`].
    pub fn start(nodes: usize) -> Result<Self> {
        TestCluster::builder().nodes(nodes).start()
    }

    /// A cluster with options.
    pub fn builder() -> TestClusterBuilder {
        TestClusterBuilder::default()
    }

    fn with(recipe: TestClusterBuilder) -> Result<Self> {
        let runtime = TestRuntime::start()?;
        let carrier = TestProcess::new(runtime.clock().clone());
        let manual = recipe.manual_clock.then(|| runtime.clock().hold());
        let cluster = TestCluster {
            shared: Arc::new(TestClusterShared {
                network: MemoryNetwork::new(carrier, recipe.seed_value()),
                recipe,
                runtime,
                members: Mutex::default(),
                changing: Mutex::default(),
                kills: AtomicU64::new(0),
                manual: Mutex::new(manual),
            }),
        };
        cluster.found()?;
        cluster.wait_settled(START_TIMEOUT)?;
        Ok(cluster)
    }

    /// The number of nodes, those included that do not run.
    pub fn node_count(&self) -> usize {
        self.shared.members.lock().len()
    }

    /// The handle of the present process of a node, or of its last.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] when there is no node with this index; [`ErrorCode::Stopped`] when the cluster has ended.
    pub fn node(&self, index: usize) -> Result<ClusterKit> {
        self.member(index).map(|member| member.kit)
    }

    /// The handles of all nodes, by index.
    pub fn nodes(&self) -> Vec<ClusterKit> {
        self.shared
            .members()
            .into_iter()
            .map(|member| member.kit)
            .collect()
    }

    /// The index of the node with this id.
    pub fn index_of(&self, id: &str) -> Option<usize> {
        self.shared.members().iter().position(|member| member.id() == id)
    }

    /// True while a node runs: it was started, and neither stopped nor killed. A paused one runs. False where there is no
    /// node with this index.
    pub fn is_running(&self, index: usize) -> bool {
        self.member(index).is_ok_and(|member| member.is_running())
    }

    /// True while a node is paused.
    pub fn is_paused(&self, index: usize) -> bool {
        self.member(index).is_ok_and(|member| member.process.is_paused())
    }

    fn member(&self, index: usize) -> Result<Member> {
        if self.shared.runtime.clock().has_ended() {
            return Err(Error::new(ErrorCode::Stopped, "the test cluster has ended"));
        }
        let members = self.shared.members.lock();
        members.get(index).cloned().ok_or_else(|| {
            let message = format!("there is no node {index}; there are {}", members.len());
            Error::new(ErrorCode::NotFound, message)
        })
    }
}

impl TestClusterShared {
    fn members(&self) -> Vec<Member> {
        self.members.lock().clone()
    }
}
