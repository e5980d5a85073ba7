//! Starts and stops a node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::connection_keeper::ConnectionKeeper;
use super::context::RaftParts;
use super::disk_watch::DiskWatch;
use super::graceful_shutdown::GracefulShutdown;
use super::heartbeat::Heartbeats;
use super::phase::Phase;
use super::rejoin::Rejoiner;
use super::secret_watch::SecretWatch;
use super::tls_watch::TlsWatch;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::hooks::CopyConfirmer;
use crate::leader::{
    FailureDetector, LeaderContext, LeaderService, LeaseManager, MembershipReconciler, RebalancePolicy,
};
use crate::membership::Identity;
use crate::model::{Event, EventKind, LeadershipEvent};
use crate::net::Handler;
use crate::options::is_world_readable;
use crate::raft::{ForwardServer, Leadership, LeadershipChange, Proposer, RaftConfig, RaftNode};
use crate::state::CopyLimit;

/// How long the disk may take for the last writes when the node stops.
const FILES_TIMEOUT: Duration = Duration::from_secs(5);

impl Node {
    /// Starts the node: opens the data directory, listens, and founds, joins or rejoins the cluster.
    ///
    /// A node that was a member before returns once it is a member again or `join_timeout` has passed; then it goes on
    /// rejoining in the background. A new node fails when no member has admitted it by then.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<()> {
        let context = &self.context;
        if let Err(phase) = context.lifecycle.advance(Phase::Created, Phase::Starting) {
            return Err(match phase {
                Phase::Stopping | Phase::Stopped => {
                    Error::new(ErrorCode::Stopped, "the node has stopped; make a new one")
                }
                _ => Error::new(ErrorCode::AlreadyStarted, "the node has been started before"),
            });
        }
        let stopped = || Error::new(ErrorCode::Stopped, "the node was stopped while it started");
        let opened = tokio::select! {
            biased;
            () = context.lifecycle.stopping() => Err(stopped()),
            opened = self.open() => opened,
        };
        let opened = match opened {
            // A node whose log fails meanwhile has not started.
            Ok(()) => context.until_log_fails(self.wait_for_lease()).await,
            Err(error) => Err(error),
        };
        let error = match opened {
            Ok(()) if context.lifecycle.advance(Phase::Starting, Phase::Running).is_ok() => {
                self.hooks.started();
                return Ok(());
            }
            Ok(()) => stopped(),
            Err(error) => error,
        };
        // Everything that was opened is closed. The caller gets the first error.
        context.logger.warn(format_args!("cannot start: {error}"));
        let closed = if context.lifecycle.is_running() {
            self.close_all().await
        } else {
            self.shut_down_gracefully().await
        };
        if let Err(later) = closed {
            context.logger.warn(format_args!("and cannot close: {later}"));
        }
        Err(error)
    }

    /// Waits for the first lease, at most for the lease's length: a member may act as primary as soon as its start has
    /// returned. Where no leader can be reached the node starts all the same, and gets its lease once there is a
    /// leader.
    async fn wait_for_lease(&self) {
        let context = &self.context;
        let patience = context.options.effective_lease_ttl();
        let leased = async {
            tokio::select! {
                biased;
                () = context.lifecycle.stopping() => {}
                () = context.lease.held() => {}
            }
        };
        if context.applied.incarnation().is_some() && env::timeout(patience, leased).await.is_err() {
            context
                .logger
                .warn(format_args!("no leader has granted this node a lease yet"));
        }
    }

    async fn open(self: &Arc<Self>) -> Result<()> {
        let identity = self.open_directory().await?;
        self.warn_of_open_secrets().await?;
        if let Some(identity) = &identity {
            // Set before peers can call: this node must never seem to have no cluster.
            self.context.addresses.set_cluster_id(&identity.cluster_id);
        }
        if let Some(watch) = SecretWatch::new(self.context.clone()) {
            // Before the first connection: a node that joins may wait for long, and the secret change meanwhile.
            self.tasks.spawn(async move { watch.run().await });
        }
        if let Some(watch) = TlsWatch::new(self.context.clone()) {
            self.tasks.spawn(async move { watch.run().await });
        }
        let listening = self.server.open(self.clone(), self.peer_handler()).await?;
        self.context.logger.info(format_args!(
            "node {} listens at {}",
            self.context.me, listening.http_addr
        ));
        match identity {
            Some(identity) => self.restart(identity).await,
            None => self.bootstrap_or_join().await,
        }
    }

    /// Says which files with secrets in them every user of this machine may read.
    async fn warn_of_open_secrets(&self) -> Result<()> {
        let options = self.options();
        for (option, path) in [
            ("cluster_secret_file", &options.cluster_secret_file),
            ("tls.key", &options.tls.key),
        ] {
            let Some(path) = path.clone() else { continue };
            let file = path.clone();
            // A file that cannot be looked at is an error where it is read.
            let is_open = move || is_world_readable(Path::new(&file)).unwrap_or(false);
            if env::blocking(is_open).await? {
                self.context.logger.warn(format_args!(
                    "{option} {path}: every user of this machine may read it; make it private (chmod 600)"
                ));
            }
        }
        Ok(())
    }

    /// Locks the data directory and reads this node's identity, if it has one.
    async fn open_directory(&self) -> Result<Option<Identity>> {
        let context = &self.context;
        let remembered = context.data_dir.open().await?;
        if let Some(founder) = remembered.promised {
            self.entry.remember_promise(founder);
        }
        if context.data_dir.is_world_writable().await? {
            context.logger.warn(format_args!(
                "data_dir {}: every user of this machine may replace its files; make it private (chmod 700)",
                context.data_dir.path.display()
            ));
        }
        if let Some(identity) = &remembered.identity {
            let file = context.data_dir.identity_file();
            file.check(identity, &context.me, &context.options.cluster_name)?;
            self.entry.check_agreement(identity)?;
            if identity.secured {
                self.check_still_secured()?;
            }
        }
        Ok(remembered.identity)
    }

    /// A node that has required proofs requires them from then on. It would accept anybody if a file was lost, or a variable not
    /// set.
    fn check_still_secured(&self) -> Result<()> {
        let context = &self.context;
        if !context.options.is_secured() {
            return Err(Error::new(
                ErrorCode::InvalidOption,
                format!(
                    "there is neither cluster_secret, cluster_secret_file nor tls.cert, and the node in data_dir {} had one of \
                     them before: give it what the other members have; there is no way back to a cluster without",
                    context.data_dir.path.display()
                ),
            ));
        }
        context.security.require_proof();
        Ok(())
    }

    /// Answers peers, for as long as the node exists.
    fn peer_handler(&self) -> Handler {
        let dispatcher = Arc::downgrade(&self.dispatcher);
        Arc::new(move |request, connection| {
            let dispatcher = dispatcher.upgrade();
            Box::pin(async move {
                match dispatcher {
                    Some(dispatcher) => dispatcher.dispatch(&request, &connection).await,
                    None => bytes::Bytes::new(),
                }
            })
        })
    }

    /// Opens Raft, and starts the tasks that need a Raft id.
    pub(super) async fn start_raft(self: &Arc<Self>, identity: &Identity) -> Result<&RaftParts> {
        let context = &self.context;
        let options = &context.options;
        let timing = options.timing.values();
        context.identity.set_raft_id(identity.raft_id);
        let raft = RaftNode::open(RaftConfig {
            raft_id: identity.raft_id,
            cluster_name: options.cluster_name.clone(),
            timing,
            disk: context.data_dir.disk.clone(),
            dir: context.data_dir.path.clone(),
            peers: context.peers.clone(),
            applied: context.applied.clone(),
            snapshots: self.snapshots,
        })
        .await?;
        // Stored before Raft is used: from then on a data directory without a log has lost it.
        let known = context.secured(identity.with_log());
        if known != *identity {
            context.data_dir.store_identity(known).await?;
        }
        let proposer = Arc::new(Proposer::new(raft.clone(), context.peers.clone()));
        let leadership = Arc::new(Leadership::new(
            context.me.clone(),
            raft.clone(),
            proposer.clone(),
            timing,
        ));
        let leader_context = LeaderContext {
            me: context.me.clone(),
            raft: raft.clone(),
            applied: context.applied.clone(),
            proposer: proposer.clone(),
            leadership: leadership.clone(),
            leases: Arc::<LeaseManager>::default(),
            logger: context.logger.clone(),
        };
        let leader = Arc::new(LeaderService::new(
            leader_context.clone(),
            context.peers.clone(),
            context.addresses.clone(),
            self.rebalance_policy(),
            timing,
        ));
        let parts = RaftParts {
            raft: raft.clone(),
            proposer: proposer.clone(),
            leadership: leadership.clone(),
            leader: leader.clone(),
        };
        if context.raft.set(parts).is_err() {
            return Err(Error::internal("a node takes part once"));
        }
        self.dispatcher.add(raft.server().clone());
        let forwarded = ForwardServer::new(raft.clone(), context.peers.clone(), context.applied.clone());
        self.dispatcher.add(Arc::new(forwarded));

        let node = self.clone();
        self.tasks
            .spawn(async move { leadership.run(|change| node.leadership_changed(change)).await });
        let rebalancer = leader.rebalancer.clone();
        self.tasks.spawn(async move { rebalancer.run().await });
        let reconciler = MembershipReconciler::new(leader_context.clone(), options.max_voters as usize);
        self.tasks.spawn(async move { reconciler.run().await });
        let tuner = leader.election_timeout_tuner(timing);
        self.tasks.spawn(async move { tuner.run().await });
        if options.health_check.enabled {
            let interval = options.effective_health_interval();
            let detector = FailureDetector::new(leader_context, leader.membership.clone(), interval);
            self.tasks.spawn(async move { detector.run().await });
        }
        self.tasks.spawn(self.copy_confirmer(proposer).run());
        self.tasks.spawn(self.heartbeats().run());
        self.tasks.spawn(self.connection_keeper().run());
        self.tasks.spawn(self.state_files.clone().run());
        self.tasks.spawn(self.disk_watch().run());
        context.raft_parts()
    }

    fn rebalance_policy(&self) -> RebalancePolicy {
        let options = &self.context.options;
        RebalancePolicy {
            rebalance_delay: options.rebalance_delay,
            migration_timeout: options.migration_timeout,
            limit: CopyLimit {
                node: options.max_concurrent_migrations,
                cluster: options.max_cluster_migrations,
            },
        }
    }

    fn copy_confirmer(&self, proposer: Arc<Proposer>) -> CopyConfirmer {
        CopyConfirmer {
            me: self.context.me.clone(),
            applied: self.context.applied.clone(),
            confirmations: self.hooks.copies.confirmations.clone(),
            proposer,
        }
    }

    fn heartbeats(&self) -> Heartbeats {
        Heartbeats {
            context: self.context.clone(),
            leader: self.leader.clone(),
            contact: self.contact.clone(),
            health: self.health.clone(),
            copy_failures: self.hooks.copies.failures.clone(),
            rejoiner: self.rejoiner(),
            shutdown: self.graceful_shutdown(),
        }
    }

    pub(super) fn rejoiner(&self) -> Rejoiner {
        Rejoiner::new(self.context.clone(), self.entry.clone())
    }

    fn graceful_shutdown(&self) -> GracefulShutdown {
        GracefulShutdown::new(self.context.clone(), self.leader.clone())
    }

    fn connection_keeper(&self) -> ConnectionKeeper {
        ConnectionKeeper {
            context: self.context.clone(),
        }
    }

    fn disk_watch(&self) -> DiskWatch {
        DiskWatch {
            context: self.context.clone(),
            health: self.health.clone(),
        }
    }

    fn leadership_changed(&self, change: LeadershipChange) {
        let context = &self.context;
        if let Some(parts) = context.raft.get() {
            match change {
                LeadershipChange::Became(epoch) => {
                    let election_max = context.options.timing.values().election_max;
                    parts.leader.begin_term(epoch, election_max);
                }
                LeadershipChange::Lost(_) => parts.leader.end_term(),
            }
        }
        let kind = match change {
            LeadershipChange::Became(epoch) => {
                context
                    .logger
                    .info(format_args!("this node leads now, with epoch {epoch}"));
                EventKind::BecomeLeader(LeadershipEvent { epoch })
            }
            LeadershipChange::Lost(epoch) => {
                context
                    .logger
                    .info(format_args!("this node leads no longer; its epoch was {epoch}"));
                EventKind::LoseLeadership(LeadershipEvent { epoch })
            }
        };
        let event = Event {
            revision: context.applied.revision(),
            timestamp: env::wall_now(),
            kind,
        };
        self.hooks.hooks.push(Arc::new(event));
    }

    /// Stops gracefully: others take over first, then everything is closed. A second call waits for the first. A call
    /// while the node starts waits until the start has been aborted.
    pub(crate) async fn stop(self: &Arc<Self>) -> Result<()> {
        let lifecycle = &self.context.lifecycle;
        let was = loop {
            let phase = lifecycle.phase();
            if matches!(phase, Phase::Stopping | Phase::Stopped)
                || lifecycle.advance(phase, Phase::Stopping).is_ok()
            {
                break phase;
            }
        };
        match was {
            // The call that starts or stops the node already closes it.
            Phase::Starting | Phase::Stopping | Phase::Stopped => self.stopped().await,
            Phase::Created => {
                lifecycle.set(Phase::Stopped);
                self.hooks.close().await
            }
            Phase::Running => self.shut_down_gracefully().await,
        }
    }

    /// Hands over to others, then closes everything.
    async fn shut_down_gracefully(self: &Arc<Self>) -> Result<()> {
        if let Some(parts) = self.context.raft.get() {
            self.graceful_shutdown().run(parts).await;
        }
        self.close_all().await
    }

    /// Waits until a stop that is under way has ended, and for hooks that outlasted it.
    async fn stopped(&self) -> Result<()> {
        let lifecycle = &self.context.lifecycle;
        loop {
            let seen = lifecycle.changed().count();
            if lifecycle.has_stopped() {
                return self.hooks.close().await;
            }
            lifecycle.changed().after(seen).await;
        }
    }

    /// Closes everything without notifying other nodes: the application has dropped the node.
    pub(crate) async fn close_immediately(self: &Arc<Self>) -> Result<()> {
        if matches!(self.phase(), Phase::Stopping | Phase::Stopped) {
            return self.stopped().await;
        }
        self.close_all().await
    }

    /// Closes everything, once: a start that fails and whatever ends the node meanwhile may both call this.
    async fn close_all(self: &Arc<Self>) -> Result<()> {
        let context = &self.context;
        if !context.lifecycle.begin_closing() {
            return self.stopped().await;
        }
        self.tasks.abort_all();
        self.server.close().await;
        let mut outcome = Ok(());
        if let Some(parts) = context.raft.get() {
            outcome = self.close_files(parts).await;
        }
        context.peers.close();
        context.applied.close();
        let closed = self.hooks.close().await;
        context.data_dir.unlock();
        context.lifecycle.set(Phase::Stopped);
        outcome.and(closed)
    }

    /// Writes the state files and closes the log, for as long as the disk answers: a disk that hangs may never answer
    /// again, and the node must stop all the same. Nothing that was acknowledged is lost by that.
    async fn close_files(self: &Arc<Self>, parts: &RaftParts) -> Result<()> {
        let closing = async {
            self.state_files.flush().await;
            parts.raft.close().await
        };
        match env::timeout(FILES_TIMEOUT, closing).await {
            Ok(closed) => closed,
            Err(_) => {
                parts.raft.abandon();
                Err(Error::new(
                    ErrorCode::Timeout,
                    format!(
                        "the disk of data_dir {} did not answer within {FILES_TIMEOUT:?}; the log was not closed in an orderly way",
                        self.context.data_dir.path.display()
                    ),
                ))
            }
        }
    }
}
