//! One node of a cluster: all parts put together, on whatever runtime, network and disk it is given.
//!
//! [`Node`] is asynchronous and runs unchanged in a process of its own and inside the simulator. The handle that
//! applications use ([`crate::ClusterKit`]) wraps it with a runtime.

mod bootstrap;
mod client_api;
mod confirmations;
mod copying;
mod discovery;
mod disk_silence;
mod file_limit;
mod graceful_shutdown;
mod heartbeat;
mod http_api;
mod keep_connected;
mod late_hooks;
mod leader_contact;
mod leased_view;
mod lifecycle;
mod operations;
mod peer_rpc;
mod ready;
mod server;
#[cfg(test)]
#[cfg(feature = "sim")]
mod sim;
mod state_file;
mod step_down;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rand::RngExt;

pub use leased_view::LeasedView;
#[cfg(feature = "sim")]
pub(crate) use server::Close;
pub(crate) use server::{Listen, Listening, TcpServer};

use crate::env::disk::{Disk, DiskLock, MemDisk, RealDisk};
use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::hooks::{Driver, Hooks, HooksConfig};
use crate::http::RequestCounters;
use crate::leader::{LeaseManager, MembershipService, Rebalancer, ReportedDelays};
use crate::logger::{Logger, Sparse};
use crate::membership::{AddressBook, Bootstrap, Lease};
use crate::model::{NodeHealthState, NodeId};
use crate::net::Transport;
use crate::options::Options;
use crate::raft::{AppliedState, Leadership, Proposer, RaftId, RaftNode, SnapshotPace};

use confirmations::Confirmations;
use copying::{CopyFailures, holders};
use late_hooks::OwnRejoin;
use leader_contact::{LastSeen, SyncContact};
use state_file::StateFiles;

/// What a node stands on: the world outside it.
pub(crate) struct NodeDeps {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) listen: Arc<dyn Listen>,
    pub(crate) hooks: Driver,
    pub(crate) snapshots: SnapshotPace,
}

/// A node.
pub(crate) struct Node {
    options: Options,
    me: NodeId,
    /// Names this process among all processes of this node.
    process: u64,
    created: Instant,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    transport: Arc<dyn Transport>,
    listen: Arc<dyn Listen>,
    snapshots: SnapshotPace,
    applied: Arc<AppliedState>,
    hooks: Arc<Hooks>,
    confirmations: Arc<Confirmations>,
    /// How this process came back, for hooks that are registered after that.
    own_rejoin: Arc<OwnRejoin>,
    copy_failures: Arc<CopyFailures>,
    addresses: Arc<AddressBook>,
    /// Its part in founding a cluster, while it has none.
    bootstrap: Bootstrap,
    /// What it waits for before it is ready; for people.
    waiting: Mutex<Option<String>>,
    /// What this node has heard and granted while it leads.
    leases: Arc<LeaseManager>,
    /// Until when it may act as primary.
    lease: Lease,
    /// What the application says of itself, and why.
    own_health: Mutex<(NodeHealthState, String)>,
    /// Told when that changes.
    own_health_changed: ChangeNotifier,
    counters: Arc<RequestCounters>,
    logger: Arc<Logger>,
    /// What has been told of nodes that were not let in.
    refused_joins: Sparse,
    phase: AtomicU8,
    /// Told when the phase changes.
    phases: ChangeNotifier,
    /// Set when the cluster has refused this node for good; apart from the reason, because lookups read it and
    /// take no lock.
    is_refused: AtomicBool,
    /// Set when this node was asked to leave: being taken out is then what it waits for.
    wants_to_leave: AtomicBool,
    listening: OnceLock<Listening>,
    /// Everything that exists from the moment at which the node has a number in Raft.
    member: OnceLock<RaftParts>,
    /// Why the cluster does not want this node any more, if it said so.
    refusal: Mutex<Option<Error>>,
    /// The last sync that the leader answered.
    synced: SyncContact,
    /// What the leader said last of the members.
    last_seen: LastSeen,
    state_files: StateFiles,
    lock: Mutex<Option<DiskLock>>,
    tasks: Mutex<Vec<futures_util::future::AbortHandle>>,
}

/// The parts that need a place in a cluster.
pub(crate) struct RaftParts {
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) rebalancer: Arc<Rebalancer>,
    pub(crate) membership: Arc<MembershipService>,
    /// The delays that members told of while this node leads.
    pub(crate) delays: Arc<ReportedDelays>,
}

/// Where a node is in its life. It goes through these in order, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Created,
    Starting,
    Running,
    /// It acts as primary and as leader no more.
    Stopping,
    Stopped,
}

impl Phase {
    const ALL: [Phase; 5] = [
        Phase::Created,
        Phase::Starting,
        Phase::Running,
        Phase::Stopping,
        Phase::Stopped,
    ];
}

