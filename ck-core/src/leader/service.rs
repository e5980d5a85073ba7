//! The calls about members that only the leader may execute.

use std::sync::Arc;
use std::time::Duration;

use super::{
    ElectionTimeoutTuner, LeaderContext, LeadershipTransfer, MembershipService, RebalancePolicy, Rebalancer,
    ReportedDelays,
};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::logger::LogRateLimiter;
use crate::membership::AddressBook;
use crate::model::{Node, NodeId, partition_id, whole_millis};
use crate::options::TimingValues;
use crate::raft::WHAT_TO_DO;
use crate::rpc::{
    Addresses, JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, PeerClient,
    SyncReply, SyncReport,
};

/// How long a leader waits at most until it has applied what a member has, when that member sends a heartbeat.
const APPLY_TIMEOUT: Duration = Duration::from_millis(20);
/// The longest time for which a former leader can be ordered not to campaign.
const MAX_COOLDOWN: Duration = Duration::from_secs(60 * 60);

/// Executes what only the leader may do. Every node has one; a caller makes sure that the node leads.
pub(crate) struct LeaderService {
    pub(crate) membership: Arc<MembershipService>,
    pub(crate) rebalancer: Arc<Rebalancer>,
    pub(crate) transfer: LeadershipTransfer,
    context: LeaderContext,
    addresses: Arc<AddressBook>,
    /// The delays that members have reported while this node leads.
    delays: Arc<ReportedDelays>,
    /// Limits the log messages about refused joins.
    refused_joins: LogRateLimiter,
}

impl LeaderService {
    pub(crate) fn new(
        context: LeaderContext,
        peers: PeerClient,
        addresses: Arc<AddressBook>,
        policy: RebalancePolicy,
        timing: TimingValues,
    ) -> Self {
        LeaderService {
            membership: Arc::new(MembershipService::new(context.clone(), peers, addresses.clone())),
            rebalancer: Arc::new(Rebalancer::new(context.clone(), policy)),
            transfer: LeadershipTransfer::new(context.clone(), timing),
            context,
            addresses,
            delays: Arc::default(),
            refused_joins: LogRateLimiter::default(),
        }
    }

    /// The task that adapts the election timeouts to the delays that members report.
    pub(crate) fn election_timeout_tuner(&self, timing: TimingValues) -> ElectionTimeoutTuner {
        ElectionTimeoutTuner {
            context: self.context.clone(),
            delays: self.delays.clone(),
            timing,
        }
    }

    /// Executes a call.
    ///
    /// # Errors
    /// Those of the call; [`ErrorCode::NotLeader`] where this node has stopped leading meanwhile.
    pub(crate) async fn execute(&self, call: MemberCall) -> Result<MemberAnswer> {
        let (revision, partitions) = match call {
            MemberCall::Join(request) => return Ok(self.join(&request).await),
            MemberCall::Sync(report) => {
                let reply = self.heartbeat(&report).await?;
                return Ok(MemberAnswer::Done(MemberReply::Sync(reply)));
            }
            MemberCall::RebalanceStatus => {
                let status = Box::new(self.rebalancer.status());
                return Ok(MemberAnswer::Done(MemberReply::Rebalance(status)));
            }
            MemberCall::LastSeen => {
                return Ok(MemberAnswer::Done(MemberReply::LastSeen(self.silences())));
            }
            MemberCall::Stop { node, incarnation } => self.membership.stop(&node, incarnation).await?,
            MemberCall::Failed { node, incarnation } => {
                self.membership.fail_reported(&node, incarnation).await?
            }
            MemberCall::Remove {
                node,
                force,
                incarnation,
            } => self.remove(&node, incarnation, force).await?,
            MemberCall::Rebalance => self.rebalancer.rebalance_now().await?,
            MemberCall::CreatePartitions => self.rebalancer.create_now().await?,
            MemberCall::StepDown { to, cooldown_ms } => {
                let cooldown = cooldown_ms.map(|millis| Duration::from_millis(millis).min(MAX_COOLDOWN));
                (self.transfer.step_down(to.as_ref(), cooldown).await?, 0)
            }
            MemberCall::Leave { node, incarnation } => self.membership.leave(&node, incarnation).await?,
            MemberCall::Maintenance { reason } => self.membership.set_maintenance(reason).await?,
            MemberCall::Recover { number, from, force } => {
                let recovered = self.membership.recover(number, &from, force).await?;
                self.context.logger.warn(format_args!(
                    "what node {from} has of {} was accepted as its data",
                    partition_id(number)
                ));
                recovered
            }
            MemberCall::Ping | MemberCall::GiveBack { .. } | MemberCall::Promise { .. } => {
                return Err(Error::internal("every node answers such a call itself"));
            }
        };
        Ok(MemberAnswer::Done(MemberReply::Revision { revision, partitions }))
    }

