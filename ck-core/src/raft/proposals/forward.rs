//! Calls that only the leader can answer, forwarded to it by other nodes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::write::WriteOutcome;
use crate::error::{Error, ErrorCode, Result};
use crate::net::PeerConnection;
use crate::raft::AppliedState;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::RaftId;
use crate::rpc::{PeerCall, PeerClient, PeerService, Service, at_most};

/// The most proposals of one call.
pub(in crate::raft) const MAX_FORWARDED: usize = 4096;

/// A call to the node that the sender takes for the leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForwardRequest {
    pub(crate) cluster: String,
    /// The Raft id of the sender.
    #[serde(default)]
    pub(crate) from: Option<RaftId>,
    pub(crate) call: ForwardCall,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ForwardCall {
    /// Commit this encoded proposal.
    Propose(Bytes),
    /// Commit these encoded proposals, which wait at the same node. Each has an outcome of its own.
    ProposeMany(#[serde(deserialize_with = "at_most::<_, _, MAX_FORWARDED>")] Vec<Bytes>),
    /// Give the revision that a linearizable read must reach.
    ReadIndex,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ForwardAnswer {
    Written(WriteOutcome),
    /// The outcome of each proposal, in order.
    WrittenMany(Vec<WriteOutcome>),
    ReadIndex(u64),
    /// The receiver does not lead; the leader as far as it knows.
    NotLeader(Option<RaftId>),
    Refused(Error),
}

impl PeerCall for ForwardRequest {
    type Answer = ForwardAnswer;
    const SERVICE: Service = Service::Forward;
    const ANSWER: &'static str = "the leader's answer";
}

/// Answers the calls that other nodes forward to this one, because they take it for the leader.
pub(crate) struct ForwardServer {
    node: Arc<RaftNode>,
    peers: PeerClient,
    applied: Arc<AppliedState>,
}

impl ForwardServer {
    pub(crate) fn new(node: Arc<RaftNode>, peers: PeerClient, applied: Arc<AppliedState>) -> Self {
        ForwardServer { node, peers, applied }
    }

    /// A proposal is made in a session of the node that makes the call: in another's it could take the place of a write of
    /// that node, or settle it. A session that this node does not know of applies nothing.
    fn check_session(&self, session: u64, connection: &PeerConnection) -> Result<()> {
        match self.applied.state().session_owner(session) {
            Some(owner) => connection.check_node(owner),
            None => Ok(()),
        }
    }

    async fn answer(&self, request: ForwardRequest, connection: &PeerConnection) -> Result<ForwardAnswer> {
        if let Some(from) = request.from
            && !connection.is_from(from)
        {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("another Raft node than {from} calls over this connection"),
            ));
        }
        if request
            .from
            .is_some_and(|from| self.peers.address_of(from).is_some())
        {
            connection.mark_proven();
        }
        let node = &self.node;
        let check_session = |session| self.check_session(session, connection);
        Ok(match request.call {
            ForwardCall::Propose(proposal) => {
                ForwardAnswer::Written(node.write_forwarded(proposal, &check_session).await)
            }
            ForwardCall::ProposeMany(proposals) => {
                ForwardAnswer::WrittenMany(node.write_forwarded_many(proposals, &check_session).await)
            }
            ForwardCall::ReadIndex => match node.read_index().await? {
                Ok(revision) => ForwardAnswer::ReadIndex(revision),
                Err(leader) => ForwardAnswer::NotLeader(leader),
            },
        })
    }
}

impl PeerService for ForwardServer {
    type Call = ForwardRequest;
    type Answer = ForwardAnswer;
    const SERVICE: Service = Service::Forward;
    const CALL: &'static str = "a forwarded call";

    fn cluster_of(call: &ForwardRequest) -> Option<&str> {
        Some(&call.cluster)
    }

    fn answer<'a>(
        &'a self,
        call: ForwardRequest,
        connection: &'a Arc<PeerConnection>,
    ) -> BoxFuture<'a, Result<ForwardAnswer>> {
        ForwardServer::answer(self, call, connection).boxed()
    }
}
