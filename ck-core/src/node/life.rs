//! Starting and stopping.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rand::RngExt;

use super::{Member, Node, Phase};
use crate::consensus::{Consensus, ConsensusConfig, Leadership, LeadershipChange, Proposer, RaftId};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{
    Admission, Identity, IdentityFile, JoinOutcome, JoinRequest, Joiner, MemberCall, Pong, Steward,
};
use crate::model::{ClusterConfig, Event, EventKind, LeadershipEvent, NodeStatus};
use crate::rebalance::Controller;
use crate::state::{Command, NodeSpec};

/// How long founding a cluster may take: a few commits on one's own disk.
const FOUND: Duration = Duration::from_secs(30);
/// How long a node that stops waits for the others to take over, before it goes without their knowing.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long hooks that run may take to return when the node stops.
const HOOKS: Duration = Duration::from_secs(5);
/// The number in Raft of the node that founds a cluster.
const FOUNDER: RaftId = 1;

impl Node {
    /// Starts the node: opens the data directory, listens, and founds, joins or rejoins the cluster.
    ///
    /// A node that has been a member before returns once it is one again or `join_timeout` has passed; it goes
    /// on trying in the background. A new one fails when nobody lets it in by then.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<()> {
        {
            let mut phase = self.phase_lock();
            match *phase {
                Phase::Created => {
                    *phase = Phase::Starting;
                    self.acts.store(true, Ordering::Release);
                }
                Phase::Starting | Phase::Running => {
                    return Err(Error::new(
                        ErrorCode::AlreadyStarted,
                        "the node has been started before",
                    ));
                }
                Phase::Stopping | Phase::Stopped => {
                    return Err(Error::new(
                        ErrorCode::Stopped,
                        "the node has stopped; make a new one",
                    ));
                }
            }
        }
        let opened = self.open().await;
        let stopped = {
            let mut phase = self.phase_lock();
            match (&*phase, &opened) {
                (Phase::Starting, Ok(())) => {
                    *phase = Phase::Running;
                    false
                }
                (Phase::Starting, Err(_)) => {
                    *phase = Phase::Stopping;
                    false
                }
                _ => true,
            }
        };
        self.phases.notify();
        match opened {
            // Whoever stopped it meanwhile waits for this call to close what it has opened.
            _ if stopped => {
                let ended = self.end().await;
                Err(ended.err().unwrap_or_else(|| {
                    Error::new(ErrorCode::Stopped, "the node was stopped while it started")
                }))
            }
            Ok(()) => Ok(()),
            Err(error) => {
                self.log.warn(format_args!("cannot start: {error}"));
                // What was opened is closed; the first error is the one to be told.
                drop(self.shut_down().await);
                Err(error)
            }
        }
    }

    async fn open(self: &Arc<Self>) -> Result<()> {
        let identity = self.open_directory().await?;
        let listening = self.listen.listen(self.clone(), self.peer_handler()).await?;
        self.log.info(format_args!(
            "node {} listens at {}",
            self.me, listening.http_addr
        ));
        if self.listening.set(listening).is_err() {
            return Err(Error::internal("a node listens once"));
        }
        match identity {
            Some(identity) => self.come_back(identity).await,
            None => self.begin().await,
        }
    }

    /// Locks the data directory and reads who this node is.
    async fn open_directory(&self) -> Result<Option<Identity>> {
        let disk = self.disk.clone();
        let dir = self.dir.clone();
        let (lock, identity) = blocking(move || {
            disk.create_dir_all(&dir)?;
            let lock = disk.lock(&dir.join("LOCK"))?;
            let identity = IdentityFile::new(disk, &dir).load()?;
            Ok((lock, identity))
        })
        .await?;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        if let Some(identity) = &identity {
            self.identity_file()
                .check(identity, &self.me, &self.options.cluster_name)?;
            self.check_agreement(identity)?;
        }
        Ok(identity)
    }

    fn identity_file(&self) -> IdentityFile {
        IdentityFile::new(self.disk.clone(), &self.dir)
    }

    /// A founder that is started again with other values for what was fixed at bootstrap is told so.
    fn check_agreement(&self, identity: &Identity) -> Result<()> {
        let Some(config) = &identity.founding else {
            return Ok(());
        };
        let differ = |option: &str, asked: u32, fixed: u32| {
            Error::new(
                ErrorCode::ClusterMismatch,
                format!(
                    "{option} {asked} was asked for, but the cluster was founded with {fixed}, which is fixed"
                ),
            )
        };
        match (self.options.partition_count, self.options.replication_factor) {
            (Some(asked), _) if asked != config.partition_count => {
                Err(differ("partition_count", asked, config.partition_count))
            }
            (_, Some(asked)) if asked != config.replication_factor => {
                Err(differ("replication_factor", asked, config.replication_factor))
            }
            _ => Ok(()),
        }
    }

    /// A node without a past founds a cluster or joins one.
    async fn begin(self: &Arc<Self>) -> Result<()> {
        let found = self
            .options
            .bootstrap
            .unwrap_or(self.options.join_addrs.is_empty());
        if !found {
            return self.join().await;
        }
        if !self.options.join_addrs.is_empty() {
            // Told to found *and* where others are: the first of a stateful set that comes back without its
            // disk must not found a second cluster beside the first.
            let joiner = self.joiner();
            let request = self.join_request(None);
            let deadline = Instant::now() + self.options.join_timeout;
            let asked = self
                .unless_stopped(joiner.ask_everybody(&request, deadline))
                .await?;
            if let JoinOutcome::Admitted(reply) = asked {
                return self.settle_in(reply).await;
            }
        }
        self.found().await
    }

    async fn join(self: &Arc<Self>) -> Result<()> {
        let request = self.join_request(None);
        let joiner = self.joiner();
        let joining = joiner.join(&request, self.options.join_timeout);
        let reply = self.unless_stopped(joining).await?;
        self.settle_in(reply).await
    }

    /// Waits for something that may take long and may be given up at any point.
    async fn unless_stopped<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stopping() => Err(Error::new(ErrorCode::Stopped, "the node was stopped")),
            outcome = future => outcome,
        }
    }

    /// Admitted: takes its place, learns the log, and returns when it is a full member.
    async fn settle_in(self: &Arc<Self>, reply: crate::membership::JoinReply) -> Result<()> {
        let deadline = Instant::now() + self.options.join_timeout;
        let identity = Identity::new(
            reply.cluster_id.clone(),
            reply.config.cluster_name.clone(),
            self.me.clone(),
            reply.raft_id,
        );
        self.store_identity(identity).await?;
        self.addresses.set_cluster_id(&reply.cluster_id);
        let member = self.take_part(reply.raft_id).await?;
        member.proposer.set_session(reply.incarnation);
        self.heard_of_leader();
        if self.wait_until_active(deadline).await {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::JoinFailed,
            format!(
                "admitted, but not caught up with the log within {:?}",
                self.options.join_timeout
            ),
        ))
    }

    /// Founds a new cluster, with this node as its only member.
    async fn found(self: &Arc<Self>) -> Result<()> {
        let config = ClusterConfig {
            cluster_name: self.options.cluster_name.clone(),
            partition_count: self.options.bootstrap_partition_count(),
            replication_factor: self.options.bootstrap_replication_factor(),
        };
        let cluster_id = format!("{:032x}", env::runtime::rng().random::<u128>());
        let mut identity = Identity::new(
            cluster_id.clone(),
            config.cluster_name.clone(),
            self.me.clone(),
            FOUNDER,
        );
        identity.founding = Some(config.clone());
        self.store_identity(identity).await?;
        self.addresses.set_cluster_id(&cluster_id);
        self.take_part(FOUNDER).await?;
        self.finish_founding(&cluster_id, &config).await
    }

    /// Founding, from wherever it was cut short.
    async fn finish_founding(self: &Arc<Self>, cluster_id: &str, config: &ClusterConfig) -> Result<()> {
        let member = self.member()?;
        if member.consensus.is_pristine().await? {
            member.consensus.initialize().await?;
        }
        let deadline = Instant::now() + FOUND;
        loop {
            if !self.replica.topology().cluster_id.is_empty() {
                break;
            }
            let mut node = self.spec();
            node.raft_id = Some(FOUNDER);
            let command = Command::Bootstrap {
                cluster_id: cluster_id.to_owned(),
                config: config.clone(),
                node,
            };
            match member.proposer.propose_here(command, FOUND).await {
                Ok(_) => {}
                // The first election takes a moment.
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    env::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(error.context("found the cluster")),
            }
        }
        self.adopt_session();
        let partitions = || !self.replica.topology().partitions.is_empty();
        if self.wait_for_topology(deadline, partitions).await {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Timeout,
            format!("the cluster was not founded within {FOUND:?}"),
        ))
    }

    /// A node with a past takes its place again.
    async fn come_back(self: &Arc<Self>, identity: Identity) -> Result<()> {
        self.addresses.set_cluster_id(&identity.cluster_id);
        let member = self.take_part(identity.raft_id).await?;
        if let Some(config) = &identity.founding
            && (member.consensus.is_pristine().await? || self.replica.topology().cluster_id.is_empty())
            && member.consensus.is_alone()
        {
            self.finish_founding(&identity.cluster_id, config).await?;
            if self.replica.incarnation().is_some() {
                return Ok(());
            }
        }
        self.run(self.clone().stay_a_member());
        let deadline = Instant::now() + self.options.join_timeout;
        let node = self.clone();
        let seen = self.phases.count();
        tokio::select! {
            biased;
            active = node.wait_until_active(deadline) => {
                if !active {
                    self.log.warn(format_args!("not a member again yet; going on in the background"));
                }
                Ok(())
            }
            refused = self.refused_for_good(seen) => Err(refused),
        }
    }

    /// Opens Raft and starts everything that needs a place in a cluster.
    async fn take_part(self: &Arc<Self>, raft_id: RaftId) -> Result<&Member> {
        let consensus = Consensus::open(ConsensusConfig {
            raft_id,
            cluster_name: self.options.cluster_name.clone(),
            timing: self.options.timing.values(),
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            transport: self.transport.clone(),
            addresses: self.addresses.clone(),
            replica: self.replica.clone(),
            snapshots: self.snapshots,
        })
        .await?;
        let proposer = Arc::new(Proposer::new(
            consensus.clone(),
            self.transport.clone(),
            self.addresses.clone(),
        ));
        let leadership = Arc::new(Leadership::new(
            self.me.clone(),
            consensus.clone(),
            proposer.clone(),
        ));
        let controller = Arc::new(Controller::new(
            self.me.clone(),
            self.replica.clone(),
            proposer.clone(),
            leadership.clone(),
            self.syncs.clone(),
        ));
        let pong = Pong {
            node_id: self.me.clone(),
            process: self.process,
            cluster_id: String::new(),
            cluster_name: self.options.cluster_name.clone(),
        };
        let admission = Arc::new(Admission::new(
            pong,
            self.replica.clone(),
            proposer.clone(),
            leadership.clone(),
            self.syncs.clone(),
            self.transport.clone(),
            self.addresses.clone(),
        ));
        let steward = Steward::new(
            consensus.clone(),
            proposer.clone(),
            leadership.clone(),
            self.options.max_voters as usize,
        );
        let member = Member {
            consensus,
            proposer,
            leadership,
            controller,
            admission,
        };
        if self.member.set(member).is_err() {
            return Err(Error::internal("a node takes part once"));
        }
        let member = self.member()?;
        let (leadership, controller) = (member.leadership.clone(), member.controller.clone());
        let node = self.clone();
        self.run(async move { leadership.run(|change| node.leadership_changed(change)).await });
        self.run(async move { controller.run().await });
        self.run(async move { steward.run().await });
        self.run(self.clone().confirm_copies());
        self.run(self.clone().keep_in_sync());
        self.run(self.clone().keep_state_file());
        Ok(member)
    }

    fn leadership_changed(&self, change: LeadershipChange) {
        self.syncs.clear();
        let kind = match change {
            LeadershipChange::Became(epoch) => {
                self.log
                    .info(format_args!("this node leads now, with epoch {epoch}"));
                EventKind::BecomeLeader(LeadershipEvent { epoch })
            }
            LeadershipChange::Lost(epoch) => {
                self.log
                    .info(format_args!("this node leads no longer; its epoch was {epoch}"));
                EventKind::LoseLeadership(LeadershipEvent { epoch })
            }
        };
        let event = Event {
            revision: self.replica.revision(),
            timestamp: env::wall_now(),
            kind,
        };
        self.hooks.push(Arc::new(event));
    }

    /// This node as it describes itself.
    pub(super) fn spec(&self) -> NodeSpec {
        let (ip, peer_addr) = match self.listening.get() {
            Some(listening) => (listening.http_addr.clone(), listening.peer_addr.clone()),
            None => (String::new(), String::new()),
        };
        NodeSpec {
            id: self.me.clone(),
            name: self.options.effective_node_name(),
            port: ip
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .unwrap_or(0),
            ip,
            peer_addr,
            services: self.options.services.clone(),
            zone: self.options.zone.clone(),
            weight: self.options.weight,
            labels: self.options.labels.clone(),
            process: self.process,
            raft_id: None,
        }
    }

    /// What this node asks when it wants in; with an identity, back in.
    pub(super) fn join_request(&self, identity: Option<(RaftId, String)>) -> JoinRequest {
        let mut spec = self.spec();
        spec.raft_id = identity.as_ref().map(|(raft_id, _)| *raft_id);
        JoinRequest {
            spec,
            cluster_name: self.options.cluster_name.clone(),
            cluster_id: identity.map(|(_, cluster_id)| cluster_id),
            partition_count: self.options.partition_count,
            replication_factor: self.options.replication_factor,
        }
    }

    pub(super) fn joiner(&self) -> Joiner {
        let own: BTreeSet<String> = self
            .listening
            .get()
            .map(|listening| BTreeSet::from([listening.http_addr.clone(), listening.peer_addr.clone()]))
            .unwrap_or_default();
        Joiner::new(
            self.transport.clone(),
            self.addresses.clone(),
            self.options.join_addrs.clone(),
            own,
        )
    }

    async fn store_identity(&self, identity: Identity) -> Result<()> {
        let file = self.identity_file();
        blocking(move || file.store(&identity)).await
    }

    /// Proposals are remembered under the incarnation that the log gave this process.
    pub(super) fn adopt_session(&self) {
        if let (Ok(member), Some(incarnation)) = (self.member(), self.replica.incarnation()) {
            member.proposer.set_session(incarnation);
        }
    }

    /// True once this process is a full member; false when the deadline passes first.
    async fn wait_until_active(&self, deadline: Instant) -> bool {
        let active = || {
            let topology = self.replica.topology();
            let up = topology
                .nodes
                .get(&self.me)
                .is_some_and(|node| node.status == NodeStatus::Active);
            up && self.replica.incarnation().is_some()
        };
        self.wait_for_topology(deadline, active).await
    }

    /// Waits for something that only a change of the topology can bring about.
    async fn wait_for_topology(&self, deadline: Instant, condition: impl Fn() -> bool) -> bool {
        loop {
            let seen = self.replica.changed().count();
            if condition() {
                return true;
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() || !self.is_serving() {
                return false;
            }
            let changed = async {
                tokio::select! {
                    biased;
                    () = self.stopping() => {}
                    _ = self.replica.changed().after(seen) => {}
                }
            };
            // Out of time is found out at the top.
            let _ = env::timeout(remaining, changed).await;
        }
    }

    /// Stops in an orderly way: others take over first, then everything is closed. A second call waits for the
    /// first, and one that comes while the node starts waits until that has been broken off.
    pub(crate) async fn stop(self: &Arc<Self>) -> Result<()> {
        let was = {
            let mut phase = self.phase_lock();
            let was = phase.clone();
            if !matches!(was, Phase::Stopping | Phase::Stopped) {
                self.acts.store(false, Ordering::Release);
                *phase = Phase::Stopping;
            }
            was
        };
        self.phases.notify();
        match was {
            Phase::Starting | Phase::Stopping | Phase::Stopped => loop {
                let seen = self.phases.count();
                if self.phase() == Phase::Stopped {
                    return Ok(());
                }
                self.phases.after(seen).await;
            },
            Phase::Created => {
                self.set_phase(Phase::Stopped);
                self.close_hooks().await
            }
            Phase::Running => self.end().await,
        }
    }

    /// Takes leave of the others and closes everything.
    async fn end(self: &Arc<Self>) -> Result<()> {
        if let Some(member) = self.member.get()
            && env::timeout(FAREWELL, self.say_goodbye(member)).await.is_err()
        {
            self.log.warn(format_args!(
                "stopping without the others' knowledge: nobody answered"
            ));
        }
        self.shut_down().await
    }

    /// Hands over what this node has: leadership first, then its partitions.
    async fn say_goodbye(&self, member: &Member) {
        let topology = self.replica.topology();
        let voters = topology.nodes.values().filter(|node| node.voter);
        let up = voters.clone().filter(|node| node.status.is_up()).count();
        if up * 2 <= voters.count() {
            // The others are gone already: nothing can be committed any more, and nobody is left to take over.
            return;
        }
        if member.leadership.is_leader() {
            let timing = self.options.timing.values();
            if let Some(successor) = member.consensus.successors(timing.heartbeat).first() {
                // If that fails this node still leads, and takes leave of itself.
                drop(member.consensus.transfer(*successor, timing.election_max).await);
            }
        }
        let Some(incarnation) = self.replica.incarnation() else {
            return;
        };
        let call = MemberCall::Stop {
            node: self.me.clone(),
            incarnation,
        };
        if let Err(error) = self.ask_leader(call, FAREWELL).await {
            self.log
                .warn(format_args!("stopping, but the leader was not told: {error}"));
        }
    }

    /// Closes everything without a word to the others: nobody holds the node any more.
    pub(crate) async fn abandon(self: &Arc<Self>) -> Result<()> {
        if matches!(self.phase(), Phase::Stopping | Phase::Stopped) {
            return Ok(());
        }
        self.shut_down().await
    }

    async fn shut_down(self: &Arc<Self>) -> Result<()> {
        self.set_phase(Phase::Stopping);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
        let mut outcome = Ok(());
        if let Some(listening) = self.listening.get() {
            listening.close.close().await;
        }
        if let Some(member) = self.member.get() {
            self.write_state_file().await;
            outcome = member.consensus.close().await;
        }
        self.transport.close();
        self.replica.close();
        let closed = self.close_hooks().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.set_phase(Phase::Stopped);
        outcome.and(closed)
    }
}

impl Node {
    /// Waits for the hooks that run, and ends them.
    async fn close_hooks(&self) -> Result<()> {
        if env::runtime::simulated() {
            // There hooks are tasks, which go on only while nobody blocks.
            return self.hooks.close_async(HOOKS).await;
        }
        let hooks = self.hooks.clone();
        blocking(move || hooks.close(HOOKS)).await
    }
}

/// Runs work that blocks where that harms nobody.
pub(super) async fn blocking<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    match env::blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!("a blocking call failed: {error}"))),
    }
}
