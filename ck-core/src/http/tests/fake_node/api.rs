//! [`Api`] of the fake node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{FakeNode, NOW};
use crate::error::{Error, ErrorCode, Result};
use crate::http::{Api, Contact, JoinReply, JoinTerms, KeyLocation, KeyRole, KeyRoute, KeyRoutes, Members};
use crate::http::{PlannedMove, Readiness, RebalanceReply, SyncReply, SyncRequest};
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, LeaveReason, Metrics, Node, NodeId,
    PartitionMap, RebalanceStatus, RebalanceTrigger, Target, partition_id,
};
use crate::routing::ClusterView;
use crate::state::{Command, Expect, NodeSpec, Reply};

impl Api for FakeNode {
    fn revision(&self) -> u64 {
        self.state.lock().revision()
    }

    fn contact(&self) -> Contact {
        let leaderless = self.leaderless.load(Ordering::Relaxed);
        Contact {
            leader_known: !leaderless,
            last_contact: Some(Duration::from_millis(if leaderless { 34_012 } else { 0 })),
        }
    }

    fn topology_revision(&self) -> u64 {
        self.state.lock().topology_revision()
    }

    fn cluster(&self, with_data: bool) -> Cluster {
        let partitions = self.view().list_partitions();
        let state = self.state.lock();
        let topology = state.topology();
        Cluster {
            id: topology.cluster_id.clone(),
            name: topology.config.cluster_name.clone(),
            nodes: topology.nodes.values().cloned().collect(),
            partition_map: PartitionMap {
                partitions: partitions.into_iter().map(|p| (p.id.clone(), p)).collect(),
            },
            config: topology.config.clone(),
            custom_data: with_data.then(|| {
                let copied = |(key, entry): (&String, &DataEntry)| (key.clone(), entry.value.clone());
                state.data().iter().map(copied).collect()
            }),
            revision: state.revision(),
            leader: topology
                .leader
                .clone()
                .filter(|_| !self.leaderless.load(Ordering::Relaxed))
                .unwrap_or_else(|| "".into()),
            epoch: topology.leader_epoch,
            lost_partitions: Vec::new(),
            maintenance: topology.maintenance.clone(),
        }
    }

    fn view(&self) -> Arc<ClusterView> {
        let state = self.state.lock();
        let topology = state.topology().clone();
        Arc::new(ClusterView::new(topology, state.revision(), "a"))
    }

