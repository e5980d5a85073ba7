//! Sends batches of proposals to the leader: into the local log if this node leads, otherwise to the leader in one
//! message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::batcher::{BatchSender, PendingProposal};
use super::forward::{ForwardAnswer, ForwardCall, ForwardRequest};
use super::write::WriteOutcome;
use crate::env::Instant;
use crate::error::{Error, ErrorCode, Result};
use crate::net::Lane;
use crate::raft::raft_node::RaftNode;
use crate::raft::transport::flow::time_for;
use crate::raft::types::RaftId;
use crate::rpc::{PeerClient, unexpected};

/// The longest time that one attempt waits for the leader's answer before the proposer retries, besides the time for
/// its bytes.
pub(in crate::raft) const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How much earlier than its proposer a call times out, or a tenth of its timeout if that is less. The transport
/// reports whether anything was sent, and a proposer that stopped waiting at the same moment would miss that.
const LEEWAY: Duration = Duration::from_millis(10);

/// Forwards proposals and reads to the leader.
pub(in crate::raft) struct ProposalForwarder {
    node: Arc<RaftNode>,
    peers: PeerClient,
}

impl ProposalForwarder {
    pub(in crate::raft) fn new(node: Arc<RaftNode>, peers: PeerClient) -> Self {
        ProposalForwarder { node, peers }
    }

    /// Makes one call to the node that this node takes for the leader.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] when the call was not sent, because no address is known; those of the transport.
    pub(in crate::raft) async fn ask(
        &self,
        leader: RaftId,
        call: ForwardCall,
        timeout: Duration,
    ) -> Result<ForwardAnswer> {
        let Some(address) = self.peers.address_of(leader) else {
            let message = format!("no address is known for the leader, Raft id {leader}");
            return Err(Error::new(ErrorCode::NoLeader, message).unsent());
        };
        let request = ForwardRequest {
            cluster: self.peers.cluster_id(),
            from: Some(self.node.raft_id()),
            call,
        };
        self.peers.call(&address, Lane::Request, &request, timeout).await
    }

    async fn write(&self, batch: Vec<PendingProposal>) {
        let (bodies, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.body, waiting.answer))
            .unzip();
        let mut answers = answers.into_iter();
        let tell = |written| {
            if let Some(answer) = answers.next() {
                // Fails if the proposer has given up.
                let _ = answer.send(written);
            }
        };
        self.node.write_many(bodies, tell).await;
    }

    async fn forward(&self, leader: RaftId, batch: Vec<PendingProposal>) {
        let now = Instant::now();
        let patience = batch.iter().map(|waiting| waiting.until.since(now)).max();
        let bytes = batch.iter().map(|waiting| waiting.body.len()).sum();
        let patience = patience
            .unwrap_or_default()
            .min(FORWARD_TIMEOUT + time_for(bytes));
        let patience = patience - (patience / 10).min(LEEWAY);
        let bodies: Vec<Bytes> = batch.iter().map(|waiting| waiting.body.clone()).collect();
        let written = self.forward_bodies(leader, bodies, patience).await;
        for (waiting, written) in batch.into_iter().zip(written) {
            let _ = waiting.answer.send(written);
        }
    }

    /// The outcome of each proposal, in the same order.
    async fn forward_bodies(
        &self,
        leader: RaftId,
        mut bodies: Vec<Bytes>,
        timeout: Duration,
    ) -> Vec<WriteOutcome> {
        if bodies.len() == 1 {
            let body = bodies.pop().unwrap_or_default();
            return vec![self.forward_one(leader, body, timeout).await];
        }
        let count = bodies.len();
        let call = ForwardCall::ProposeMany(bodies.clone());
        let outcome = match self.ask(leader, call, timeout).await {
            Ok(ForwardAnswer::WrittenMany(all)) if all.len() == count => {
                return all.into_iter().map(as_remote).collect();
            }
            // A leader of an earlier version cannot decode a batch, and has appended nothing.
            Ok(ForwardAnswer::Refused(error)) if error.code() == ErrorCode::Corrupt => {
                let one_by_one = bodies
                    .into_iter()
                    .map(|body| self.forward_one(leader, body, timeout));
                return join_all(one_by_one).await;
            }
            other => outcome_of(other),
        };
        vec![outcome; count]
    }

    async fn forward_one(&self, leader: RaftId, body: Bytes, timeout: Duration) -> WriteOutcome {
        outcome_of(self.ask(leader, ForwardCall::Propose(body), timeout).await)
    }
}

/// The outcome of every proposal of one message, derived from its answer.
fn outcome_of(answer: Result<ForwardAnswer>) -> WriteOutcome {
    match answer {
        Ok(ForwardAnswer::Written(written)) => as_remote(written),
        Ok(ForwardAnswer::NotLeader(leader)) => WriteOutcome::NotLeader(leader),
        // Refused before any proposal was read, so nothing was appended there.
        Ok(ForwardAnswer::Refused(_)) => WriteOutcome::NotLeader(None),
        Ok(other @ (ForwardAnswer::ReadIndex(_) | ForwardAnswer::WrittenMany(_))) => {
            WriteOutcome::Unknown(unexpected(&other).message().to_owned())
        }
        Err(error) if error.is_unsent() => WriteOutcome::NotLeader(None),
        // This includes a peer that became unreachable: the connection may have broken after the leader received the
        // message.
        Err(error) => WriteOutcome::Unknown(error.to_string()),
    }
}

/// Converts the outcome of another node: a fatal outcome there is not fatal here, because a third node may lead.
fn as_remote(written: WriteOutcome) -> WriteOutcome {
    match written {
        WriteOutcome::Fatal(_) => WriteOutcome::NotLeader(None),
        written => written,
    }
}

impl BatchSender for ProposalForwarder {
    fn connect(&self, to: RaftId) -> Option<BoxFuture<'_, bool>> {
        if to == self.node.raft_id() {
            return None;
        }
        // If no address is known, sending the batch reports that.
        let address = self.peers.address_of(to)?;
        let reach = async move {
            let reached = self.peers.connect(&address, Lane::Request, FORWARD_TIMEOUT).await;
            reached.is_ok()
        };
        Some(reach.boxed())
    }

    fn send_batch(&self, to: RaftId, batch: Vec<PendingProposal>) -> BoxFuture<'_, ()> {
        if to == self.node.raft_id() {
            self.write(batch).boxed()
        } else {
            self.forward(to, batch).boxed()
        }
    }
}
