//! Sends openraft's RPCs to other nodes, over the peer transport.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout as RpcTimeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use openraft::{EmptyNode, RPCTypes};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::flow::Flow;
use super::heartbeats::Mute;
use super::inbound;
use super::pipeline::{self, Answers};
use super::wire::{AppendEntries, RaftAnswer, RaftCall, RaftRequest, RequestVote, Transfer, vote_response};
use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Lane;
use crate::raft::election::pledge::Pledges;
use crate::raft::election::quorum_acks::QuorumAcks;
use crate::raft::match_index::MatchIndex;
use crate::raft::storage::state_machine::Snapshot;
use crate::raft::types::{LogId, RaftId, Types, Vote, to_wal_id, to_wal_vote};
use crate::rpc::{PeerClient, unexpected};

/// How long the answer to a heartbeat of openraft is awaited, unless its timeout is longer.
const HEARTBEAT_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes clients for Raft nodes.
#[derive(Clone)]
pub(crate) struct Network {
    me: RaftId,
    peers: PeerClient,
    acks: Arc<QuorumAcks>,
    match_index: Arc<MatchIndex>,
    pledges: Arc<Pledges>,
    mute: Arc<Mute>,
}

impl Network {
    pub(in crate::raft) fn new(
        me: RaftId,
        peers: PeerClient,
        acks: Arc<QuorumAcks>,
        match_index: Arc<MatchIndex>,
        pledges: Arc<Pledges>,
        mute: Arc<Mute>,
    ) -> Self {
        Network {
            me,
            peers,
            acks,
            match_index,
            pledges,
            mute,
        }
    }

    /// The network of node 1, which has pledged nothing.
    #[cfg(test)]
    pub(in crate::raft) fn of_a_test(peers: PeerClient) -> Self {
        let acks = Arc::new(QuorumAcks::new(Duration::ZERO));
        let pledges = Arc::new(Pledges::new(None, Duration::ZERO, 1, Arc::default()));
        Network::new(1, peers, acks, Arc::default(), pledges, Arc::default())
    }

    /// A client on the control lane, for messages that must not wait behind entries.
    pub(in crate::raft) fn control(&self, target: RaftId) -> Peer {
        self.peer(target, Lane::Control)
    }

