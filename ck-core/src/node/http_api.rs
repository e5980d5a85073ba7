//! The node as the REST API sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Node;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::http::{
    Api, Contact, JoinReply, JoinTerms, KeyRoutes, Members, PlannedMove, Readiness, RebalanceReply,
    SyncReply, SyncRequest,
};
use crate::leader;
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, NodeId, RebalanceStatus,
    partition_id,
};
use crate::net::Tls;
use crate::routing::ClusterView;
use crate::rpc::{JoinRequest, MemberCall, SyncReport};
use crate::state::{Expect, NodeSpec};

/// How long a linearizable read waits for the leader; the caller's own timeout is usually shorter.
const READ_BARRIER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the leader may take to report the migrations under way. After that this node answers from its own state.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

impl Api for Node {
    fn revision(&self) -> u64 {
        self.context.applied.revision()
    }

    fn contact(&self) -> Contact {
        self.contact.contact()
    }

    fn topology_revision(&self) -> u64 {
        self.context.applied.state().topology_revision()
    }

    fn cluster(&self, with_data: bool) -> Cluster {
        Node::cluster(self, with_data)
    }

    fn view(&self) -> Arc<ClusterView> {
        Node::view(self).into_owned()
    }

    fn members(&self) -> BoxFuture<'_, Members> {
        self.contact.members().boxed()
    }

    fn route(&self, keys: &[&[u8]]) -> Option<KeyRoutes> {
        Node::route(self, keys)
    }

    fn leader(&self) -> Option<LeaderInfo> {
        self.contact.leader()
    }

    fn consensus_stats(&self) -> ConsensusStats {
        Node::consensus_stats(self)
    }

    fn metrics(&self) -> Metrics {
        Node::metrics(self)
    }

    fn health(&self) -> HealthStatus {
        Node::health(self)
    }

    fn certificate_seconds_left(&self) -> Option<i64> {
        self.context.security.tls().map(Tls::seconds_left)
    }

    fn log_has_failed(&self) -> bool {
        self.context.log_failure().is_some()
    }

    fn disk_silence(&self) -> Option<Duration> {
        self.context.disk_silence()
    }

    fn log_messages_dropped(&self) -> u64 {
        self.context.logger.dropped()
    }

    fn readiness(&self) -> Readiness {
        let view = Node::view(self);
        let partitions = view.topology().partitions.len();
        // Without a leader that answers, this view may be outdated: no partition in it counts as served.
        let led = self.contact.hears_leader_in(&view);
        let valid = if led {
            view.partition_counts().with_serving_primary
        } else {
            0
        };
        let message = match self.unhealthy_reason_in(&view) {
            Some(complaint) => complaint,
            None if partitions == 0 => "the partitions have not been created yet".to_owned(),
            None if valid < partitions => {
                format!(
                    "{} of {partitions} partitions have no primary",
                    partitions - valid
                )
            }
            None => "ready".to_owned(),
        };
        Readiness {
            ready: message == "ready",
            nodes: view.nodes().len(),
            partitions,
            valid_partitions: valid,
            message,
        }
    }

    fn data(&self, key: &str) -> (u64, Option<DataEntry>) {
        let state = self.context.applied.state();
        (state.revision(), state.data().get(key).cloned())
    }

    fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (u64, Vec<String>) {
        let state = self.context.applied.state();
        let keys = state.data().keys(prefix, after, limit).cloned().collect();
        (state.revision(), keys)
    }

    fn wait_revision(&self, revision: u64) -> BoxFuture<'_, Result<u64>> {
        async move {
            // The server is closed before the waits for revisions end, and it waits for requests under way: a long poll
            // would keep the node from closing until it times out.
            tokio::select! {
                biased;
                () = self.context.lifecycle.closing() => {
                    return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
                }
                waited = self.context.applied.wait_for(revision) => waited?,
            }
            Ok(self.context.applied.revision())
        }
        .boxed()
    }

    fn linearize(&self) -> BoxFuture<'_, Result<()>> {
        async { Node::read_barrier(self, READ_BARRIER_TIMEOUT).await.map(|_| ()) }.boxed()
    }

    fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        Node::set_data(self, key, value, expect, timeout).boxed()
    }

    fn delete_data(
        &self,
        key: String,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(u64, bool)>> {
        Node::delete_data(self, key, expect, timeout).boxed()
    }

    fn join(&self, spec: NodeSpec, terms: JoinTerms, timeout: Duration) -> BoxFuture<'_, Result<JoinReply>> {
        async move {
            let node_id = spec.id.clone();
            let cluster_name = terms
                .cluster_name
                .unwrap_or_else(|| self.options().cluster_name.clone());
            let request = JoinRequest {
                spec,
                cluster_name,
                cluster_id: terms.cluster_id,
                partition_count: terms.partition_count,
                replication_factor: terms.replication_factor,
                lease_ttl_ms: None,
                failure_timeout_ms: None,
                election_timeout_ms: None,
            };
            let reply = self.leader.join(request, timeout).await?;
            Ok(JoinReply {
                node_id,
                cluster_id: reply.cluster_id,
                node_count: Node::view(self).nodes().len(),
                raft_id: reply.raft_id,
                incarnation: reply.incarnation,
                revision: reply.revision,
                config: reply.config,
            })
        }
        .boxed()
    }

    fn sync(&self, request: SyncRequest, timeout: Duration) -> BoxFuture<'_, Result<SyncReply>> {
        async move {
            let report = SyncReport {
                node: request.node,
                incarnation: request.incarnation,
                revision: request.revision,
                health: request.health,
                health_reason: request.health_reason,
                copies: Vec::new(),
                delay_ms: 0,
            };
            let reply = self.leader.ask(MemberCall::Sync(report), timeout).await?;
            let reply = reply.into_sync()?;
            Ok(SyncReply {
                lease_ms: reply.lease_ms,
                revision: reply.revision,
                leader: reply.leader,
            })
        }
        .boxed()
    }

    fn rebalance(&self, dry_run: bool, timeout: Duration) -> BoxFuture<'_, Result<RebalanceReply>> {
        async move {
            let (topology, planned_on) = {
                let state = self.context.applied.state();
                (state.topology().clone(), state.topology_revision())
            };
            let before = topology.clone();
            let exclusions = self.context.raft_parts()?.leader.rebalancer.exclusions(&topology);
            let targets = env::blocking(move || leader::rebalance(&topology, &exclusions)).await?;
            let moves: Vec<PlannedMove> = targets
                .iter()
                .filter_map(|(number, target)| {
                    let partition = before.partitions.get(*number as usize)?;
                    let holds = |node: &NodeId| partition.copy(node).is_some();
                    Some(PlannedMove {
                        partition_id: partition_id(*number),
                        number: *number,
                        old_primary: partition.primary.clone().unwrap_or_else(|| "".into()),
                        new_primary: target.primary.clone(),
                        gain: target.nodes.iter().filter(|node| !holds(node)).cloned().collect(),
                        lose: partition
                            .copies
                            .iter()
                            .map(|copy| copy.node.clone())
                            .filter(|node| !target.nodes.contains(node))
                            .collect(),
                    })
                })
                .collect();
            if dry_run {
                return Ok(RebalanceReply {
                    dry_run,
                    revision: planned_on,
                    partitions_to_move: moves.len(),
                    moves,
                });
            }
            let (revision, partitions_to_move) = Node::rebalance(self, timeout).await?;
            Ok(RebalanceReply {
                dry_run,
                revision,
                partitions_to_move,
                moves,
            })
        }
        .boxed()
    }

    fn rebalance_status(&self) -> BoxFuture<'_, RebalanceStatus> {
        Node::rebalance_status(self, STATUS_TIMEOUT).boxed()
    }

    fn create_partitions(&self, timeout: Duration) -> BoxFuture<'_, Result<(u64, usize)>> {
        Node::create_partitions(self, timeout).boxed()
    }

    fn leave(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.begin_leaving(timeout).boxed()
    }

    fn maintenance(&self, reason: Option<String>, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        Node::maintenance(self, reason, timeout).boxed()
    }

    fn step_down(
        &self,
        target: Option<NodeId>,
        cooldown: Option<Duration>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<NodeId>> {
        async move {
            match env::timeout(timeout, self.demote(target, cooldown)).await {
                Ok(stepped_down) => stepped_down,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    format!("nobody was known to have taken over within {timeout:?}"),
                )),
            }
        }
        .boxed()
    }

    fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        Node::remove_node(self, node, force, timeout).boxed()
    }

    fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        Node::recover(self, number, from, force, timeout).boxed()
    }
}
