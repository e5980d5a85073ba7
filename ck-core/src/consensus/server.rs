//! Raft calls from other nodes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::TransferLeaderRequest;

use super::codec::{self, SnapshotHead};
use super::network::Addresses;
use super::pledge::{Claimant, Pledges};
use super::snapshot_file;
use super::state_machine::{Raft, Snapshot};
use super::types::{RaftId, from_wal_vote, stopped, to_wal_vote};
use super::wire::{RaftAnswer, RaftCall, RaftRequest, SnapshotChunk};
use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;

/// Answers other Raft nodes.
pub(crate) struct Server {
    raft: Raft,
    me: RaftId,
    addresses: Arc<dyn Addresses>,
    pledges: Arc<Pledges>,
    incoming: Mutex<Option<IncomingSnapshot>>,
}

struct IncomingSnapshot {
    head: Bytes,
    data: BytesMut,
}

impl Server {
    /// A server for `raft`.
    pub(super) fn new(raft: Raft, me: RaftId, addresses: Arc<dyn Addresses>, pledges: Arc<Pledges>) -> Self {
        Server {
            raft,
            me,
            addresses,
            pledges,
            incoming: Mutex::new(None),
        }
    }

    /// Answers one call.
    pub(crate) async fn handle(&self, body: &[u8]) -> Bytes {
        let answer = match self.answer(body).await {
            Ok(answer) => answer,
            Err(error) => RaftAnswer::Refused(error),
        };
        // An answer that cannot be encoded is a defect; the peer sees an empty one and tries again.
        codec::encode(&answer).unwrap_or_default()
    }

    async fn answer(&self, body: &[u8]) -> Result<RaftAnswer> {
        let request: RaftRequest = codec::decode(body, "a Raft call")?;
        let cluster = self.addresses.cluster_id();
        if request.cluster != cluster {
            let message = format!(
                "this node is of cluster {cluster:?}, the call of {:?}",
                request.cluster
            );
            return Err(Error::new(ErrorCode::WrongCluster, message));
        }
        if request.to != self.me {
            let message = format!(
                "this node has Raft id {}, the call is for {}",
                self.me, request.to
            );
            return Err(Error::new(ErrorCode::WrongCluster, message));
        }
        match request.call {
            RaftCall::Append(append) => {
                // What it pledges to is what openraft answers: the append may be refused yet.
                self.hear(append.leader());
                let response = self
                    .raft
                    .append_entries(append.into_request()?)
                    .await
                    .map_err(stopped)?;
                Ok(RaftAnswer::Appended(response.into()))
            }
            RaftCall::Vote(ballot) | RaftCall::PreVote(ballot)
                if !ballot.transfer && self.pledges.in_force() =>
            {
                Ok(self.refuse_vote())
            }
            RaftCall::Vote(ballot) => {
                let (candidate, hand_over) = (ballot.candidate(), ballot.transfer);
                let response = self.raft.vote(ballot.into_request()).await.map_err(stopped)?;
                // Looked at once more as the vote leaves: meanwhile this node may have pledged to the leader.
                if response.vote_granted && !self.pledges.may_vote(candidate, hand_over) {
                    return Ok(self.refuse_vote());
                }
                Ok(response.into())
            }
            RaftCall::PreVote(ballot) => Ok(self
                .raft
                .pre_vote(ballot.into_request())
                .await
                .map_err(stopped)?
                .into()),
            RaftCall::Snapshot(chunk) => self.take_chunk(chunk).await,
            RaftCall::Transfer(transfer) => {
                let (from, to, last) = transfer.into_parts();
                self.pledges
                    .release((from.leader_id.term, from.leader_id.node_id));
                let request = TransferLeaderRequest::new(from, to, last);
                let outcome = self.raft.handle_transfer_leader(request).await.map_err(stopped)?;
                Ok(RaftAnswer::Transferred(
                    outcome.err().map(|error| error.to_string()),
                ))
            }
            RaftCall::Heartbeat(vote) => {
                let pledged = self.hear((vote.term, vote.node));
                Ok(RaftAnswer::Heard {
                    pledged_ms: pledged.map(whole_millis),
                })
            }
        }
    }

    /// A leader says that it leads; gives for how long this node helps nobody else into office. `None` where it knows of
    /// a higher vote.
    fn hear(&self, leader: Claimant) -> Option<Duration> {
        let known = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.vote.leader_id.term, metrics.vote.leader_id.node_id)
        };
        if leader < known {
            return None;
        }
        self.pledges.hear(leader)
    }

    fn refuse_vote(&self) -> RaftAnswer {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        RaftAnswer::Voted {
            vote: to_wal_vote(&metrics.vote),
            granted: false,
            last: None,
        }
    }

    async fn take_chunk(&self, chunk: SnapshotChunk) -> Result<RaftAnswer> {
        let vote = from_wal_vote(chunk.vote);
        let Some((head, data)) = self.collect(chunk)? else {
            let metrics = self.raft.metrics();
            let known = metrics.borrow_watched().vote;
            // A newer leader is known: the sender must hear of it and stop.
            let answer = if known > vote { known } else { vote };
            return Ok(RaftAnswer::Snapshot {
                vote: to_wal_vote(&answer),
            });
        };
        let head: SnapshotHead = codec::decode(&head, "the head of a snapshot")?;
        let snapshot = Snapshot {
            meta: head.into_meta()?,
            snapshot: data,
        };
        // Checked before openraft sees it: a crafted snapshot must not stop this node's Raft.
        crate::state::State::decode(&snapshot.snapshot)?;
        let response = self
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(|error| {
                Error::new(
                    ErrorCode::Stopped,
                    format!("Raft has stopped on this node: {error}"),
                )
            })?;
        Ok(RaftAnswer::Snapshot {
            vote: to_wal_vote(&response.vote),
        })
    }

    /// Adds a piece; gives the whole snapshot once it is complete.
    fn collect(&self, chunk: SnapshotChunk) -> Result<Option<(Bytes, Bytes)>> {
        if chunk.total > snapshot_file::MAX_BYTES {
            let message = format!(
                "a snapshot of {} bytes; at most {} are taken",
                chunk.total,
                snapshot_file::MAX_BYTES
            );
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if chunk.offset == 0 {
            *incoming = Some(IncomingSnapshot {
                head: chunk.head.clone(),
                data: BytesMut::new(),
            });
        }
        if let Some(known) = incoming.as_ref()
            && known.head == chunk.head
            && chunk.offset > 0
            && chunk.offset + chunk.data.len() as u64 <= known.data.len() as u64
        {
            // It came before, and its answer was lost.
            return Ok(None);
        }
        let expected = incoming
            .as_mut()
            .filter(|snapshot| snapshot.head == chunk.head && snapshot.data.len() as u64 == chunk.offset);
        let Some(snapshot) = expected else {
            *incoming = None;
            return Err(Error::new(
                ErrorCode::Conflict,
                "a piece of a snapshot came out of order",
            ));
        };
        snapshot.data.extend_from_slice(&chunk.data);
        let length = snapshot.data.len() as u64;
        if length > chunk.total {
            *incoming = None;
            return Err(Error::new(
                ErrorCode::Corrupt,
                "a snapshot is longer than it said",
            ));
        }
        if length < chunk.total {
            return Ok(None);
        }
        Ok(incoming
            .take()
            .map(|snapshot| (snapshot.head, snapshot.data.freeze())))
    }
}

/// The answer of a node that takes no part in Raft yet.
pub(crate) fn refuse_raft(error: &Error) -> Bytes {
    codec::encode(&RaftAnswer::Refused(error.clone())).unwrap_or_default()
}
