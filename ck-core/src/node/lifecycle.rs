//! Starts and stops a node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Node, Phase, RaftParts};
use crate::env;
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::leader::{
    ElectionTimeoutTuner, FailureDetector, LeaderContext, MembershipReconciler, MembershipService,
    RebalancePolicy, Rebalancer, ReportedDelays,
};
use crate::membership::{Identity, IdentityFile, Pong, ProcessTag, PromiseFile};
use crate::model::{Event, EventKind, LeadershipEvent};
use crate::raft::{Leadership, LeadershipChange, Proposer, RaftConfig, RaftNode};
use crate::state::CopyLimit;

/// How long running hooks may take to return when the node stops.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the disk may take for the last writes when the node stops.
const FILES_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes a disk must accept before a node starts on it: at least what the log needs to take part.
const PROBE_BYTES: usize = 256 * 1024;

impl Node {
    /// Starts the node: opens the data directory, listens, and founds, joins or rejoins the cluster.
    ///
    /// A node that was a member before returns once it is a member again or `join_timeout` has passed; then it goes on
    /// rejoining in the background. A new node fails when no member has admitted it by then.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<()> {
        if let Err(phase) = self.advance(Phase::Created, Phase::Starting) {
            return Err(match phase {
                Phase::Stopping | Phase::Stopped => {
                    Error::new(ErrorCode::Stopped, "the node has stopped; make a new one")
                }
                _ => Error::new(ErrorCode::AlreadyStarted, "the node has been started before"),
            });
        }
        let opened = tokio::select! {
            biased;
            () = self.stopping() => Err(Error::new(ErrorCode::Stopped, "the node was stopped while it started")),
            opened = self.open() => opened,
        };
        let opened = match opened {
            // A node whose log fails meanwhile has not started.
            Ok(()) => self.until_log_fails(self.wait_for_lease()).await,
            Err(error) => Err(error),
        };
        let error = match opened {
            Ok(()) if self.advance(Phase::Starting, Phase::Running).is_ok() => {
                if self.hooks.has_copier() {
                    self.confirmations.doubt_inherited(self.applied.revision());
                }
                return Ok(());
            }
            Ok(()) => Error::new(ErrorCode::Stopped, "the node was stopped while it started"),
            Err(error) => error,
        };
        // Everything that was opened is closed. The caller gets the first error.
        self.logger.warn(format_args!("cannot start: {error}"));
        let closed = if self.is_running() {
            self.close_all().await
        } else {
            self.shut_down_gracefully().await
        };
        if let Err(later) = closed {
            self.logger.warn(format_args!("and cannot close: {later}"));
        }
        Err(error)
    }

    /// Waits for the first lease, at most for the lease's length: a member may act as primary as soon as its start has
    /// returned. Where no leader can be reached the node starts all the same, and gets its lease once there is a
    /// leader.
    async fn wait_for_lease(&self) {
        let patience = self.options.effective_lease_ttl();
        let leased = async {
            tokio::select! {
                biased;
                () = self.stopping() => {}
                () = self.lease.held() => {}
            }
        };
        if self.applied.incarnation().is_some() && env::timeout(patience, leased).await.is_err() {
            self.logger
                .warn(format_args!("no leader has granted this node a lease yet"));
        }
    }

    async fn open(self: &Arc<Self>) -> Result<()> {
        let identity = self.open_directory().await?;
        if let Some(identity) = &identity {
            // Set before peers can call: this node must never seem to have no cluster.
            self.addresses.set_cluster_id(&identity.cluster_id);
        }
        let listening = self.listen.listen(self.clone(), self.peer_handler()).await?;
        self.logger.info(format_args!(
            "node {} listens at {}",
            self.me, listening.http_addr
        ));
        if self.listening.set(listening).is_err() {
            return Err(Error::internal("a node listens once"));
        }
        match identity {
            Some(identity) => self.restart(identity).await,
            None => self.bootstrap_or_join().await,
        }
    }

    /// Locks the data directory and reads this node's identity, if it has one.
    async fn open_directory(&self) -> Result<Option<Identity>> {
        let disk = self.disk.clone();
        let dir = self.dir.clone();
        let opening = env::blocking(move || {
            disk.create_dir_all(&dir)?;
            let lock = disk.lock(&dir.join("LOCK"))?;
            let identity = IdentityFile::new(disk.clone(), &dir).load()?;
            probe(&*disk, &dir)?;
            let promised = match &identity {
                None => PromiseFile::new(disk, &dir).load()?,
                Some(_) => None,
            };
            Ok::<_, Error>((lock, identity, promised))
        });
        let (lock, identity, promised) = opening.await??;
        if let Some(founder) = promised {
            self.bootstrap.promise(founder);
        }
        *self.lock.lock() = Some(lock);
        self.warn_of_open_permissions().await?;
        if let Some(identity) = &identity {
            self.identity_file()
                .check(identity, &self.me, &self.options.cluster_name)?;
            self.check_agreement(identity)?;
        }
        Ok(identity)
    }

    /// Warns where every user of the machine may write in the data directory: such a user may replace its files, and so
    /// impersonate the node.
    async fn warn_of_open_permissions(&self) -> Result<()> {
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        if env::blocking(move || disk.is_world_writable(&dir)).await?? {
            self.logger.warn(format_args!(
                "data_dir {}: every user of this machine may replace its files; make it private (chmod 700)",
                self.dir.display()
            ));
        }
        Ok(())
    }

    pub(super) fn identity_file(&self) -> IdentityFile {
        IdentityFile::new(self.disk.clone(), &self.dir)
    }

    /// Opens Raft, and starts the tasks that need a Raft id.
    pub(super) async fn start_raft(self: &Arc<Self>, identity: &Identity) -> Result<&RaftParts> {
        let raft_id = identity.raft_id;
        let raft = RaftNode::open(RaftConfig {
            raft_id,
            cluster_name: self.options.cluster_name.clone(),
            timing: self.options.timing.values(),
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            transport: self.transport.clone(),
            addresses: self.addresses.clone(),
            applied: self.applied.clone(),
            snapshots: self.snapshots,
        })
        .await?;
        if !identity.has_log {
            // Stored before Raft is used: from then on a data directory without a log has lost it.
            self.store_identity(identity.with_log()).await?;
        }
        let proposer = Arc::new(Proposer::new(
            raft.clone(),
            self.transport.clone(),
            self.addresses.clone(),
        ));
        let leadership = Arc::new(Leadership::new(
            self.me.clone(),
            raft.clone(),
            proposer.clone(),
            self.options.timing.values(),
        ));
        let context = LeaderContext {
            me: self.me.clone(),
            raft: raft.clone(),
            applied: self.applied.clone(),
            proposer: proposer.clone(),
            leadership: leadership.clone(),
            leases: self.leases.clone(),
            logger: self.logger.clone(),
        };
        let policy = RebalancePolicy {
            rebalance_delay: self.options.rebalance_delay,
            migration_timeout: self.options.migration_timeout,
            limit: CopyLimit {
                node: self.options.max_concurrent_migrations,
                cluster: self.options.max_cluster_migrations,
            },
        };
        let rebalancer = Arc::new(Rebalancer::new(context.clone(), policy));
        let pong = Pong {
            node_id: self.me.clone(),
            tag: ProcessTag::of(self.process),
            cluster_id: String::new(),
            cluster_name: self.options.cluster_name.clone(),
            forming: None,
        };
        let membership = Arc::new(MembershipService::new(
            context.clone(),
            pong,
            self.transport.clone(),
            self.addresses.clone(),
        ));
        let reconciler = MembershipReconciler::new(context.clone(), self.options.max_voters as usize);
        let detector = FailureDetector::new(
            context.clone(),
            membership.clone(),
            self.options.effective_health_interval(),
        );
        let delays = Arc::<ReportedDelays>::default();
        let tuner = ElectionTimeoutTuner {
            context,
            delays: delays.clone(),
            timing: self.options.timing.values(),
        };
        let member = RaftParts {
            raft,
            proposer,
            leadership,
            rebalancer,
            membership,
            delays,
        };
        if self.member.set(member).is_err() {
            return Err(Error::internal("a node takes part once"));
        }
        let member = self.member()?;
        let (leadership, rebalancer) = (member.leadership.clone(), member.rebalancer.clone());
        let node = self.clone();
        self.run(async move { leadership.run(|change| node.leadership_changed(change)).await });
        self.run(async move { rebalancer.run().await });
        self.run(async move { reconciler.run().await });
        self.run(async move { tuner.run().await });
        if self.options.health_check.enabled {
            self.run(async move { detector.run().await });
        }
        self.run(self.clone().confirmation_loop());
        self.run(self.clone().heartbeat_loop());
        self.run(self.clone().keep_connected());
        self.run(self.clone().keep_state_files());
        self.run(self.clone().watch_disk());
        Ok(member)
    }

    fn leadership_changed(&self, change: LeadershipChange) {
        match change {
            LeadershipChange::Became(epoch) => self.begin_leadership(epoch),
            LeadershipChange::Lost(_) => self.leases.end_term(),
        }
        let kind = match change {
            LeadershipChange::Became(epoch) => {
                self.logger
                    .info(format_args!("this node leads now, with epoch {epoch}"));
                EventKind::BecomeLeader(LeadershipEvent { epoch })
            }
            LeadershipChange::Lost(epoch) => {
                self.logger
                    .info(format_args!("this node leads no longer; its epoch was {epoch}"));
                EventKind::LoseLeadership(LeadershipEvent { epoch })
            }
        };
        let event = Event {
            revision: self.applied.revision(),
            timestamp: env::wall_now(),
            kind,
        };
        self.hooks.push(Arc::new(event));
    }

    fn begin_leadership(&self, epoch: u64) {
        self.leases.begin_term(epoch, self.applied.revision());
        let heard = self.member().ok().and_then(|member| member.raft.last_heard());
        let topology = self.applied.topology();
        let former = heard.and_then(|(raft_id, at)| {
            let node = topology.nodes.values().find(|node| node.raft_id == raft_id)?;
            Some((node, at))
        });
        if let Some((node, heard)) = former {
            let patience = self.options.timing.values().election_max;
            self.leases
                .seed_previous_leader(&node.id, node.incarnation, heard, patience);
        }
    }

    /// Stops gracefully: others take over first, then everything is closed. A second call waits for the first. A call
    /// while the node starts waits until the start has been aborted.
    pub(crate) async fn stop(self: &Arc<Self>) -> Result<()> {
        let was = loop {
            let phase = self.phase();
            if matches!(phase, Phase::Stopping | Phase::Stopped)
                || self.advance(phase, Phase::Stopping).is_ok()
            {
                break phase;
            }
        };
        match was {
            // The call that starts or stops the node already closes it.
            Phase::Starting | Phase::Stopping | Phase::Stopped => self.stopped().await,
            Phase::Created => {
                self.set_phase(Phase::Stopped);
                self.close_hooks().await
            }
            Phase::Running => self.shut_down_gracefully().await,
        }
    }

    /// Hands over to others, then closes everything.
    async fn shut_down_gracefully(self: &Arc<Self>) -> Result<()> {
        if let Some(member) = self.member.get() {
            self.leave_raft_gracefully(member).await;
        }
        self.close_all().await
    }

    /// Waits until a stop that is under way has ended, and for hooks that outlasted it.
    async fn stopped(&self) -> Result<()> {
        loop {
            let seen = self.phases.count();
            if self.has_stopped() {
                return self.close_hooks().await;
            }
            self.phases.after(seen).await;
        }
    }

    /// Closes everything without notifying other nodes: the application has dropped the node.
    pub(crate) async fn close_immediately(self: &Arc<Self>) -> Result<()> {
        if matches!(self.phase(), Phase::Stopping | Phase::Stopped) {
            return self.stopped().await;
        }
        self.close_all().await
    }

    async fn close_all(self: &Arc<Self>) -> Result<()> {
        self.set_phase(Phase::Stopping);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
        }
        let mut outcome = Ok(());
        if let Some(listening) = self.listening.get() {
            listening.close.close().await;
        }
        if let Some(member) = self.member.get() {
            outcome = self.close_files(member).await;
        }
        self.transport.close();
        self.applied.close();
        let closed = self.close_hooks().await;
        self.lock.lock().take();
        self.set_phase(Phase::Stopped);
        outcome.and(closed)
    }

    /// Writes the state files and closes the log, for as long as the disk answers: a disk that hangs may never answer
    /// again, and the node must stop all the same. Nothing that was acknowledged is lost by that.
    async fn close_files(self: &Arc<Self>, member: &RaftParts) -> Result<()> {
        let closing = async {
            self.write_state_files().await;
            member.raft.close().await
        };
        match env::timeout(FILES_TIMEOUT, closing).await {
            Ok(closed) => closed,
            Err(_) => {
                member.raft.abandon();
                Err(Error::new(
                    ErrorCode::Timeout,
                    format!(
                        "the disk of data_dir {} did not answer within {FILES_TIMEOUT:?}; the log was not closed in an orderly way",
                        self.dir.display()
                    ),
                ))
            }
        }
    }

    /// Calls no further hook, and waits for those that run.
    async fn close_hooks(&self) -> Result<()> {
        if env::runtime::simulated() {
            // In the simulator hooks are tasks, which progress only while no code blocks.
            return self.hooks.close_async(HOOKS_TIMEOUT).await;
        }
        // Dropping what hooks hold and joining their threads may take long, so both run on a blocking thread. The wait
        // for a hook that does not return does not, because blocking threads are few.
        let hooks = self.hooks.clone();
        env::blocking(move || hooks.shut()).await?;
        let closed = self.hooks.close_async(HOOKS_TIMEOUT).await;
        let hooks = self.hooks.clone();
        env::blocking(move || hooks.join_threads()).await?;
        closed
    }
}

/// Writes, fsyncs and removes a file, so that a disk that accepts no writes is found before other nodes rely on this
/// one: a node that was admitted and then fails has its copies made twice.
fn probe(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join("start-probe");
    let written = disk.create(&path).and_then(|file| {
        file.write_all_at(&[0; PROBE_BYTES], 0)?;
        file.sync_data()
    });
    let removed = disk.remove(&path);
    written
        .and(removed)
        .map_err(|error| error.context("this node cannot write its data"))
}
