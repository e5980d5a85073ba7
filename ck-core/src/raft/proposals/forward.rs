//! Calls that only the leader can answer, forwarded to it by other nodes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::write::WriteOutcome;
use crate::error::{Error, ErrorCode, Result};
use crate::net::PeerConnection;
use crate::raft::codec;
use crate::raft::raft_node::RaftNode;
use crate::raft::transport::network::Addresses;
use crate::raft::types::RaftId;

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
    ProposeMany(#[serde(deserialize_with = "codec::at_most::<_, _, MAX_FORWARDED>")] Vec<Bytes>),
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

/// Handles a forwarded call and gives the encoded answer.
pub(crate) async fn handle_forwarded(
    node: &RaftNode,
    addresses: &dyn Addresses,
    body: &[u8],
    over: &PeerConnection,
) -> Bytes {
    let answer = match answer(node, addresses, body, over).await {
        Ok(answer) => answer,
        Err(error) => ForwardAnswer::Refused(error),
    };
    codec::encode(&answer).unwrap_or_default()
}

async fn answer(
    node: &RaftNode,
    addresses: &dyn Addresses,
    body: &[u8],
    over: &PeerConnection,
) -> Result<ForwardAnswer> {
    let request: ForwardRequest = codec::decode(body, "a forwarded call")?;
    let cluster = addresses.cluster_id();
    if request.cluster != cluster {
        let message = format!(
            "this node is of cluster {cluster:?}, the call of {:?}",
            request.cluster
        );
        return Err(Error::new(ErrorCode::WrongCluster, message));
    }
    if request
        .from
        .is_some_and(|from| addresses.address_of(from).is_some())
    {
        over.mark_proven();
    }
    Ok(match request.call {
        ForwardCall::Propose(proposal) => ForwardAnswer::Written(node.write_forwarded(proposal).await),
        ForwardCall::ProposeMany(proposals) => {
            ForwardAnswer::WrittenMany(node.write_forwarded_many(proposals).await)
        }
        ForwardCall::ReadIndex => match node.read_index().await? {
            Ok(revision) => ForwardAnswer::ReadIndex(revision),
            Err(leader) => ForwardAnswer::NotLeader(leader),
        },
    })
}

/// The answer of a node that does not take part in Raft yet.
pub(crate) fn refuse_forwarded(error: &Error) -> Bytes {
    codec::encode(&ForwardAnswer::Refused(error.clone())).unwrap_or_default()
}
