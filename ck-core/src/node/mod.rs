//! One node of a cluster: composes all parts, on the runtime, network and disk that it is given.
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
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rand::RngExt;

pub use leased_view::LeasedView;
#[cfg(feature = "sim")]
pub(crate) use server::Close;
pub(crate) use server::{Listen, Listening, TcpServer};

use crate::env::disk::{Disk, DiskLock, MemDisk, RealDisk};
use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::hooks::{CopyOutcome, Driver, Hooks, HooksConfig};
use crate::http::RequestCounters;
use crate::leader::{LeaseManager, MembershipService, Rebalancer, ReportedDelays};
use crate::logger::{LogRateLimiter, Logger};
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

/// What a node is given from outside: disk, network, listeners, the driver of its hooks, and the pace of snapshots.
pub(crate) struct NodeDeps {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) listen: Arc<dyn Listen>,
    pub(crate) hooks: Driver,
    pub(crate) snapshots: SnapshotPace,
}

/// A node: one process that embeds ClusterKit, whether or not it is a member of a cluster yet.
pub(crate) struct Node {
    options: Options,
    me: NodeId,
    /// A random number that distinguishes this process from all other processes of this node.
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
    /// The event of this process's rejoin, for hooks that are registered after it.
    own_rejoin: Arc<OwnRejoin>,
    copy_failures: Arc<CopyFailures>,
    addresses: Arc<AddressBook>,
    /// This node's part in founding a cluster, until the node belongs to one.
    bootstrap: Bootstrap,
    /// What the node waits for before it is ready, as text for people.
    waiting: Mutex<Option<String>>,
    /// The members' leases and liveness, while this node leads.
    leases: Arc<LeaseManager>,
    /// This node's own lease: the time until which it may act as primary.
    lease: Lease,
    /// The health that the application reports, and the reason.
    own_health: Mutex<(NodeHealthState, String)>,
    /// Notified when the reported health changes, and when the disk hangs or answers again.
    own_health_changed: ChangeNotifier,
    counters: Arc<RequestCounters>,
    logger: Arc<Logger>,
    /// Limits the log messages about refused joins.
    refused_joins: LogRateLimiter,
    phase: AtomicU8,
    /// Notified when the phase changes, and when the cluster refuses this node.
    phases: ChangeNotifier,
    /// Set when the cluster has refused this node permanently. Separate from the reason in `refusal`, because lookups
    /// read this flag and take no lock.
    is_refused: AtomicBool,
    /// Set when this node was asked to leave. Its removal is then the expected outcome, not a failure.
    wants_to_leave: AtomicBool,
    listening: OnceLock<Listening>,
    /// Components that need a Raft id; set once, during bootstrap, join or restart.
    member: OnceLock<RaftParts>,
    /// Why the cluster has refused this node, if it has.
    refusal: Mutex<Option<Error>>,
    /// The last heartbeat that a leader answered.
    synced: SyncContact,
    /// When the leader last heard from each member, by its latest answer.
    last_seen: LastSeen,
    state_files: StateFiles,
    lock: Mutex<Option<DiskLock>>,
    tasks: Mutex<Vec<futures_util::future::AbortHandle>>,
}

/// The components of a node that need a Raft id.
pub(crate) struct RaftParts {
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) rebalancer: Arc<Rebalancer>,
    pub(crate) membership: Arc<MembershipService>,
    /// The delays that members have reported while this node leads.
    pub(crate) delays: Arc<ReportedDelays>,
}

/// A phase of a node's life. A node passes through the phases in this order, never back, and may skip some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Created,
    Starting,
    Running,
    /// The node no longer acts as primary or as leader.
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
    /// Creates a node that has not started. Opens nothing yet.
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
            Arc::new(move |event, revision, outcome| match outcome {
                CopyOutcome::Confirmed => copied.add(event.number, revision, true),
                CopyOutcome::Unheard => copied.add(event.number, revision, false),
                CopyOutcome::Abandoned => copied.add_abandoned(event.number, revision),
            }),
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
        // With an empty data_dir the disk is in memory, and the path is only a name.
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
            bootstrap: Bootstrap::new(
                options.node_id.as_str().into(),
                process,
                options.bootstrap_expectation(),
            ),
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
            refused_joins: LogRateLimiter::default(),
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

    /// The disk for these options: in memory where `data_dir` is empty.
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

    /// The random number of this process.
    #[cfg(feature = "sim")]
    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// The incarnation that the log gave this process.
    #[cfg(feature = "sim")]
    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.applied.incarnation()
    }

    /// The whole replicated state, encoded.
    #[cfg(feature = "sim")]
    pub(crate) fn state_bytes(&self) -> Vec<u8> {
        self.applied.state().encode().unwrap_or_default()
    }

    /// The options that the node was created with.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The hooks of the application.
    pub(crate) fn hooks(&self) -> &Arc<Hooks> {
        &self.hooks
    }

    /// The addresses at which the node listens, once it does.
    pub(crate) fn listening(&self) -> Option<&Listening> {
        self.listening.get()
    }

    /// The present phase.
    pub(crate) fn phase(&self) -> Phase {
        let number = self.phase.load(Ordering::Acquire);
        Phase::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Phase::Stopped)
    }

    /// Moves from phase `from` to phase `to`. Where the node is in another phase than `from`, fails with that phase.
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

    /// True while the node may act as primary or leader at all: it is running, the log has admitted this very process,
    /// and the cluster has not refused it. Takes no lock.
    pub(crate) fn acts(&self) -> bool {
        self.is_running() && self.applied.incarnation().is_some() && !self.is_refused.load(Ordering::Acquire)
    }

    /// Resolves once the node begins to stop.
    async fn stopping(&self) {
        let mut seen = self.phases.count();
        while self.is_running() {
            seen = self.phases.after(seen).await;
        }
    }

    /// True from the node's start until it begins to stop. Takes no lock.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running)
    }

    /// True when everything is closed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.phase() == Phase::Stopped
    }

    /// The components that need a Raft id.
    ///
    /// # Errors
    /// [`ErrorCode::NotStarted`] before there are any, [`ErrorCode::Stopped`] once the node has stopped.
    pub(crate) fn member(&self) -> Result<&RaftParts> {
        if self.phase() == Phase::Stopped {
            return Err(Error::new(ErrorCode::Stopped, "the node has stopped"));
        }
        self.member
            .get()
            .ok_or_else(|| Error::new(ErrorCode::NotStarted, "the node has not joined a cluster yet"))
    }

    /// Spawns a task that is aborted when the node stops.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (task, handle) = futures_util::future::abortable(task);
        self.tasks.lock().push(handle);
        env::spawn(async move {
            // Being aborted is the normal end of these tasks.
            let _ = task.await;
        });
    }

    /// Records what this node waits for, for people.
    fn waits_for(&self, what: String) {
        *self.waiting.lock() = Some(what);
    }

    /// What this node last waited for while it entered a cluster.
    fn waiting(&self) -> Option<String> {
        self.waiting.lock().clone()
    }

    /// The member with this Raft id.
    fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        let view = self.applied.view().load();
        view.nodes()
            .iter()
            .find(|node| node.raft_id == raft_id)
            .map(|node| node.id.clone())
    }
}
