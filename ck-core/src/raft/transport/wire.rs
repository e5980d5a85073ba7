//! The messages between Raft nodes, in ClusterKit's own form: openraft's types are not on the wire.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::raft::codec::{check_entry, from_wal_entry, to_wal_entry};
use crate::raft::election::pledge::Claimant;
use crate::raft::storage::wal;
use crate::raft::types::{LogId, RaftId, Types, Vote, from_wal_id, from_wal_vote, to_wal_id, to_wal_vote};
use crate::rpc::{PeerCall, Service, at_most};

/// One call from one Raft node to another. A receiver in another cluster or with another Raft id refuses it: addresses
/// are reused, Raft ids are not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RaftRequest {
    pub(crate) cluster: String,
    pub(crate) from: RaftId,
    pub(crate) to: RaftId,
    pub(crate) call: RaftCall,
}

impl PeerCall for RaftRequest {
    type Answer = RaftAnswer;
    const SERVICE: Service = Service::Raft;
    const ANSWER: &'static str = "the answer of a Raft node";
}

#[cfg(feature = "sim")]
impl RaftRequest {
    /// The heartbeat of `from`, which says that it leads in this term.
    pub(crate) fn heartbeat(cluster: String, from: RaftId, to: RaftId, term: u64) -> Self {
        let vote = wal::Vote {
            term,
            node: from,
            committed: true,
        };
        RaftRequest {
            cluster,
            from,
            to,
            call: RaftCall::Heartbeat(vote),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum RaftCall {
    Append(AppendEntries),
    Vote(RequestVote),
    PreVote(RequestVote),
    Snapshot(SnapshotChunk),
    Transfer(Transfer),
    /// The caller leads: does the receiver still follow it?
    Heartbeat(wal::Vote),
}

/// The most entries of one append. openraft sends a few hundred.
const MAX_ENTRIES: usize = 16_384;

/// Append entries. Without entries it is a heartbeat of openraft, or carries only the commit index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppendEntries {
    vote: wal::Vote,
    prev: Option<wal::LogId>,
    #[serde(deserialize_with = "at_most::<_, _, MAX_ENTRIES>")]
    entries: Vec<WireEntry>,
    commit: Option<wal::LogId>,
}

/// Term, leader, index, kind, payload.
pub(in crate::raft) type WireEntry = (u64, u64, u64, u8, Bytes);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestVote {
    vote: wal::Vote,
    last: Option<wal::LogId>,
    /// True if the leader transfers its leadership to the candidate, so that no pledge prevents the vote.
    pub(crate) transfer: bool,
}

/// A chunk of a snapshot. Chunks are sent in order, and the receiver installs the snapshot with the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotChunk {
    pub(crate) vote: wal::Vote,
    pub(crate) head: Bytes,
    pub(crate) offset: u64,
    pub(crate) total: u64,
    pub(crate) data: Bytes,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    from: wal::Vote,
    to: RaftId,
    last: Option<wal::LogId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum RaftAnswer {
    Appended(Appended),
    Voted {
        vote: wal::Vote,
        granted: bool,
        last: Option<wal::LogId>,
    },
    /// The receiver's vote. The snapshot is installed if this answers the last chunk and the vote is the sender's.
    Snapshot {
        vote: wal::Vote,
    },
    /// `None` if the receiver accepted the transfer, else why it did not.
    Transferred(Option<String>),
    Refused(Error),
    /// For how many milliseconds, from when it received the heartbeat, the receiver votes for no other candidate.
    /// `None` if it pledged nothing: it knows a higher vote, its Raft does not know this leadership yet, or the leader
    /// transfers its leadership.
    Heard {
        pledged_ms: Option<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Appended {
    All,
    UpTo(Option<wal::LogId>),
    Conflict,
    HigherVote(wal::Vote),
}

impl AppendEntries {
    pub(crate) fn new(request: &AppendEntriesRequest<Types>) -> Result<Self> {
        let entries = request.entries.iter().map(|entry| {
            let entry = to_wal_entry(entry)?;
            Ok((
                entry.id.term,
                entry.id.node,
                entry.id.index,
                entry.kind,
                entry.payload,
            ))
        });
        Ok(AppendEntries {
            vote: to_wal_vote(&request.vote),
            prev: request.prev_log_id.map(to_wal_id),
            entries: entries.collect::<Result<_>>()?,
            commit: request.leader_commit.map(to_wal_id),
        })
    }

    /// The term and the node of the sender, which says that it leads.
    pub(crate) fn leader(&self) -> Claimant {
        (self.vote.term, self.vote.node)
    }

    pub(in crate::raft) fn vote(&self) -> wal::Vote {
        self.vote
    }

    /// The entry before the first one.
    pub(in crate::raft) fn prev(&self) -> Option<wal::LogId> {
        self.prev
    }

    /// The commit index of the leader.
    pub(in crate::raft) fn commit(&self) -> Option<wal::LogId> {
        self.commit
    }

    /// The ids of the entries.
    pub(in crate::raft) fn ids(&self) -> impl Iterator<Item = wal::LogId> {
        let entries = self.entries.iter();
        entries.map(|(term, node, index, ..)| wal::LogId {
            term: *term,
            node: *node,
            index: *index,
        })
    }

    /// Changes the append so that it follows a log that ends at `tip`.
    #[cfg(all(feature = "sim", any(test, feature = "fuzz")))]
    pub(in crate::raft) fn follow(&mut self, tip: wal::LogId) {
        self.prev = Some(tip);
        for (entry, index) in self.entries.iter_mut().zip(tip.index..) {
            entry.2 = index.saturating_add(1);
        }
        if let Some(commit) = &mut self.commit {
            commit.index = tip.index.saturating_add(self.entries.len() as u64);
        }
    }

    /// Converts to openraft's form, and refuses entries that could not be applied here.
    pub(crate) fn into_request(self) -> Result<AppendEntriesRequest<Types>> {
        let entries = self
            .entries
            .into_iter()
            .map(|(term, node, index, kind, payload)| {
                let entry = from_wal_entry(wal::Entry {
                    id: wal::LogId { term, node, index },
                    kind,
                    payload,
                })?;
                check_entry(&entry)?;
                Ok(entry)
            });
        Ok(AppendEntriesRequest {
            vote: from_wal_vote(self.vote),
            prev_log_id: self.prev.map(from_wal_id),
            entries: entries.collect::<Result<_>>()?,
            leader_commit: self.commit.map(from_wal_id),
        })
    }
}

impl From<AppendEntriesResponse<Types>> for Appended {
    fn from(response: AppendEntriesResponse<Types>) -> Self {
        match response {
            AppendEntriesResponse::Success => Appended::All,
            AppendEntriesResponse::PartialSuccess(id) => Appended::UpTo(id.map(to_wal_id)),
            AppendEntriesResponse::Conflict => Appended::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Appended::HigherVote(to_wal_vote(&vote)),
        }
    }
}

impl From<Appended> for AppendEntriesResponse<Types> {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::All => AppendEntriesResponse::Success,
            Appended::UpTo(id) => AppendEntriesResponse::PartialSuccess(id.map(from_wal_id)),
            Appended::Conflict => AppendEntriesResponse::Conflict,
            Appended::HigherVote(vote) => AppendEntriesResponse::HigherVote(from_wal_vote(vote)),
        }
    }
}

impl RequestVote {
    pub(crate) fn new(request: &VoteRequest<Types>) -> Self {
        RequestVote {
            vote: to_wal_vote(&request.vote),
            last: request.last_log_id.map(to_wal_id),
            transfer: request.leadership_transfer,
        }
    }

    /// The last entry of the candidate's log.
    pub(in crate::raft) fn last(&self) -> Option<wal::LogId> {
        self.last
    }

    /// The term and the node of the candidate.
    pub(crate) fn candidate(&self) -> Claimant {
        (self.vote.term, self.vote.node)
    }

    pub(crate) fn into_request(self) -> VoteRequest<Types> {
        let mut request = VoteRequest::new(from_wal_vote(self.vote), self.last.map(from_wal_id));
        request.leadership_transfer = self.transfer;
        request
    }
}

impl From<VoteResponse<Types>> for RaftAnswer {
    fn from(response: VoteResponse<Types>) -> Self {
        RaftAnswer::Voted {
            vote: to_wal_vote(&response.vote),
            granted: response.vote_granted,
            last: response.last_log_id.map(to_wal_id),
        }
    }
}

/// Converts the answer to a vote request to openraft's form.
pub(crate) fn vote_response(vote: wal::Vote, granted: bool, last: Option<wal::LogId>) -> VoteResponse<Types> {
    VoteResponse::new(from_wal_vote(vote), last.map(from_wal_id), granted)
}

impl Transfer {
    pub(crate) fn new(from: &Vote, to: RaftId, last: Option<&LogId>) -> Self {
        Transfer {
            from: to_wal_vote(from),
            to,
            last: last.copied().map(to_wal_id),
        }
    }

    /// The vote of the leadership that is transferred.
    pub(in crate::raft) fn from(&self) -> wal::Vote {
        self.from
    }

    /// The last entry of the leader's log.
    pub(in crate::raft) fn last(&self) -> Option<wal::LogId> {
        self.last
    }

    pub(crate) fn into_parts(self) -> (Vote, RaftId, Option<LogId>) {
        (from_wal_vote(self.from), self.to, self.last.map(from_wal_id))
    }
}

#[cfg(test)]
impl AppendEntries {
    pub(in crate::raft) fn of_parts(
        vote: wal::Vote,
        prev: Option<wal::LogId>,
        entries: Vec<WireEntry>,
        commit: Option<wal::LogId>,
    ) -> Self {
        AppendEntries {
            vote,
            prev,
            entries,
            commit,
        }
    }
}

#[cfg(test)]
impl RequestVote {
    pub(in crate::raft) fn of_parts(vote: wal::Vote, last: Option<wal::LogId>, transfer: bool) -> Self {
        RequestVote { vote, last, transfer }
    }
}

#[cfg(test)]
impl Transfer {
    pub(in crate::raft) fn of_parts(from: wal::Vote, to: RaftId, last: Option<wal::LogId>) -> Self {
        Transfer { from, to, last }
    }
}
