//! Calls from other nodes, and calls to the leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::Node;
use crate::consensus::Service;
use crate::consensus::{Addresses, decode, encode, handle_forwarded};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{
    JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong,
};
use crate::net::{Handler, Lane};

/// The longest that one attempt waits for the leader.
const ATTEMPT: Duration = Duration::from_secs(8);
/// The pause between attempts while there is no leader.
const PAUSE: Duration = Duration::from_millis(20);

impl Node {
    /// Answers peers for as long as the node lives.
    pub(super) fn peer_handler(self: &Arc<Self>) -> Handler {
        let node = Arc::downgrade(self);
        Arc::new(move |request, _| {
            let node = node.clone();
            async move {
                match node.upgrade() {
                    Some(node) => node.answer_peer(request).await,
                    None => Bytes::new(),
                }
            }
            .boxed()
        })
    }

    async fn answer_peer(&self, request: Bytes) -> Bytes {
        let Some((service, body)) = Service::open(&request) else {
            return Bytes::new();
        };
        match service {
            Service::Raft => match self.member.get() {
                Some(member) => member.consensus.handle_peer(body).await,
                None => crate::consensus::refuse_raft(&not_ready()),
            },
            Service::Forward => match self.member.get() {
                Some(member) => handle_forwarded(&member.consensus, &self.addresses.cluster_id(), body).await,
                None => crate::consensus::refuse_forwarded(&not_ready()),
            },
            Service::Member => {
                let answer = match self.answer_member(body).await {
                    Ok(answer) => answer,
                    Err(error) => MemberAnswer::Refused(error),
                };
                encode(&answer).unwrap_or_default()
            }
        }
    }

    async fn answer_member(&self, body: &[u8]) -> Result<MemberAnswer> {
        let request: MemberRequest = decode(body, "a call of a node")?;
        if matches!(request.call, MemberCall::Ping) {
            return Ok(MemberAnswer::Done(MemberReply::Pong(self.pong())));
        }
        // A node that wants in may have no cluster yet, or another one: that is answered in more detail.
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
        let call = request.call;
        if let MemberCall::GiveBack { node, incarnation } = &call {
            return self.give_back(node, *incarnation).map(MemberAnswer::Done);
        }
        if let MemberCall::Join(join) = &call {
            if let Ok(member) = self.member() {
                member.admission.note_address(join).await;
            }
            let result = join_result(self.carry_out(call, request.forwarded).await);
            let peers = self.addresses.entries();
            return Ok(MemberAnswer::Join(Box::new(JoinAnswer { result, peers })));
        }
        self.carry_out(call, request.forwarded).await
    }

