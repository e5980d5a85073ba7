//! One node of a test cluster: its options and its disk, and the process that it has at present.

use std::sync::Arc;

use super::listen::MemoryListen;
use super::runtime::TestRuntime;
use crate::clusterkit::{ClusterKit, SharedRuntime};
use crate::env::disk::MemDisk;
use crate::env::test_cluster::TestProcess;
use crate::error::Result;
use crate::hooks::Driver;
use crate::model::NodeStatus;
use crate::net::Security;
use crate::net::memory::MemoryNetwork;
use crate::node::{NodeDeps, Phase};
use crate::options::Options;
use crate::raft::SnapshotPace;

/// Cloning gives a picture of this moment.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) options: Options,
    pub(super) disk: Arc<MemDisk>,
    pub(super) process: TestProcess,
    pub(super) kit: ClusterKit,
}

impl Member {
    /// A node with its first process, which has not been started. `options.http_addr` is its address.
    pub(super) fn new(runtime: &TestRuntime, network: &MemoryNetwork, options: Options) -> Result<Self> {
        let disk = Arc::new(MemDisk::new());
        let (process, kit) = new_process(runtime, network, &options, &disk)?;
        Ok(Member {
            options,
            disk,
            process,
            kit,
        })
    }

    /// The same node with a new process on its disk. The one before must not run.
    pub(super) fn renewed(&self, runtime: &TestRuntime, network: &MemoryNetwork) -> Result<Self> {
        // A process that stopped has given its lock back; one that was killed has not.
        self.disk.end_process();
        let (process, kit) = new_process(runtime, network, &self.options, &self.disk)?;
        Ok(Member {
            process,
            kit,
            ..self.clone()
        })
    }

    pub(super) fn addr(&self) -> &str {
        &self.options.http_addr
    }

    pub(super) fn id(&self) -> &str {
        &self.options.node_id
    }

    /// True from its start until it begins to stop.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.kit.node().phase(), Phase::Starting | Phase::Running) && !self.process.is_killed()
    }

    /// True where it takes part, or soon will.
    pub(super) fn takes_part(&self) -> bool {
        // One that its cluster has refused for good says so by an error.
        self.is_running() && !self.process.is_paused() && self.kit.waiting_for().is_ok()
    }

    /// Its status in the view of another.
    pub(super) fn status_in(&self, view: &crate::routing::ClusterView) -> Option<NodeStatus> {
        view.node(self.id()).map(|node| node.status)
    }
}

fn new_process(
    runtime: &TestRuntime,
    network: &MemoryNetwork,
    options: &Options,
    disk: &Arc<MemDisk>,
) -> Result<(TestProcess, ClusterKit)> {
    let process = TestProcess::new(runtime.clock().clone());
    let deps = NodeDeps {
        disk: disk.clone(),
        transport: network.transport(&options.http_addr, process.clone()),
        security: Security::none(),
        listen: Arc::new(MemoryListen {
            network: network.clone(),
            addr: options.http_addr.clone(),
            process: process.clone(),
        }),
        hooks: Driver::Threads(runtime.handle().clone()),
        snapshots: SnapshotPace::default(),
    };
    let shared = SharedRuntime::of_test_cluster(runtime.handle().clone(), process.clone());
    let kit = ClusterKit::assemble(options.clone(), shared, deps)?;
    let hooks = Arc::downgrade(kit.node().hooks());
    process.watch_hooks(move || hooks.upgrade().map(|hooks| hooks.activity()).unwrap_or_default());
    Ok((process, kit))
}
