//! How a node becomes a member: it founds a cluster, completes a join, or restarts with the identity that it has
//! stored.

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

/// How long founding a cluster may take. It takes a few commits on the node's own disk.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(30);
/// The Raft id of the node that founds a cluster.
const FOUNDER_RAFT_ID: RaftId = 1;
/// How often a waiting node checks whether its log has failed.
const LOG_CHECK_INTERVAL: Duration = Duration::from_millis(20);
impl Node {
    /// Checks that a founder is restarted with the `partition_count` and `replication_factor` that were fixed at
    /// bootstrap.
    ///
    /// # Errors
    /// [`ErrorCode::ClusterMismatch`] where one of them differs.
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

    /// Waits for a future that may take long and may be dropped at any point.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`] when the node stops first; otherwise those of the future.
    pub(super) async fn until_stopped<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stopping() => Err(Error::new(ErrorCode::Stopped, "the node was stopped")),
            outcome = future => outcome,
        }
    }

    /// Completes a join that the cluster has admitted: stores the identity, starts Raft, and returns once this process
    /// is an active member.
    ///
    /// # Errors
    /// [`ErrorCode::JoinFailed`] when it has not caught up with the log within `join_timeout`.
    pub(super) async fn complete_join(self: &Arc<Self>, reply: JoinReply) -> Result<()> {
        let deadline = Instant::now() + self.options.join_timeout;
        {
            // This node belongs to a cluster now: no founder may rely on its promise any more.
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
        // An operator who meant to join an existing cluster must see this message.
        self.logger.warn(format_args!(
            "this node founds a NEW cluster {:?} with id {cluster_id}, alone in it so far; if it was to join one that exists, \
             stop it, move its data_dir away, and set join_addrs",
            config.cluster_name
        ));
        // From now on other nodes that may found a cluster learn that there is one.
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

    /// Founds the cluster, from whichever step an earlier attempt reached. Once this is finished the identity says so,
    /// and it is never repeated.
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
                // This node has not won its first election yet.
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

    /// Restarts a node that has an identity: finishes an interrupted bootstrap, or rejoins the cluster. Returns once
    /// this process is an active member, or after `join_timeout`: then the rejoin continues in the background.
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

    /// Waits for an outcome that a node whose log has failed would never see.
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

    /// Says, as text for people, that Raft has stopped on this node and why; `None` as in [`Node::log_failure`].
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

    /// Why Raft has stopped on this node: the error of its log, or [`ErrorCode::Stopped`] where the log has none.
    /// `None` while Raft runs, and when the node was asked to stop.
    pub(crate) fn log_failure(&self) -> Option<Error> {
        if !self.has_left_raft() {
            return None;
        }
        let failure = self.member().ok().and_then(|member| member.raft.log_failure());
        Some(failure.unwrap_or_else(|| Error::new(ErrorCode::Stopped, "Raft has stopped on this node")))
    }

    /// This node's description of itself, for a join.
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

    /// The request to join; with an identity (Raft id and cluster id), the request to rejoin.
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
            failure_timeout_ms: self.options.requested_failure_timeout().map(whole_millis),
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

    /// Gives the proposer the incarnation that the log gave this process: retried proposals are deduplicated under it.
    pub(super) fn adopt_session(&self) {
        if let (Ok(member), Some(incarnation)) = (self.member(), self.applied.incarnation()) {
            member.proposer.set_session(incarnation);
        }
    }

    /// True once this process is an active member; false when the deadline passes or the node stops first.
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

    /// Waits for a condition that only a change of the topology can make true. False when the deadline passes or the
    /// node stops first.
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
            // The next pass of the loop checks the deadline.
            let _ = env::timeout(remaining, changed).await;
        }
    }
}