    /// Has the leader admit a node that asked over HTTP.
    pub(super) async fn admit(&self, request: JoinRequest, timeout: Duration) -> Result<JoinReply> {
        let attempt = self.carry_out(MemberCall::Join(Box::new(request)), false);
        match env::timeout(timeout, attempt).await {
            Ok(answer) => join_result(answer),
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                format!("no answer from the leader within {timeout:?}"),
            )),
        }
    }

    /// Here, where this node leads; at the leader otherwise, one hop and no further.
    async fn carry_out(&self, call: MemberCall, forwarded: bool) -> Result<MemberAnswer> {
        let member = self.member()?;
        if member.leadership.is_leader() {
            return self.as_leader(call).await;
        }
        let leader = member
            .consensus
            .leader()
            .filter(|id| *id != member.consensus.raft_id());
        let address = leader.and_then(|id| self.addresses.address_of(id));
        match address {
            Some(address) if !forwarded => {
                match self.call_member(&address, call, true, ATTEMPT).await {
                    // The leader is gone, and a node of another cluster has its port.
                    Ok(MemberAnswer::Refused(error)) | Err(error)
                        if error.code() == ErrorCode::WrongCluster =>
                    {
                        Ok(MemberAnswer::NotLeader(None))
                    }
                    answer => answer,
                }
            }
            address => Ok(MemberAnswer::NotLeader(address)),
        }
    }

    async fn as_leader(&self, call: MemberCall) -> Result<MemberAnswer> {
        let member = self.member()?;
        let (revision, partitions) = match call {
            MemberCall::Ping => return Ok(MemberAnswer::Done(MemberReply::Pong(self.pong()))),
            MemberCall::GiveBack { node, incarnation } => {
                return self.give_back(&node, incarnation).map(MemberAnswer::Done);
            }
            MemberCall::Join(request) => {
                let result = member.admission.join(&request).await;
                match &result {
                    Ok(reply) => self.log.info(format_args!(
                        "admitted node {} at {} with incarnation {}",
                        request.spec.id, request.spec.ip, reply.incarnation
                    )),
                    Err(error) => {
                        self.log
                            .warn(format_args!("refused to admit node {}: {error}", request.spec.id));
                    }
                }
                return Ok(MemberAnswer::Join(Box::new(JoinAnswer {
                    result,
                    peers: Vec::new(),
                })));
            }
            MemberCall::Sync(report) => {
                let reply = member.admission.sync(&report)?;
                member.controller.note_copies(&report);
                return Ok(MemberAnswer::Done(MemberReply::Sync(reply)));
            }
            MemberCall::RebalanceStatus => {
                let status = Box::new(member.controller.status());
                return Ok(MemberAnswer::Done(MemberReply::Rebalance(status)));
            }
            MemberCall::Stop { node, incarnation } => member.admission.stop(&node, incarnation).await?,
            MemberCall::Failed { node, incarnation } => {
                member.admission.fail_by_its_word(&node, incarnation).await?
            }
            MemberCall::Remove { node } => self.remove_as_leader(&node).await?,
            MemberCall::Rebalance => member.controller.rebalance_now().await?,
            MemberCall::CreatePartitions => member.controller.create_now().await?,
            MemberCall::StepDown { to, cooldown_ms } => {
                let cooldown = cooldown_ms.map(Duration::from_millis);
                (self.step_down_as_leader(to.as_ref(), cooldown).await?, 0)
            }
            MemberCall::Leave { node, incarnation } => member.admission.leave(&node, incarnation).await?,
            MemberCall::Maintenance { reason } => member.admission.maintain(reason).await?,
        };
        Ok(MemberAnswer::Done(MemberReply::Revision { revision, partitions }))
    }

    /// One call to one node.
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
            call,
        };
        let body = Service::Member.envelope(&encode(&request)?);
        let answer = self.transport.call(address, Lane::Request, body, timeout).await?;
        decode(&answer, "the answer of a node")
    }

    /// Has the leader do something, wherever it is, within `timeout`. It must be harmless twice: an attempt
    /// whose answer was lost is made again.
    pub(crate) async fn ask_leader(&self, call: MemberCall, timeout: Duration) -> Result<MemberReply> {
        let deadline = Instant::now() + timeout;
        loop {
            let attempt = self.carry_out(call.clone(), false);
            let outcome = match env::timeout(deadline.since(Instant::now()), attempt).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    format!("no answer from the leader within {timeout:?}"),
                )),
            };
            let error = match outcome {
                Ok(MemberAnswer::Done(reply)) => return Ok(reply),
                Ok(MemberAnswer::Refused(error)) | Err(error) => error,
                Ok(MemberAnswer::NotLeader(_)) => no_leader(),
                Ok(MemberAnswer::Join(_)) => Error::internal("the leader answered out of turn"),
            };
            if !error.is_retriable() || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            env::sleep(PAUSE).await;
        }
    }

    fn pong(&self) -> Pong {
        Pong {
            node_id: self.me.clone(),
            process: self.process,
            cluster_id: self.addresses.cluster_id(),
            cluster_name: self.options.cluster_name.clone(),
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

fn not_ready() -> Error {
    Error::new(ErrorCode::Unreachable, "this node has not joined a cluster yet")
}

fn no_leader() -> Error {
    Error::new(ErrorCode::NoLeader, "no leader is known at present")
}