impl Node {
    /// A node that has not started. Opens nothing yet.
    pub(crate) fn new(options: Options, deps: NodeDeps, logger: Arc<Logger>) -> Result<Arc<Self>> {
        options.validate()?;
        let me: NodeId = options.node_id.as_str().into();
        let process = env::runtime::rng().random_range(1..u64::MAX);
        logger.set_level(options.log_level);
        let confirmations = Arc::new(Confirmations::default());
        let copied = confirmations.clone();
        let copy_failures = Arc::new(CopyFailures::default());
        let (failed, warnings) = (copy_failures.clone(), logger.clone());
        let myself = me.clone();
        let mut config = HooksConfig::new(
            me.clone(),
            deps.hooks,
            Arc::new(move |event, revision, hooked| copied.add(event.number, revision, hooked)),
            Arc::new(move |failure| {
                failed.note(&failure, &myself);
                warnings.warn(format_args!("{failure}"));
            }),
        );
        config.concurrency = options.hook_concurrency as usize;
        let known: Arc<OnceLock<Weak<AppliedState>>> = Arc::default();
        config.holders = Some(holders(known.clone(), me.clone()));
        let hooks = Arc::new(Hooks::new(config));
        let told = hooks.clone();
        let own_rejoin = Arc::new(OwnRejoin::default());
        let (rejoins, myself) = (own_rejoin.clone(), me.clone());
        let applied = Arc::new(AppliedState::new(
            me.clone(),
            process,
            Box::new(move |events| {
                rejoins.note(&events, &myself);
                told.push_batch(events);
            }),
        ));
        known.get_or_init(|| Arc::downgrade(&applied));
        // An empty data_dir keeps everything in memory, under any name.
        let dir = if options.data_dir.is_empty() {
            "/memory".into()
        } else {
            PathBuf::from(&options.data_dir)
        };
        Ok(Arc::new(Node {
            me,
            process,
            created: Instant::now(),
            dir,
            disk: deps.disk,
            transport: deps.transport,
            listen: deps.listen,
            snapshots: deps.snapshots,
            addresses: Arc::new(AddressBook::new(applied.clone())),
            bootstrap: Bootstrap::new(options.node_id.as_str().into(), process, options.founding()),
            waiting: Mutex::default(),
            applied,
            hooks,
            confirmations,
            own_rejoin,
            copy_failures,
            leases: Arc::default(),
            lease: Lease::default(),
            own_health: Mutex::default(),
            own_health_changed: ChangeNotifier::default(),
            counters: Arc::default(),
            logger,
            refused_joins: Sparse::default(),
            phase: AtomicU8::new(Phase::Created as u8),
            phases: ChangeNotifier::default(),
            is_refused: AtomicBool::new(false),
            wants_to_leave: AtomicBool::new(false),
            listening: OnceLock::new(),
            member: OnceLock::new(),
            refusal: Mutex::new(None),
            synced: SyncContact::default(),
            state_files: StateFiles::default(),
            last_seen: LastSeen::default(),
            lock: Mutex::new(None),
            tasks: Mutex::default(),
            options,
        }))
    }

    /// The disk that these options ask for.
    pub(crate) fn disk_for(options: &Options) -> Arc<dyn Disk> {
        if options.data_dir.is_empty() {
            Arc::new(MemDisk::new())
        } else {
            Arc::new(RealDisk)
        }
    }

    /// This node's id.
    pub(crate) fn id(&self) -> &NodeId {
        &self.me
    }

    /// The number that names this process.
    #[cfg(feature = "sim")]
    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// The incarnation that the log gave this process.
    #[cfg(feature = "sim")]
    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.applied.incarnation()
    }

    /// The whole state as bytes.
    #[cfg(feature = "sim")]
    pub(crate) fn state_bytes(&self) -> Vec<u8> {
        self.applied.state().encode().unwrap_or_default()
    }

    /// The options that it was made with.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The hooks of the application.
    pub(crate) fn hooks(&self) -> &Arc<Hooks> {
        &self.hooks
    }

    /// Where it listens, once it does.
    pub(crate) fn listening(&self) -> Option<&Listening> {
        self.listening.get()
    }

    /// Where it is in its life.
    pub(crate) fn phase(&self) -> Phase {
        let number = self.phase.load(Ordering::Acquire);
        Phase::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Phase::Stopped)
    }

    /// Goes from one phase to another, unless it has gone elsewhere; then the answer is where it is.
    fn advance(&self, from: Phase, to: Phase) -> std::result::Result<(), Phase> {
        let done = self
            .phase
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if done {
            self.phases.notify();
            return Ok(());
        }
        Err(self.phase())
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.phases.notify();
    }

    /// True while it may act as primary or leader at all: it is running, the log has admitted this very
    /// process, and the cluster has not refused it for good. Takes no lock.
    pub(crate) fn acts(&self) -> bool {
        self.is_running() && self.applied.incarnation().is_some() && !self.is_refused.load(Ordering::Acquire)
    }

    /// Resolves when the node is told to stop.
    async fn stopping(&self) {
        let mut seen = self.phases.count();
        while self.is_running() {
            seen = self.phases.after(seen).await;
        }
    }

    /// True from its start until it is told to stop. Takes no lock.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running)
    }

    /// True when everything is closed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.phase() == Phase::Stopped
    }

    /// The parts that need a place in a cluster.
    ///
    /// # Errors
    /// [`ErrorCode::NotStarted`] before there are any, [`ErrorCode::Stopped`] after.
    pub(crate) fn member(&self) -> Result<&RaftParts> {
        if self.phase() == Phase::Stopped {
            return Err(Error::new(ErrorCode::Stopped, "the node has stopped"));
        }
        self.member
            .get()
            .ok_or_else(|| Error::new(ErrorCode::NotStarted, "the node has not joined a cluster yet"))
    }

    /// Runs a task until the node stops.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (task, handle) = futures_util::future::abortable(task);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        env::spawn(async move {
            // Aborted is how these tasks end.
            let _ = task.await;
        });
    }

    /// Notes what this node waits for.
    fn waits_for(&self, what: String) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// What this node waited for last, while it came into a cluster.
    fn waiting(&self) -> Option<String> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The node that a Raft number belongs to.
    fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        let view = self.applied.view().load();
        view.nodes()
            .iter()
            .find(|node| node.raft_id == raft_id)
            .map(|node| node.id.clone())
    }
}
