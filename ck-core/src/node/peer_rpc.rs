//! Calls from other nodes, and calls to the leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::Node;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{
    JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong,
    ProcessTag,
};
use crate::model::{NodeId, partition_id};
use crate::net::{Handler, Lane, PeerConnection};
use crate::raft::{
    Addresses, Attempt, Outcome, RaftId, Service, WHAT_TO_DO, decode, encode, handle_forwarded,
};

/// Timeout of one attempt to call the leader.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// Pause between attempts while there is no leader, and between checks for another leader.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long a leader waits at most until it has applied what a member has, when that member sends a heartbeat.
const APPLY_TIMEOUT: Duration = Duration::from_millis(20);

/// The longest call about members, in bytes. Checked before the call is decoded, because one byte may take a hundred in
/// memory. The longest valid call is the join of a node with as many labels and services as are allowed.
const MAX_MEMBER_CALL: usize = 256 << 10;
/// The longest time for which a former leader can be ordered not to campaign.
const MAX_COOLDOWN: Duration = Duration::from_secs(60 * 60);

impl Node {
    /// The handler that answers peers, for as long as the node exists.
    pub(super) fn peer_handler(self: &Arc<Self>) -> Handler {
        let node = Arc::downgrade(self);
        Arc::new(move |request, connection| {
            let node = node.clone();
            async move {
                match node.upgrade() {
                    Some(node) => node.answer_peer(request, &connection).await,
                    None => Bytes::new(),
                }
            }
            .boxed()
        })
    }

    async fn answer_peer(&self, request: Bytes, over: &Arc<PeerConnection>) -> Bytes {
        let Some((service, body)) = Service::open(&request) else {
            return Bytes::new();
        };
        match service {
            Service::Raft => match self.member.get() {
                Some(member) => member.raft.handle_peer(body, over).await,
                None => crate::raft::refuse_raft(&not_ready()),
            },
            Service::Forward => match self.member.get() {
                Some(member) => handle_forwarded(&member.raft, &*self.addresses, body, over).await,
                None => crate::raft::refuse_forwarded(&not_ready()),
            },
            Service::Member => {
                let answer = match self.answer_member(body, over).await {
                    Ok(answer) => answer,
                    Err(error) => MemberAnswer::Refused(error),
                };
                encode(&answer).unwrap_or_default()
            }
        }
    }