    fn peer(&self, target: RaftId, lane: Lane) -> Peer {
        Peer {
            target,
            lane,
            network: self.clone(),
            flow: Arc::default(),
            late: Arc::default(),
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: RaftId, _node: &EmptyNode) -> Peer {
        self.peer(target, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: RaftId, _node: &EmptyNode) -> Peer {
        self.peer(target, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: RaftId, _node: &EmptyNode) -> Peer {
        self.peer(target, Lane::Bulk)
    }
}

/// A client for one Raft node on one lane. Clones share their state.
#[derive(Clone)]
pub(crate) struct Peer {
    target: RaftId,
    lane: Lane,
    network: Network,
    /// Limits the bytes in flight to the node.
    flow: Arc<Mutex<Flow>>,
    /// Late acknowledgements of heartbeats: see [`Peer::beat`].
    late: Arc<LateAnswers>,
}

#[derive(Debug, Default)]
struct LateAnswers {
    vote: Mutex<Option<Vote>>,
    told: ChangeNotifier,
}

impl Peer {
    pub(in crate::raft) async fn call(
        &self,
        lane: Lane,
        call: RaftCall,
        timeout: Duration,
    ) -> Result<RaftAnswer> {
        let peers = &self.network.peers;
        let Some(address) = peers.address_of(self.target) else {
            let message = format!("no address is known for Raft id {}", self.target);
            return Err(Error::new(ErrorCode::Unreachable, message));
        };
        let request = RaftRequest {
            cluster: peers.cluster_id(),
            from: self.network.me,
            to: self.target,
            call,
        };
        let term = inbound::term_of(&request.call);
        match peers.call(&address, lane, &request, timeout).await? {
            RaftAnswer::Refused(error) => Err(error),
            answer => inbound::check_answer(term, &answer).map(|()| answer),
        }
    }

    pub(in crate::raft) fn flow(&self) -> &Mutex<Flow> {
        &self.flow
    }

    /// True on the control lane, which carries the heartbeats of openraft.
    pub(in crate::raft) fn beats(&self) -> bool {
        self.lane == Lane::Control
    }

    /// Sends one heartbeat of openraft. Its answer counts whenever it comes: an answer later than `timeout` still
    /// renews the leader's lease, and acknowledges the heartbeat that is in flight by then. Otherwise a link whose
    /// answers take a little longer than `timeout` would look dead.
    pub(in crate::raft) async fn beat(
        &self,
        request: AppendEntriesRequest<Types>,
        timeout: Duration,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let (vote, seen) = (request.vote, self.late.told.count());
        let (answer, answered) = oneshot::channel();
        let peer = self.clone();
        env::spawn(async move {
            let result = peer.append(&request, timeout.max(HEARTBEAT_ANSWER_TIMEOUT)).await;
            let follows = matches!(&result, Ok(AppendEntriesResponse::Success));
            // Fails if the caller no longer waits for this heartbeat.
            if answer.send(result).is_err() && follows {
                *peer.late.vote.lock() = Some(vote);
                peer.late.told.notify();
            }
        });
        let of_an_earlier_one = async {
            let mut seen = seen;
            loop {
                seen = self.late.told.after(seen).await;
                if *self.late.vote.lock() == Some(vote) {
                    return AppendEntriesResponse::Success;
                }
            }
        };
        tokio::select! {
            biased;
            own = answered => own.unwrap_or_else(|_| {
                let error = Error::internal("a heartbeat was given up");
                Err(self.rpc_error(RPCTypes::AppendEntries, timeout, &error))
            }),
            earlier = of_an_earlier_one => Ok(earlier),
        }
    }

    /// Sends one append entries RPC and returns its answer.
    pub(in crate::raft) async fn append(
        &self,
        request: &AppendEntriesRequest<Types>,
        timeout: Duration,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let fail = |error: Error| self.rpc_error(RPCTypes::AppendEntries, timeout, &error);
        if self.network.mute.is_set() {
            return Err(fail(Error::new(
                ErrorCode::Unreachable,
                "no quorum was heard of for so long that this leader leaves it to the others to elect another",
            )));
        }
        let call = RaftCall::Append(AppendEntries::new(request).map_err(fail)?);
        // Taken before the request is sent: the follower receives it later, so a lease counted from here ends no later
        // than its promise.
        let sent = Instant::now();
        let answer = match self.call(self.lane, call, timeout).await.map_err(fail)? {
            RaftAnswer::Appended(appended) => appended.into(),
            other => return Err(fail(unexpected(&other))),
        };
        self.note_progress(request, &answer).map_err(fail)?;
        match &answer {
            // A follower with a conflicting log follows this leader, too.
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => {
                let term = request.vote.leader_id.term;
                // No pledged time: after an append openraft itself makes the follower refuse other candidates, for the
                // default time.
                self.network.acks.record(self.target, term, sent, None);
            }
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(answer)
    }

    /// Records the match index of the follower.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when it reports entries that were never sent to it, [`ErrorCode::Refused`] when it lacks
    /// entries that it had acknowledged.
    fn note_progress(
        &self,
        request: &AppendEntriesRequest<Types>,
        answer: &AppendEntriesResponse<Types>,
    ) -> Result<()> {
        let (known, term) = (&self.network.match_index, request.vote.leader_id.term);
        let prev = request.prev_log_id.map(to_wal_id);
        let last = request
            .entries
            .last()
            .map(|entry| to_wal_id(entry.log_id))
            .or(prev);
        let upto = match answer {
            AppendEntriesResponse::Success => last,
            AppendEntriesResponse::PartialSuccess(upto) => {
                let upto = upto.map(to_wal_id);
                inbound::check_progress(upto, prev, last)?;
                upto
            }
            AppendEntriesResponse::Conflict => match prev {
                Some(prev) if known.lacks(self.target, term, prev.index) => {
                    return Err(Error::new(
                        ErrorCode::Refused,
                        format!(
                            "the peer has lost entry {} of the log, which it had acknowledged",
                            prev.index
                        ),
                    ));
                }
                _ => None,
            },
            AppendEntriesResponse::HigherVote(_) => None,
        };
        if let Some(upto) = upto {
            known.note(self.target, term, upto.index);
        }
        Ok(())
    }

    /// True if the follower has acknowledged an entry to the leader of `term` that it was once said to lack.
    pub(in crate::raft) fn has_acknowledged(&self, term: u64, entry: Option<LogId>) -> bool {
        let known = &self.network.match_index;
        entry.is_some_and(|entry| known.reaches(self.target, term, entry.index))
    }

    /// The error when a follower reported a conflict before an entry that it has acknowledged since. openraft must not hear
    /// of that conflict (see `match_index`), and sends again what is missing.
    pub(in crate::raft) fn conflict_overtaken(&self, timeout: Duration) -> RPCError<Types> {
        let error = Error::new(
            ErrorCode::Refused,
            "the peer handled an append before the one in front of it",
        );
        self.rpc_error(RPCTypes::AppendEntries, timeout, &error)
    }

    /// The error when a follower reports a conflict before the first entry of a log, which is a defect of the peer.
    pub(in crate::raft) fn conflict_with_nothing(&self, timeout: Duration) -> RPCError<Types> {
        let error = Error::new(
            ErrorCode::Corrupt,
            "the peer found a conflict where there is no entry",
        );
        self.rpc_error(RPCTypes::AppendEntries, timeout, &error)
    }

    fn rpc_error(&self, action: RPCTypes, timeout: Duration, error: &Error) -> RPCError<Types> {
        match error.code() {
            ErrorCode::Timeout => RPCError::Timeout(RpcTimeout {
                action,
                id: self.network.me,
                target: self.target,
                timeout,
            }),
            // `Unreachable` makes openraft back off, which is right for every error that does not pass at once.
            ErrorCode::TooLarge | ErrorCode::Corrupt => RPCError::Network(NetworkError::new(error)),
            _ => RPCError::Unreachable(Unreachable::new(error)),
        }
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.append(&rpc, option.hard_ttl()).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let answers = pipeline::append_all(self, requests, option.hard_ttl());
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = RequestVote::new(&rpc);
        // The first vote request makes the vote of this node for itself known to others.
        if !self
            .network
            .pledges
            .may_vote(request.candidate(), request.transfer)
        {
            return Err(self.pledged(option.hard_ttl()));
        }
        self.ask_for_vote(RaftCall::Vote(request), option.hard_ttl())
            .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        if self.network.pledges.in_force() {
            return Err(self.pledged(option.hard_ttl()));
        }
        self.ask_for_vote(RaftCall::PreVote(RequestVote::new(&rpc)), option.hard_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = self.send_snapshot(vote, snapshot, option);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => sent.map_err(|error| match error.code() {
                ErrorCode::Timeout | ErrorCode::TooLarge | ErrorCode::Corrupt => {
                    StreamingError::Network(NetworkError::new(&error))
                }
                _ => StreamingError::Unreachable(Unreachable::new(&error)),
            }),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<openraft::raft::TransferLeaderResponse<Types>, RPCError<Types>> {
        let timeout = option.hard_ttl();
        let fail = |error: Error| self.rpc_error(RPCTypes::TransferLeader, timeout, &error);
        let transfer = Transfer::new(rpc.from_leader(), *rpc.to_node_id(), rpc.last_log_id());
        match self
            .call(Lane::Control, RaftCall::Transfer(transfer), timeout)
            .await
            .map_err(fail)?
        {
            RaftAnswer::Transferred(None) => Ok(Ok(())),
            RaftAnswer::Transferred(Some(why)) => Err(fail(Error::new(ErrorCode::Refused, why))),
            other => Err(fail(unexpected(&other))),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        // A peer that restarts is back within milliseconds, and dialling a dead peer costs next to nothing.
        let first = [20, 50, 100].into_iter().map(Duration::from_millis);
        Some(Backoff::new(
            first.chain(std::iter::repeat(Duration::from_millis(200))),
        ))
    }
}

impl Peer {
    /// Sends a heartbeat to the node. The result is how long the node has pledged to vote for no other candidate;
    /// `None` if it pledged nothing.
    pub(in crate::raft) async fn heartbeat(
        &self,
        vote: &Vote,
        timeout: Duration,
    ) -> Result<Option<Duration>> {
        let call = RaftCall::Heartbeat(to_wal_vote(vote));
        match self.call(Lane::Control, call, timeout).await? {
            RaftAnswer::Heard { pledged_ms } => Ok(pledged_ms.map(Duration::from_millis)),
            other => Err(unexpected(&other)),
        }
    }

    /// The error when this node campaigns although it has pledged not to.
    fn pledged(&self, timeout: Duration) -> RPCError<Types> {
        let error = Error::new(
            ErrorCode::Refused,
            "this node has heard of a leader meanwhile, and stands for election no more",
        );
        self.rpc_error(RPCTypes::Vote, timeout, &error)
    }

    async fn ask_for_vote(
        &self,
        call: RaftCall,
        timeout: Duration,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let fail = |error: Error| self.rpc_error(RPCTypes::Vote, timeout, &error);
        match self.call(Lane::Control, call, timeout).await.map_err(fail)? {
            RaftAnswer::Voted { vote, granted, last } => Ok(vote_response(vote, granted, last)),
            other => Err(fail(unexpected(&other))),
        }
    }
}
