//! How a node takes its place in a cluster: one that it founds, one that let it in, or the one that it comes back to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{Identity, JoinReply, JoinRequest, Joiner};
use crate::model::{ClusterConfig, NodeStatus, whole_millis};
use crate::raft::{Addresses, RaftId};
use crate::state::{Command, NodeSpec};

/// How long founding a cluster may take: a few commits on one's own disk.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(30);
/// The number in Raft of the node that founds a cluster.
const FOUNDER_RAFT_ID: RaftId = 1;
/// How often a node that waits looks whether its log has failed.
const LOG_CHECK_INTERVAL: Duration = Duration::from_millis(20);
impl Node {
    /// A founder that is started again with other values for what was fixed at bootstrap is told so.
    pub(super) fn check_agreement(&self, identity: &Identity) -> Result<()> {
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

    /// Waits for something that may take long and may be given up at any point.
    pub(super) async fn until_stopped<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stopping() => Err(Error::new(ErrorCode::Stopped, "the node was stopped")),
            outcome = future => outcome,
        }
    }

    /// Admitted: takes its place, learns the log, and returns when it is a full member.
    pub(super) async fn complete_join(self: &Arc<Self>, reply: JoinReply) -> Result<()> {
        let deadline = Instant::now() + self.options.join_timeout;
        {
            // Nobody may count on this node's promise any more.
            let _turn = self.bootstrap.lock_turn().await;
            self.bootstrap.close();
        }
        self.addresses.set_cluster_id(&reply.cluster_id);
        let identity = Identity::new(
            reply.cluster_id.clone(),
            reply.config.cluster_name.clone(),
            self.me.clone(),
            reply.raft_id,
        );
        self.store_identity(identity.clone()).await?;
        let member = self.start_raft(&identity).await?;
        member.proposer.set_session(reply.incarnation);
        self.waits_for("the log, to catch up with the cluster".to_owned());
        let active = self.until_log_fails(self.wait_until_active(deadline)).await?;
        if active {
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
    pub(super) async fn bootstrap(self: &Arc<Self>) -> Result<()> {
        let config = ClusterConfig {
            cluster_name: self.options.cluster_name.clone(),
            partition_count: self.options.bootstrap_partition_count(),
            replication_factor: self.options.bootstrap_replication_factor(),
            lease_ttl_ms: whole_millis(self.options.effective_lease_ttl()),
            failure_timeout_ms: whole_millis(self.options.failure_timeout()),
            election_timeout_ms: whole_millis(self.options.timing.values().election_max),
        };
        let cluster_id = format!("{:032x}", env::runtime::rng().random::<u128>());
        // Whoever meant to join another one must see it.
        self.logger.warn(format_args!(
            "this node founds a NEW cluster {:?} with id {cluster_id}, alone in it so far; if it was to join one that exists, \
             stop it, move its data_dir away, and set join_addrs",
            config.cluster_name
        ));
        // Others that may found too are told at once that there is a cluster now.
        self.addresses.set_cluster_id(&cluster_id);
        let mut identity = Identity::new(
            cluster_id.clone(),
            config.cluster_name.clone(),
            self.me.clone(),
            FOUNDER_RAFT_ID,
        );
        identity.founding = Some(config.clone());
        self.store_identity(identity.clone()).await?;
        self.start_raft(&identity).await?;
        self.until_log_fails(self.finish_bootstrap(&identity, &config))
            .await?
    }

    /// Founding, from wherever it was cut short. Once it is finished the identity says so, and it is never done again.
    async fn finish_bootstrap(self: &Arc<Self>, identity: &Identity, config: &ClusterConfig) -> Result<()> {
        let member = self.member()?;
        if member.raft.is_pristine().await? {
            member.raft.initialize().await?;
        }
        let deadline = Instant::now() + BOOTSTRAP_TIMEOUT;
        loop {
            if !self.applied.topology().cluster_id.is_empty() {
                break;
            }
            let mut node = self.spec();
            node.raft_id = Some(FOUNDER_RAFT_ID);
            let command = Command::Bootstrap {
                cluster_id: identity.cluster_id.clone(),
                config: config.clone(),
                node,
            };
            match member.proposer.propose_here(command, BOOTSTRAP_TIMEOUT).await {
                Ok(_) => {}
                // The first election takes a moment.
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    env::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(error.context("found the cluster")),
            }
        }
        self.adopt_session();
        let partitions = || !self.applied.topology().partitions.is_empty();
        if self.wait_for_topology(deadline, partitions).await {
            return self.store_identity(identity.with_cluster()).await;
        }
        Err(Error::new(
            ErrorCode::Timeout,
            format!("the cluster was not founded within {BOOTSTRAP_TIMEOUT:?}"),
        ))
    }

    /// A node with a past takes its place again.
    pub(super) async fn restart(self: &Arc<Self>, identity: Identity) -> Result<()> {
        let member = self.start_raft(&identity).await?;
        if identity.founded && member.raft.is_pristine().await? {
            return Err(self.identity_file().lost_log(&identity));
        }
        if let Some(config) = identity.founding.as_ref().filter(|_| !identity.founded)
            && (member.raft.is_pristine().await? || self.applied.topology().cluster_id.is_empty())
            && member.raft.is_alone()
        {
            self.finish_bootstrap(&identity, config).await?;
            if self.applied.incarnation().is_some() {
                return Ok(());
            }
        }
        self.run(self.clone().rejoin_loop());
        let deadline = Instant::now() + self.options.join_timeout;
        let node = self.clone();
        let seen = self.phases.count();
        tokio::select! {
            biased;
            active = self.until_log_fails(node.wait_until_active(deadline)) => {
                if !active? {
                    self.logger.warn(format_args!("not a member again yet; going on in the background"));
                }
                Ok(())
            }
            refused = self.wait_for_refusal(seen) => Err(refused),
        }
    }

    /// Waits for something that a node whose log has failed will not see.
    ///
    /// # Errors
    /// Why the log has failed.
    pub(super) async fn until_log_fails<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let failed = async {
            loop {
                if let Some(error) = self.log_failure() {
                    return error;
                }
                env::sleep(LOG_CHECK_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            error = failed => Err(error.context("the node's log has failed")),
            outcome = future => Ok(outcome),
        }
    }

    /// That this node takes part no more and why, for people, if that is so.
    pub(super) fn end_of_raft(&self) -> Option<String> {
        let error = self.log_failure()?;
        Some(match error.code() {
            ErrorCode::Stopped => "Raft has stopped on this node; restart it".to_owned(),
            _ => format!(
                "Raft has stopped on this node: its log has failed ({}); mend that and restart it",
                error.message()
            ),
        })
    }

    /// Why this node's log takes nothing any more, if that is so.
    pub(crate) fn log_failure(&self) -> Option<Error> {
        if !self.has_left_raft() {
            return None;
        }
        let failure = self.member().ok().and_then(|member| member.raft.log_failure());
        Some(failure.unwrap_or_else(|| Error::new(ErrorCode::Stopped, "Raft has stopped on this node")))
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
            lease_ttl_ms: self.options.lease_ttl.map(whole_millis),
            failure_timeout_ms: self.options.asked_failure_timeout().map(whole_millis),
            election_timeout_ms: Some(whole_millis(self.options.timing.values().election_max)),
        }
    }

    pub(super) fn joiner(&self) -> Joiner {
        let own: BTreeSet<String> = self
            .listening
            .get()
            .map(|listening| BTreeSet::from([listening.http_addr.clone(), listening.peer_addr.clone()]))
            .unwrap_or_default();
        let leader = self.member().ok().and_then(|member| {
            let leader = member.raft.leader()?;
            (leader != member.raft.raft_id()).then(|| self.addresses.address_of(leader))?
        });
        Joiner {
            transport: self.transport.clone(),
            addresses: self.addresses.clone(),
            join_addrs: self.options.join_addrs.clone(),
            own,
            leader,
        }
    }

    pub(super) async fn store_identity(&self, identity: Identity) -> Result<()> {
        let file = self.identity_file();
        env::blocking(move || file.store(&identity)).await?
    }

    /// Proposals are remembered under the incarnation that the log gave this process.
    pub(super) fn adopt_session(&self) {
        if let (Ok(member), Some(incarnation)) = (self.member(), self.applied.incarnation()) {
            member.proposer.set_session(incarnation);
        }
    }

    /// True once this process is a full member; false when the deadline passes first.
    pub(super) async fn wait_until_active(&self, deadline: Instant) -> bool {
        let active = || {
            let topology = self.applied.topology();
            let up = topology
                .nodes
                .get(&self.me)
                .is_some_and(|node| node.status == NodeStatus::Active);
            up && self.applied.incarnation().is_some()
        };
        self.wait_for_topology(deadline, active).await
    }

    /// Waits for something that only a change of the topology can bring about.
    pub(super) async fn wait_for_topology(&self, deadline: Instant, condition: impl Fn() -> bool) -> bool {
        loop {
            let seen = self.applied.changed().count();
            if condition() {
                return true;
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() || !self.is_running() {
                return false;
            }
            let changed = async {
                tokio::select! {
                    biased;
                    () = self.stopping() => {}
                    _ = self.applied.changed().after(seen) => {}
                }
            };
            // Out of time is found out at the top.
            let _ = env::timeout(remaining, changed).await;
        }
    }
}
