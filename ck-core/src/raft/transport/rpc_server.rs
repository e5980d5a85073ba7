//! Handles Raft RPCs from other nodes.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::TransferLeaderRequest;

use super::inbound::{self, LocalState};
use super::snapshot_receiver::{self, SnapshotReceiver};
use super::wire::{RaftAnswer, RaftCall, RaftRequest, SnapshotChunk};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;
use crate::net::PeerConnection;
use crate::raft::election::pledge::{Claimant, Pledges};
use crate::raft::storage::state_machine::Raft;
use crate::raft::storage::wal::Wal;
use crate::raft::types::{RaftId, from_wal_vote, stopped, to_wal_vote};
use crate::rpc::{PeerClient, PeerService, Service};

/// Answers the Raft RPCs of other nodes.
pub(crate) struct RpcServer {
    raft: Raft,
    me: RaftId,
    peers: PeerClient,
    pledges: Arc<Pledges>,
    wal: Arc<Wal>,
    snapshots: Arc<SnapshotReceiver>,
}

impl RpcServer {
    /// A server for `raft`.
    pub(in crate::raft) fn new(
        raft: Raft,
        me: RaftId,
        peers: PeerClient,
        pledges: Arc<Pledges>,
        wal: Arc<Wal>,
        snapshots: Arc<SnapshotReceiver>,
    ) -> Self {
        RpcServer {
            raft,
            me,
            peers,
            pledges,
            wal,
            snapshots,
        }
    }

    /// The terms and indexes that this node knows without trusting the caller.
    fn known(&self) -> LocalState {
        LocalState::new(&self.raft, &self.wal)
    }

    async fn answer(&self, request: RaftRequest, over: &Arc<PeerConnection>) -> Result<RaftAnswer> {
        if request.to != self.me {
            let message = format!(
                "this node has Raft id {}, the call is for {}",
                self.me, request.to
            );
            return Err(Error::new(ErrorCode::WrongCluster, message));
        }
        if !over.is_from(request.from) {
            let message = format!(
                "another Raft node than {} calls over this connection",
                request.from
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        self.known().check_call(request.from, &request.call)?;
        if self.peers.address_of(request.from).is_some() {
            over.mark_proven();
        }
        match request.call {
            RaftCall::Append(append) => {
                inbound::check_commit(&append, |index| self.wal.id_at(index))?;
                let leader = append.leader();
                // Checked before anything is pledged: a sender of entries that cannot be applied is not accepted as
                // leader.
                let append = append.into_request()?;
                // The pledge precedes the answer of openraft, which may still refuse the append. The leader counts the
                // pledge only if openraft does not answer with a higher vote.
                if leader >= self.voted_for() {
                    self.pledges.hear(leader);
                }
                let response = self.raft.append_entries(append).await.map_err(stopped)?;
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
                // Checked again before the vote leaves this node: it may have pledged to the leader meanwhile.
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
            RaftCall::Snapshot(chunk) => self.take_chunk(chunk, over).await,
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

    /// The candidate that this node votes for, or the leader that it follows, as Raft knows it.
    fn voted_for(&self) -> Claimant {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.vote.leader_id.term, metrics.vote.leader_id.node_id)
    }

    /// Handles a heartbeat. The result is how long this node votes for no other candidate. `None` if a higher vote is
    /// known, or if Raft has not learned of this leadership by an append: a pledge to a leadership that Raft does not
    /// know would keep Raft in a lower term, and a leader elected then could have a lower term, too.
    fn hear(&self, leader: Claimant) -> Option<Duration> {
        match leader.cmp(&self.voted_for()) {
            Ordering::Less => None,
            Ordering::Equal => self.pledges.hear(leader),
            // Raft is learning of this leader at this moment: its append waits for the disk.
            Ordering::Greater => self.pledges.hear_again(leader),
        }
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

    async fn take_chunk(&self, chunk: SnapshotChunk, over: &Arc<PeerConnection>) -> Result<RaftAnswer> {
        let (of, vote) = (chunk.vote, from_wal_vote(chunk.vote));
        let newest = self.raft.metrics().borrow_watched().vote;
        if newest > vote {
            // A newer leader is known: the sender must learn of it and stop.
            return Ok(RaftAnswer::Snapshot {
                vote: to_wal_vote(&newest),
            });
        }
        if newest.leader_id != vote.leader_id {
            // A leader always sends an append before it finds that a follower needs a snapshot.
            return Err(Error::new(
                ErrorCode::Conflict,
                format!(
                    "a snapshot of Raft node {} in term {}, of whom as a leader this node has not heard",
                    of.node, of.term
                ),
            ));
        }
        let Some((head, data)) = self.snapshots.take(chunk, over)? else {
            return Ok(RaftAnswer::Snapshot { vote: of });
        };
        let (known, cluster_id) = (self.known(), self.peers.cluster_id());
        let checking = env::blocking(move || snapshot_receiver::checked(known, of, &cluster_id, head, data));
        let snapshot = checking.await??;
        let response = self
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(stopped)?;
        Ok(RaftAnswer::Snapshot {
            vote: to_wal_vote(&response.vote),
        })
    }
}

impl PeerService for RpcServer {
    type Call = RaftRequest;
    type Answer = RaftAnswer;
    const SERVICE: Service = Service::Raft;
    const CALL: &'static str = "a Raft call";

    fn cluster_of(call: &RaftRequest) -> Option<&str> {
        Some(&call.cluster)
    }

    fn answer<'a>(
        &'a self,
        call: RaftRequest,
        connection: &'a Arc<PeerConnection>,
    ) -> BoxFuture<'a, Result<RaftAnswer>> {
        RpcServer::answer(self, call, connection).boxed()
    }
}