    async fn join(&self, request: &JoinRequest) -> MemberAnswer {
        let result = self.try_join(request).await;
        match &result {
            Ok(reply) => self.context.logger.info(format_args!(
                "admitted node {} at {} with incarnation {}",
                request.spec.id, request.spec.ip, reply.incarnation
            )),
            Err(error) => {
                if let Some(more) = self.refused_joins.admit(error.code()) {
                    self.context.logger.warn(format_args!(
                        "refused to admit node {}: {error}{more}",
                        request.spec.id
                    ));
                }
            }
        }
        MemberAnswer::Join(Box::new(JoinAnswer {
            result,
            peers: Vec::new(),
            cluster_id: self.addresses.cluster_id(),
        }))
    }

    /// Admits a node, unless it has not what it had acknowledged to this leader. Such a node was set back to an earlier
    /// state, and has forgotten its votes as well: it must not take part again with that log.
    async fn try_join(&self, request: &JoinRequest) -> Result<JoinReply> {
        let raft_id = request.spec.raft_id;
        match raft_id.and_then(|raft_id| self.context.raft.lost_by(raft_id)) {
            Some(acknowledged) => Err(set_back(&request.spec.id, acknowledged)),
            None => self.membership.join(request).await,
        }
    }

    async fn heartbeat(&self, report: &SyncReport) -> Result<SyncReply> {
        let LeaderContext { raft, applied, .. } = &self.context;
        let raft_id = applied.view().load().node(&report.node).map(|node| node.raft_id);
        if raft_id.is_some_and(|id| raft.lost_by(id).is_some()) {
            // The member then tries to rejoin, and gets the full error.
            let message = format!("node {:?} has lost a part of its log", report.node);
            return Err(Error::new(ErrorCode::Conflict, message));
        }
        // A member may have applied what this leader commits a moment before the leader has. The lease must name that.
        let reported = report.revision.min(raft.last_index());
        let _ = env::timeout(APPLY_TIMEOUT, applied.wait_for(reported)).await;
        let reply = self.membership.heartbeat(report)?;
        self.rebalancer.note_copies(report);
        self.delays
            .note(&report.node, Duration::from_millis(report.delay_ms));
        Ok(reply)
    }

    /// Removes a member permanently. The leader refuses to remove itself: it has to step down first.
    async fn remove(&self, node: &NodeId, incarnation: Option<u64>, force: bool) -> Result<(u64, usize)> {
        if *node == self.context.me {
            return Err(Error::new(
                ErrorCode::Refused,
                format!("node {node:?} leads the cluster; have it step down first, then remove it"),
            ));
        }
        let removed = self.membership.remove(node, incarnation, force).await?;
        self.context.logger.info(format_args!("node {node} was removed"));
        Ok(removed)
    }

    /// How long ago this leader heard from a member; `None` where it has not.
    pub(crate) fn silence_of(&self, node: &NodeId) -> Option<Duration> {
        if *node == self.context.me {
            return Some(Duration::ZERO);
        }
        self.context.leases.synced_at(node).map(Instant::elapsed)
    }

    /// For how many milliseconds each member has been silent, without those that this leader has not heard of.
    fn silences(&self) -> Vec<(NodeId, u64)> {
        let view = self.context.applied.view().load();
        let silence = |node: &Arc<Node>| {
            let silence = self.silence_of(&node.id)?;
            Some((node.id.clone(), whole_millis(silence)))
        };
        view.nodes().iter().filter_map(silence).collect()
    }

    /// The leadership of this node begins, with this epoch. The leader before it may have leases until its time is over.
    pub(crate) fn begin_term(&self, epoch: u64, election_max: Duration) {
        let LeaderContext {
            raft,
            applied,
            leases,
            ..
        } = &self.context;
        leases.begin_term(epoch, applied.revision());
        let topology = applied.topology();
        let former = raft.last_heard().and_then(|(raft_id, at)| {
            let node = topology.nodes.values().find(|node| node.raft_id == raft_id)?;
            Some((node, at))
        });
        if let Some((node, heard)) = former {
            leases.seed_previous_leader(&node.id, node.incarnation, heard, election_max);
        }
    }

    /// The leadership of this node has ended.
    pub(crate) fn end_term(&self) {
        self.context.leases.end_term();
    }
}

/// The error for a node whose log has lost what the node had acknowledged.
fn set_back(node: &NodeId, acknowledged: u64) -> Error {
    Error::new(
        ErrorCode::Corrupt,
        format!(
            "the data_dir of node {node:?} is older than what the node had acknowledged: its log had entry {acknowledged}, \
             and lacks entries up to there now; {WHAT_TO_DO}"
        ),
    )
}