    async fn answer_member(&self, body: &[u8], over: &PeerConnection) -> Result<MemberAnswer> {
        if body.len() > MAX_MEMBER_CALL {
            let message = format!(
                "a call of {} bytes about members; at most {MAX_MEMBER_CALL} are taken",
                body.len()
            );
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        let request: MemberRequest = decode(body, "a call of a node")?;
        if matches!(request.call, MemberCall::Ping) {
            return Ok(MemberAnswer::Done(MemberReply::Pong(self.pong())));
        }
        // A node that joins may have no cluster yet, or another one: its call gets a more detailed answer below.
        let cluster = self.addresses.cluster_id();
        if !matches!(request.call, MemberCall::Join(_)) && request.cluster != cluster {
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!(
                    "this node is of cluster {cluster:?}, the call of {:?}",
                    request.cluster
                ),
            ));
        }
        let is_member = |from: &NodeId| self.applied.topology().nodes.contains_key(from);
        if request.cluster == cluster && request.from.as_ref().is_some_and(is_member) {
            over.mark_proven();
        }
        let call = request.call;
        if call.is_order()
            && let Some(from) = &request.from
            && let Some(revision) = self.applied.state().removed_at(from)
        {
            // The sender may not know of its removal yet. The order is not carried out, because the sender would never
            // see the result.
            return Err(removed(from, revision));
        }
        if call.is_order() && request.epoch > 0 {
            self.check_order_epoch(request.epoch)?;
        }
        if let MemberCall::Stop { node, .. } | MemberCall::Failed { node, .. } = &call
            && *node == self.me
            && self.is_running()
        {
            return Err(Error::new(
                ErrorCode::Refused,
                format!("node {node:?} is this one, and goes on"),
            ));
        }
        if let MemberCall::GiveBack { node, incarnation } = &call {
            return self.give_back(node, *incarnation).map(MemberAnswer::Done);
        }
        if let MemberCall::Promise { founder, expect } = &call {
            let promised = self.answer_promise(founder, *expect).await;
            return promised.map(MemberAnswer::Done);
        }
        if let MemberCall::Join(join) = &call {
            if let Ok(member) = self.member() {
                member.membership.note_address(join).await;
            }
            let result = join_result(self.handle_member_call(call, request.forwarded, None).await);
            let peers = self.addresses.entries();
            return Ok(MemberAnswer::Join(Box::new(JoinAnswer {
                result,
                peers,
                cluster_id: cluster,
            })));
        }
        self.handle_member_call(call, request.forwarded, None).await
    }

    /// An order is for the leader that its sender knew: an order that arrives under a later epoch was repeated or
    /// delayed, and is refused.
    fn check_order_epoch(&self, epoch: u64) -> Result<()> {
        let known = self.applied.topology().leader_epoch;
        if epoch >= known {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::NotLeader,
            format!("the order is for the leader with epoch {epoch}; this node knows of epoch {known}"),
        ))
    }

    /// Has the leader admit a node that asked over HTTP.
    pub(super) async fn forward_join(&self, request: JoinRequest, timeout: Duration) -> Result<JoinReply> {
        let call = MemberCall::Join(Box::new(request));
        join_result(self.handle_member_call(call, false, Some(timeout)).await)
    }

    /// Executes the call if this node leads, else forwards it to the known leader. A forwarded call is never forwarded
    /// again. A call that another node made has no `patience`: only its sender gives it up.
    async fn handle_member_call(
        &self,
        call: MemberCall,
        forwarded: bool,
        patience: Option<Duration>,
    ) -> Result<MemberAnswer> {
        let member = self.member()?;
        if member.leadership.is_leader() {
            let Some(patience) = patience else {
                return self.handle_as_leader(call).await;
            };
            return match env::timeout(patience, self.handle_as_leader(call)).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    "this node leads and has not done it in time; it may do so yet",
                )),
            };
        }
        let leader = member.raft.leader().filter(|id| *id != member.raft.raft_id());
        let address = leader.and_then(|id| self.addresses.address_of(id));
        match address {
            Some(address) if !forwarded => {
                let attempt = patience.map_or(ATTEMPT_TIMEOUT, |patience| patience.min(ATTEMPT_TIMEOUT));
                let leading =
                    self.while_leader_unchanged(leader, self.call_member(&address, call, true, attempt));
                match leading.await {
                    // The leader is gone, and a node of another cluster listens at its address.
                    Ok(MemberAnswer::Refused(error)) | Err(error)
                        if error.code() == ErrorCode::WrongCluster =>
                    {
                        Ok(MemberAnswer::NotLeader(None))
                    }
                    Ok(MemberAnswer::Join(answer)) if answer.cluster_id != self.addresses.cluster_id() => {
                        Ok(MemberAnswer::NotLeader(None))
                    }
                    answer => answer,
                }
            }
            address => Ok(MemberAnswer::NotLeader(address)),
        }
    }

    /// Waits for the leader's answer for as long as no other node leads, so that the next leader is asked as soon as
    /// there is one. The former leader may have carried the call out.
    async fn while_leader_unchanged(
        &self,
        leader: Option<RaftId>,
        call: impl Future<Output = Result<MemberAnswer>>,
    ) -> Result<MemberAnswer> {
        let another = async {
            loop {
                env::sleep(RETRY_PAUSE).await;
                let now = self.member().ok().and_then(|member| member.raft.leader());
                if now.is_some() && now != leader {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answer = call => answer,
            () = another => Err(Error::new(
                ErrorCode::Timeout,
                "another node came to lead before the leader had answered",
            )),
        }
    }

    async fn handle_as_leader(&self, call: MemberCall) -> Result<MemberAnswer> {
        let member = self.member()?;
        let (revision, partitions) = match call {
            MemberCall::Ping => return Ok(MemberAnswer::Done(MemberReply::Pong(self.pong()))),
            MemberCall::GiveBack { node, incarnation } => {
                return self.give_back(&node, incarnation).map(MemberAnswer::Done);
            }
            MemberCall::Promise { founder, expect } => {
                let promised = self.answer_promise(&founder, expect).await;
                return promised.map(MemberAnswer::Done);
            }
            MemberCall::Join(request) => {
                let result = match self.check_has_its_log(&request) {
                    Ok(()) => member.membership.join(&request).await,
                    Err(error) => Err(error),
                };
                match &result {
                    Ok(reply) => self.logger.info(format_args!(
                        "admitted node {} at {} with incarnation {}",
                        request.spec.id, request.spec.ip, reply.incarnation
                    )),
                    Err(error) => {
                        if let Some(more) = self.refused_joins.admit(error.code()) {
                            self.logger.warn(format_args!(
                                "refused to admit node {}: {error}{more}",
                                request.spec.id
                            ));
                        }
                    }
                }
                return Ok(MemberAnswer::Join(Box::new(JoinAnswer {
                    result,
                    peers: Vec::new(),
                    cluster_id: self.addresses.cluster_id(),
                })));
            }
            MemberCall::Sync(report) => {
                let raft_id = self.view().node(&report.node).map(|node| node.raft_id);
                if raft_id.is_some_and(|id| member.raft.lost_by(id).is_some()) {
                    // The member then tries to rejoin, and gets the full error.
                    let message = format!("node {:?} has lost a part of its log", report.node);
                    return Err(Error::new(ErrorCode::Conflict, message));
                }
                // A member may have applied what this leader commits a moment before the leader has. The lease must
                // name that.
                let reported = report.revision.min(member.raft.last_index());
                let _ = env::timeout(APPLY_TIMEOUT, self.applied.wait_for(reported)).await;
                let reply = member.membership.heartbeat(&report)?;
                member.rebalancer.note_copies(&report);
                member
                    .delays
                    .note(&report.node, Duration::from_millis(report.delay_ms));
                return Ok(MemberAnswer::Done(MemberReply::Sync(reply)));
            }
            MemberCall::RebalanceStatus => {
                let status = Box::new(member.rebalancer.status());
                return Ok(MemberAnswer::Done(MemberReply::Rebalance(status)));
            }
            MemberCall::LastSeen => {
                return Ok(MemberAnswer::Done(MemberReply::LastSeen(self.silences())));
            }
            MemberCall::Stop { node, incarnation } => member.membership.stop(&node, incarnation).await?,
            MemberCall::Failed { node, incarnation } => {
                member.membership.fail_reported(&node, incarnation).await?
            }
            MemberCall::Remove {
                node,
                force,
                incarnation,
            } => self.remove_as_leader(&node, incarnation, force).await?,
            MemberCall::Rebalance => member.rebalancer.rebalance_now().await?,
            MemberCall::CreatePartitions => member.rebalancer.create_now().await?,
            MemberCall::StepDown { to, cooldown_ms } => {
                let cooldown = cooldown_ms.map(|millis| Duration::from_millis(millis).min(MAX_COOLDOWN));
                (self.step_down_as_leader(to.as_ref(), cooldown).await?, 0)
            }
            MemberCall::Leave { node, incarnation } => member.membership.leave(&node, incarnation).await?,
            MemberCall::Maintenance { reason } => member.membership.set_maintenance(reason).await?,
            MemberCall::Recover { number, from, force } => {
                let recovered = member.membership.recover(number, &from, force).await?;
                self.logger.warn(format_args!(
                    "what node {from} has of {} was accepted as its data",
                    partition_id(number)
                ));
                recovered
            }
        };
        Ok(MemberAnswer::Done(MemberReply::Revision { revision, partitions }))
    }

    /// Checks that a node that rejoins has what it had acknowledged to this leader. A node that has not was set back to
    /// an earlier state, and has forgotten its votes as well: it must not take part again with that log.
    fn check_has_its_log(&self, request: &JoinRequest) -> Result<()> {
        let member = self.member()?;
        let raft_id = request.spec.raft_id;
        match raft_id.and_then(|raft_id| member.raft.lost_by(raft_id)) {
            Some(acknowledged) => Err(set_back(&request.spec.id, acknowledged)),
            None => Ok(()),
        }
    }

    /// Makes one call to one node.
    pub(super) async fn call_member(
        &self,
        address: &str,
        call: MemberCall,
        forwarded: bool,
        timeout: Duration,
    ) -> Result<MemberAnswer> {
        let request = MemberRequest {
            cluster: self.addresses.cluster_id(),
            forwarded,
            epoch: self.applied.topology().leader_epoch,
            call,
            from: Some(self.me.clone()),
        };
        let body = Service::Member.envelope(&encode(&request)?);
        let answer = self.transport.call(address, Lane::Request, body, timeout).await?;
        decode(&answer, "the answer of a node")
    }

    /// Makes a call to the leader, whichever node that is, within `timeout`. The call must be idempotent: an attempt
    /// whose answer was lost is retried.
    pub(crate) async fn ask_leader(&self, call: MemberCall, timeout: Duration) -> Result<MemberReply> {
        let deadline = Instant::now() + timeout;
        let is_order = call.is_order();
        let mut outcome = Outcome::new(timeout);
        loop {
            let patience = deadline.since(Instant::now());
            let answer = self.handle_member_call(call.clone(), false, Some(patience)).await;
            let attempt = match attempt(answer) {
                // A call that is no order is repeated at the next occasion anyway, whatever the outcome of this
                // attempt.
                Attempt::Refused(error) if !is_order => return Err(error),
                attempt => attempt,
            };
            if let Some(answer) = outcome.note(attempt) {
                return answer;
            }
            let refused = self.check_member().err().filter(|_| is_order);
            if let Some(answer) = refused.and_then(|error| outcome.note(Attempt::Refused(error))) {
                return answer;
            }
            // An attempt without enough time for its answer would turn a known outcome into an unknown one.
            if Instant::now() + 2 * RETRY_PAUSE >= deadline {
                return Err(outcome.gave_up());
            }
            env::sleep(RETRY_PAUSE).await;
        }
    }

    fn pong(&self) -> Pong {
        Pong {
            node_id: self.me.clone(),
            tag: ProcessTag::of(self.process),
            cluster_id: self.addresses.cluster_id(),
            cluster_name: self.options.cluster_name.clone(),
            forming: self.bootstrap.status(),
        }
    }
}

fn join_result(answer: Result<MemberAnswer>) -> Result<JoinReply> {
    match answer? {
        MemberAnswer::Join(answer) => answer.result,
        MemberAnswer::NotLeader(_) => Err(no_leader()),
        MemberAnswer::Refused(error) => Err(error),
        MemberAnswer::Done(_) => Err(Error::internal("a join was answered out of turn")),
    }
}

/// The outcome of one attempt to call the leader.
fn attempt(answer: Result<MemberAnswer>) -> Attempt<MemberReply> {
    match answer {
        Ok(MemberAnswer::Done(reply)) => Attempt::Answered(reply),
        Ok(MemberAnswer::NotLeader(_)) => Attempt::NotSent(no_leader()),
        Ok(MemberAnswer::Join(_)) => Attempt::Unknown("the leader answered out of turn".to_owned()),
        Ok(MemberAnswer::Refused(error)) => refused(error),
        // A network error leaves the outcome unknown, unless it says that nothing was sent.
        Err(error) if error.is_unsent() => Attempt::NotSent(error),
        Err(error) if error.code() == ErrorCode::Unreachable => Attempt::Unknown(error.to_string()),
        Err(error) => refused(error),
    }
}

/// The outcome that an error of the leader stands for. Where the leader gave up the call's own proposal, the error is
/// no refusal and the outcome is unknown.
fn refused(error: Error) -> Attempt<MemberReply> {
    match error.code() {
        ErrorCode::Timeout | ErrorCode::Internal | ErrorCode::Corrupt => Attempt::Unknown(error.to_string()),
        _ if error.is_retriable() => Attempt::NotSent(error),
        _ => Attempt::Refused(error),
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

/// The error for a node that is no longer a member.
pub(super) fn removed(node: &NodeId, revision: u64) -> Error {
    Error::new(
        ErrorCode::Removed,
        format!("node {node:?} was removed from the cluster at revision {revision}"),
    )
}

fn not_ready() -> Error {
    Error::new(ErrorCode::Unreachable, "this node has not joined a cluster yet")
}

fn no_leader() -> Error {
    Error::new(ErrorCode::NoLeader, "no leader is known at present")
}
