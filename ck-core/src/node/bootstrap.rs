//! How a node becomes a member: it founds a cluster, completes a join, or restarts with the identity that it has
//! stored.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::discovery::EntryDecision;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::Identity;
use crate::model::{ClusterConfig, RaftId, whole_millis};
use crate::rpc::JoinReply;
use crate::state::Command;

/// How long founding a cluster may take. It takes a few commits on the node's own disk.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(30);
/// The Raft id of the node that founds a cluster.
const FOUNDER_RAFT_ID: RaftId = 1;

impl Node {
    /// Joins a cluster, or founds one where there is none.
    pub(super) async fn bootstrap_or_join(self: &Arc<Self>) -> Result<()> {
        match self.entry.find_cluster().await? {
            EntryDecision::Join(reply) => self.complete_join(reply).await,
            EntryDecision::Bootstrap => self.bootstrap().await,
        }
    }

    /// Completes a join that the cluster has admitted: stores the identity, starts Raft, and returns once this process
    /// is an active member.
    ///
    /// # Errors
    /// [`ErrorCode::JoinFailed`] when it has not caught up with the log within `join_timeout`.
    async fn complete_join(self: &Arc<Self>, reply: JoinReply) -> Result<()> {
        let context = &self.context;
        let join_timeout = context.options.join_timeout;
        let deadline = Instant::now() + join_timeout;
        self.entry.withdraw_promise().await;
        context.addresses.set_cluster_id(&reply.cluster_id);
        let identity = Identity::new(
            reply.cluster_id.clone(),
            reply.config.cluster_name.clone(),
            context.me.clone(),
            reply.raft_id,
        );
        context.data_dir.store_identity(identity.clone()).await?;
        let parts = self.start_raft(&identity).await?;
        parts.proposer.set_session(reply.incarnation);
        self.entry
            .waits_for("the log, to catch up with the cluster".to_owned());
        let active = context
            .until_log_fails(context.wait_until_active(deadline))
            .await?;
        if active {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::JoinFailed,
            format!("admitted, but not caught up with the log within {join_timeout:?}"),
        ))
    }

    /// Founds a new cluster, with this node as its only member.
    async fn bootstrap(self: &Arc<Self>) -> Result<()> {
        let context = &self.context;
        let options = &context.options;
        let config = ClusterConfig {
            cluster_name: options.cluster_name.clone(),
            partition_count: options.bootstrap_partition_count(),
            replication_factor: options.bootstrap_replication_factor(),
            lease_ttl_ms: whole_millis(options.effective_lease_ttl()),
            failure_timeout_ms: whole_millis(options.failure_timeout()),
            election_timeout_ms: whole_millis(options.timing.values().election_max),
        };
        let cluster_id = format!("{:032x}", env::runtime::rng().random::<u128>());
        // An operator who meant to join an existing cluster must see this message.
        context.logger.warn(format_args!(
            "this node founds a NEW cluster {:?} with id {cluster_id}, alone in it so far; if it was to join one that exists, \
             stop it, move its data_dir away, and set join_addrs",
            config.cluster_name
        ));
        // From now on other nodes that may found a cluster learn that there is one.
        context.addresses.set_cluster_id(&cluster_id);
        let mut identity = Identity::new(
            cluster_id.clone(),
            config.cluster_name.clone(),
            context.me.clone(),
            FOUNDER_RAFT_ID,
        );
        identity.founding = Some(config.clone());
        context.data_dir.store_identity(identity.clone()).await?;
        self.start_raft(&identity).await?;
        context
            .until_log_fails(self.finish_bootstrap(&identity, &config))
            .await?
    }

    /// Founds the cluster, from whichever step an earlier attempt reached. Once this is finished the identity says so,
    /// and it is never repeated.
    async fn finish_bootstrap(self: &Arc<Self>, identity: &Identity, config: &ClusterConfig) -> Result<()> {
        let context = &self.context;
        let parts = context.raft_parts()?;
        if parts.raft.is_pristine().await? {
            parts.raft.initialize().await?;
        }
        let deadline = Instant::now() + BOOTSTRAP_TIMEOUT;
        loop {
            if !context.applied.topology().cluster_id.is_empty() {
                break;
            }
            let mut node = self.entry.spec();
            node.raft_id = Some(FOUNDER_RAFT_ID);
            let command = Command::Bootstrap {
                cluster_id: identity.cluster_id.clone(),
                config: config.clone(),
                node,
            };
            match parts.proposer.propose_here(command, BOOTSTRAP_TIMEOUT).await {
                Ok(_) => {}
                // This node has not won its first election yet.
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    env::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(error.context("found the cluster")),
            }
        }
        parts.proposer.adopt_session();
        let partitions = || !context.applied.topology().partitions.is_empty();
        if context.wait_for_topology(deadline, partitions).await {
            return context
                .data_dir
                .store_identity(context.secured(identity.with_cluster()))
                .await;
        }
        Err(Error::new(
            ErrorCode::Timeout,
            format!("the cluster was not founded within {BOOTSTRAP_TIMEOUT:?}"),
        ))
    }

    /// Restarts a node that has an identity: finishes an interrupted bootstrap, or rejoins the cluster. Returns once
    /// this process is an active member, or after `join_timeout`: then the rejoin continues in the background.
    pub(super) async fn restart(self: &Arc<Self>, identity: Identity) -> Result<()> {
        let context = &self.context;
        let parts = self.start_raft(&identity).await?;
        if identity.founded && parts.raft.is_pristine().await? {
            return Err(context.data_dir.identity_file().lost_log(&identity));
        }
        if let Some(config) = identity.founding.as_ref().filter(|_| !identity.founded)
            && (parts.raft.is_pristine().await? || context.applied.topology().cluster_id.is_empty())
            && parts.raft.is_alone()
        {
            self.finish_bootstrap(&identity, config).await?;
            if context.applied.incarnation().is_some() {
                return Ok(());
            }
        }
        self.tasks.spawn(self.rejoiner().run());
        let deadline = Instant::now() + context.options.join_timeout;
        let seen = context.lifecycle.changed().count();
        tokio::select! {
            biased;
            active = context.until_log_fails(context.wait_until_active(deadline)) => {
                if !active? {
                    context.logger.warn(format_args!("not a member again yet; going on in the background"));
                }
                Ok(())
            }
            refused = context.wait_for_refusal(seen) => Err(refused),
        }
    }
}
