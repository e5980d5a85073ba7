//! Calls to the leader, whichever node that is: executed here if this node leads, else forwarded.

use std::sync::Arc;
use std::time::Duration;

use super::context::NodeContext;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::model::RaftId;
use crate::net::Lane;
use crate::raft::{Attempt, LeaderRetry, RETRY_PAUSE};
use crate::rpc::{JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, unexpected};

/// Timeout of one attempt to call the leader.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// Makes calls about members to other nodes, and to the leader.
#[derive(Clone)]
pub(crate) struct LeaderClient {
    context: Arc<NodeContext>,
}

impl LeaderClient {
    pub(super) fn new(context: Arc<NodeContext>) -> Self {
        LeaderClient { context }
    }

    /// Makes a call to the leader within `timeout`. The call must be idempotent: an attempt whose answer was lost is
    /// retried.
    ///
    /// # Errors
    /// Those of the call; [`ErrorCode::NoLeader`] where it was certainly not executed; [`ErrorCode::Timeout`] where it
    /// may or may not have been, or may still be.
    pub(crate) async fn ask(&self, call: MemberCall, timeout: Duration) -> Result<MemberReply> {
        let deadline = Instant::now() + timeout;
        let is_order = call.is_order();
        let mut retry = LeaderRetry::new(deadline, timeout);
        loop {
            let remaining = deadline.since(Instant::now());
            let answer = self.execute(call.clone(), false, Some(remaining)).await;
            let attempt = match attempt(answer) {
                // A call that is no order is repeated at the next occasion anyway, whatever the outcome of this
                // attempt.
                Attempt::Refused(error) if !is_order => return Err(error),
                attempt => attempt,
            };
            let refusal = || self.context.check_member().err().filter(|_| is_order);
            if let Some(answer) = retry.note(attempt, refusal, false).await {
                return answer;
            }
        }
    }

    /// Has the leader admit a node that asked over HTTP.
    ///
    /// # Errors
    /// Why the node was not admitted.
    pub(super) async fn join(&self, request: JoinRequest, timeout: Duration) -> Result<JoinReply> {
        let call = MemberCall::Join(Box::new(request));
        join_result(self.execute(call, false, Some(timeout)).await)
    }

    /// Executes the call if this node leads, else forwards it to the known leader. A forwarded call is never forwarded
    /// again. A call that another node made has no `patience`: only its sender gives it up.
    pub(super) async fn execute(
        &self,
        call: MemberCall,
        forwarded: bool,
        patience: Option<Duration>,
    ) -> Result<MemberAnswer> {
        let parts = self.context.raft_parts()?;
        if parts.leadership.is_leader() {
            let executing = parts.leader.execute(call);
            let Some(patience) = patience else {
                return executing.await;
            };
            return match env::timeout(patience, executing).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    "this node leads and has not done it in time; it may do so yet",
                )),
            };
        }
        let leader = parts.raft.leader().filter(|id| *id != parts.raft.raft_id());
        let address = leader.and_then(|id| self.context.peers.address_of(id));
        match address {
            Some(address) if !forwarded => {
                let attempt = patience.map_or(ATTEMPT_TIMEOUT, |patience| patience.min(ATTEMPT_TIMEOUT));
                let leading = self.while_leader_unchanged(leader, self.call(&address, call, true, attempt));
                match leading.await {
                    // The leader is gone, and a node of another cluster listens at its address.
                    Ok(MemberAnswer::Refused(error)) | Err(error)
                        if error.code() == ErrorCode::WrongCluster =>
                    {
                        Ok(MemberAnswer::NotLeader(None))
                    }
                    Ok(MemberAnswer::Join(answer))
                        if answer.cluster_id != self.context.peers.cluster_id() =>
                    {
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
                let now = self
                    .context
                    .raft_parts()
                    .ok()
                    .and_then(|parts| parts.raft.leader());
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

    /// Makes one call to one node, in the name of this node and under the leader epoch that it knows.
    ///
    /// # Errors
    /// Those of [`PeerClient::call`](crate::rpc::PeerClient::call).
    pub(super) async fn call(
        &self,
        address: &str,
        call: MemberCall,
        forwarded: bool,
        timeout: Duration,
    ) -> Result<MemberAnswer> {
        let context = &self.context;
        let request = MemberRequest::new(context.peers.cluster_id(), Some(context.me.clone()), call)
            .under(context.applied.topology().leader_epoch)
            .forwarded(forwarded);
        context
            .peers
            .call(address, Lane::Request, &request, timeout)
            .await
    }
}

/// The result of a join.
pub(super) fn join_result(answer: Result<MemberAnswer>) -> Result<JoinReply> {
    match answer? {
        MemberAnswer::NotLeader(_) => Err(no_leader()),
        answer => answer.into_join()?.result,
    }
}

/// The outcome of one attempt to call the leader.
fn attempt(answer: Result<MemberAnswer>) -> Attempt<MemberReply> {
    match answer {
        Ok(MemberAnswer::Done(reply)) => Attempt::Answered(reply),
        Ok(MemberAnswer::NotLeader(_)) => Attempt::NotSent(no_leader()),
        Ok(other @ MemberAnswer::Join(_)) => Attempt::Unknown(unexpected(&other).message().to_owned()),
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

fn no_leader() -> Error {
    Error::new(ErrorCode::NoLeader, "no leader is known at present")
}