    fn members(&self) -> BoxFuture<'_, Members> {
        let nodes: Vec<Node> = self.view().nodes().iter().map(|node| (**node).clone()).collect();
        let heard = if self.leaderless.load(Ordering::Relaxed) {
            1
        } else {
            nodes.len()
        };
        let revision = self.revision();
        async move {
            Members {
                revision,
                nodes,
                heard,
            }
        }
        .boxed()
    }

    fn route(&self, keys: &[&[u8]]) -> Option<KeyRoutes> {
        let leased = !self.leaseless.load(Ordering::Relaxed);
        let view = self.view();
        let route = |key: &&[u8]| {
            let KeyLocation {
                partition,
                primary,
                replicas,
            } = KeyLocation::of(&view.partition(key)?);
            let role = match &*partition.primary_node {
                "node-1" if leased => KeyRole::Primary,
                "node-1" => KeyRole::None,
                _ => KeyRole::Replica,
            };
            Some(KeyRoute {
                partition: partition.id,
                number: partition.number,
                epoch: partition.epoch,
                role,
                primary,
                replicas,
            })
        };
        Some(KeyRoutes {
            node_id: "node-1".into(),
            lease_ms: if leased { 1_234 } else { 0 },
            revision: self.revision(),
            routes: keys.iter().map(route).collect::<Option<_>>()?,
        })
    }

    fn leader(&self) -> Option<LeaderInfo> {
        if self.leaderless.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state.lock();
        let topology = state.topology();
        let node = topology.nodes.get(topology.leader.as_ref()?)?;
        Some(LeaderInfo {
            leader_id: node.id.clone(),
            leader_name: node.name.clone(),
            leader_ip: node.ip.clone(),
            term: topology.leader_term,
            elected_at: topology.elected_at,
            epoch: topology.leader_epoch,
        })
    }

    fn consensus_stats(&self) -> ConsensusStats {
        let revision = self.revision();
        ConsensusStats {
            state: "Leader".into(),
            term: 3,
            last_log_index: revision,
            last_log_term: 3,
            commit_index: revision,
            applied_index: revision,
            num_peers: 1,
            leader: "node-1".into(),
            current_term: 3,
            current_leader: "node-1".into(),
            is_leader: true,
        }
    }

    fn metrics(&self) -> Metrics {
        Metrics {
            node_count: self.view().nodes().len(),
            partition_count: self.view().partitions().len(),
            request_count: 0,
            error_count: 0,
            last_sync: NOW,
            is_leader: true,
            raft_state: "Leader".into(),
            uptime_seconds: 7,
        }
    }

    fn log_has_failed(&self) -> bool {
        self.log_has_failed.load(Ordering::Relaxed)
    }

    /// One that has expired, on a node whose log has failed.
    fn certificate_seconds_left(&self) -> Option<i64> {
        self.log_has_failed.load(Ordering::Relaxed).then_some(-5)
    }

    fn disk_silence(&self) -> Option<Duration> {
        let silent = self.log_has_failed.load(Ordering::Relaxed);
        silent.then_some(Duration::from_millis(3200))
    }

    fn log_messages_dropped(&self) -> u64 {
        3
    }

    fn health(&self) -> HealthStatus {
        HealthStatus {
            healthy: true,
            node_id: "node-1".into(),
            node_name: "The \"first\"".into(),
            is_leader: true,
            node_count: self.view().nodes().len(),
            partition_count: self.view().partitions().len(),
            raft_state: "Leader".into(),
            last_sync: NOW,
            uptime: "7s".into(),
            election_stretch: 2,
            delay_ms: 230,
            message: String::new(),
        }
    }

    fn readiness(&self) -> Readiness {
        let partitions = self.view().partitions().len();
        Readiness {
            ready: partitions > 0,
            nodes: self.view().nodes().len(),
            partitions,
            valid_partitions: partitions,
            message: if partitions > 0 { "ready" } else { "no partitions" }.into(),
        }
    }

    fn data(&self, key: &str) -> (u64, Option<DataEntry>) {
        let state = self.state.lock();
        (state.revision(), state.data().get(key).cloned())
    }

    fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (u64, Vec<String>) {
        let state = self.state.lock();
        (
            state.revision(),
            state.data().keys(prefix, after, limit).cloned().collect(),
        )
    }

    fn wait_revision(&self, revision: u64) -> BoxFuture<'_, Result<u64>> {
        let mut applied = self.applied.subscribe();
        async move {
            let reached = applied.wait_for(|applied| *applied >= revision).await;
            reached
                .map(|reached| *reached)
                .map_err(|_| Error::new(ErrorCode::Stopped, "stopped"))
        }
        .boxed()
    }

    fn linearize(&self) -> BoxFuture<'_, Result<()>> {
        self.run(|| match self.leaderless.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorCode::NoLeader, "no leader is known")),
            false => Ok(()),
        })
    }

    fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        self.write(timeout, || {
            self.propose(Command::SetData { key, value, expect })
                .map(|(revision, _)| revision)
        })
    }

    fn delete_data(
        &self,
        key: String,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(u64, bool)>> {
        self.write(timeout, || {
            let (revision, reply) = self.propose(Command::DeleteData { key, expect })?;
            Ok((revision, reply == Reply::Deleted(true)))
        })
    }

    fn join(&self, node: NodeSpec, terms: JoinTerms, timeout: Duration) -> BoxFuture<'_, Result<JoinReply>> {
        self.write(timeout, || {
            let (config, planned_on, cluster_id) = {
                let state = self.state.lock();
                let topology = state.topology();
                (
                    topology.config.clone(),
                    state.topology_revision(),
                    topology.cluster_id.clone(),
                )
            };
            if let Some(asked) = terms
                .partition_count
                .filter(|asked| *asked != config.partition_count)
            {
                let message = format!(
                    "the cluster has {} partitions, the node asks for {asked}",
                    config.partition_count
                );
                return Err(Error::new(ErrorCode::ClusterMismatch, message));
            }
            let node_id = node.id.clone();
            let join = Command::Join {
                node,
                promotions: vec![],
                planned_on,
                silent_ms: 0,
                unleased_from: None,
            };
            match self.propose(join)? {
                (
                    revision,
                    Reply::Joined {
                        raft_id, incarnation, ..
                    },
                ) => Ok(JoinReply {
                    node_id,
                    cluster_id,
                    node_count: self.view().nodes().len(),
                    raft_id,
                    incarnation,
                    revision,
                    config,
                }),
                (_, other) => Err(Error::internal(format!("{other:?}"))),
            }
        })
    }

    fn sync(&self, request: SyncRequest, timeout: Duration) -> BoxFuture<'_, Result<SyncReply>> {
        self.write(timeout, || {
            self.state.lock().node(&request.node)?;
            Ok(SyncReply {
                lease_ms: 0,
                revision: self.revision(),
                leader: "node-1".into(),
            })
        })
    }

    fn rebalance(&self, dry_run: bool, timeout: Duration) -> BoxFuture<'_, Result<RebalanceReply>> {
        self.write(timeout, || {
            let planned_on = self.state.lock().topology_revision();
            let mut revision = planned_on;
            if !dry_run {
                let target = Target {
                    nodes: vec!["node-1".into()],
                    primary: "node-1".into(),
                };
                let plan = Command::Plan {
                    limit: crate::state::CopyLimit::default(),
                    trigger: RebalanceTrigger::Manual,
                    trigger_node: "".into(),
                    targets: vec![(0, target)],
                    planned_on,
                };
                (revision, _) = self.propose(plan)?;
            }
            Ok(RebalanceReply {
                dry_run,
                revision,
                partitions_to_move: 1,
                moves: vec![PlannedMove {
                    partition_id: partition_id(0),
                    number: 0,
                    old_primary: "node-1".into(),
                    new_primary: "node-1".into(),
                    gain: vec![],
                    lose: vec!["node-2".into()],
                }],
            })
        })
    }

    fn create_partitions(&self, timeout: Duration) -> BoxFuture<'_, Result<(u64, usize)>> {
        self.write(timeout, || {
            let existing = self.state.lock().topology().partitions.len();
            if existing > 0 {
                return Ok((self.revision(), existing));
            }
            self.create_two_partitions().map(|(revision, _)| (revision, 2))
        })
    }

    fn leave(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.write(timeout, || {
            let leave = Command::Leave {
                node: "node-1".into(),
                incarnation: 1,
            };
            self.propose(leave).map(|(revision, _)| revision)
        })
    }

    fn maintenance(&self, reason: Option<String>, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.write(timeout, || {
            self.propose(Command::Maintenance { reason })
                .map(|(revision, _)| revision)
        })
    }

    fn rebalance_status(&self) -> BoxFuture<'_, RebalanceStatus> {
        let now = crate::leader::RebalanceNow::of(&self.state.lock());
        let status = crate::leader::local_status(&"node-1".into(), &now);
        Box::pin(async move { status })
    }

    fn step_down(
        &self,
        target: Option<NodeId>,
        _: Option<Duration>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<NodeId>> {
        self.write(timeout, || {
            let node = target.unwrap_or_else(|| "node-2".into());
            self.propose(Command::LeaderElected {
                node: node.clone(),
                term: 4,
            })?;
            Ok(node)
        })
    }

    fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        self.write(timeout, move || {
            self.propose(Command::Recover { number, from, force })
                .map(|(revision, _)| revision)
        })
    }

    fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.write(timeout, || {
            let planned_on = self.state.lock().topology_revision();
            let remove = Command::Remove {
                node,
                reason: LeaveReason::RemovedByAdmin,
                promotions: vec![],
                planned_on,
                keep_last: !force,
                unleased_from: None,
            };
            self.propose(remove).map(|(revision, _)| revision)
        })
    }
}
