//! Checks everything that another Raft node sends, before openraft, the log or the pledges see it.
//!
//! A frame with a right checksum may still be nonsense: from a defect, another version or a stranger. openraft trusts
//! its input: a gap in the log is a storage error and stops it, a term close to the largest number leaves no term for
//! the next election, and a command that no node can decode stops every node that commits it. By then all of this is on
//! disk, so a restart does not help.
//!
//! No task, and no lock of its own: `Known::new` reads the log's view under one borrow of openraft's metrics, and
//! `Known::check_call` judges by that copy. Every check of a call passes before anything of it is carried out.
//!
//! Start with `Known::check_call`; docs/protocol.md lists what is checked of each call.

use std::cmp::Ordering;

use openraft::async_runtime::WatchReceiver;

use super::wire::{AppendEntries, Appended, RaftAnswer, RaftCall};
use crate::error::{Error, ErrorCode, Result};
use crate::raft::codec::SnapshotHeader;
use crate::raft::election::pledge::Claimant;
use crate::raft::storage::state_machine::Raft;
use crate::raft::storage::wal::{self, Wal};
use crate::raft::types::{RaftId, to_wal_id};
use crate::state::MAX_TERM;

/// The highest valid index: far from the end of the type, so that adding one never overflows.
const MAX_INDEX: u64 = 1 << 62;
/// How far another node's term may be above this node's. At one election in 150 ms it takes twenty years to get there,
/// and an attacker who raises the term by this much with every call needs 2^30 calls to get near [`MAX_TERM`].
const TERM_STEP: u64 = 1 << 32;
/// How far a snapshot may be ahead of the log of a node: as far as a cluster gets in ninety years at 100,000 entries a
/// second.
const INDEX_STEP: u64 = 1 << 48;

/// What a node knows without trusting the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct LocalState {
    /// Its current term.
    pub(in crate::raft) term: u64,
    /// The last index of its log; `None` if it has never had an entry or a vote.
    pub(in crate::raft) last_index: Option<u64>,
    /// The last entry that it knows to be committed. Up to there its log never changes.
    pub(in crate::raft) committed: Option<wal::LogId>,
}

impl LocalState {
    /// Reads what the node with this Raft and this log knows.
    pub(in crate::raft) fn new(raft: &Raft, wal: &Wal) -> Self {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let term = metrics.vote.leader_id.term;
        let last = wal.last().map(|last| last.index);
        LocalState {
            term,
            last_index: last.or((term > 0).then_some(0)),
            // The commit index is recorded before entries are applied, and before the leader that sent it gets the
            // answer.
            committed: metrics.last_applied.map(to_wal_id).max(wal.committed()),
        }
    }

    fn check_term(self, term: u64) -> Result<()> {
        // A new node accepts the present term whatever it is: the cluster may be old.
        let limit = match self.last_index {
            Some(_) => MAX_TERM.min(self.term.saturating_add(TERM_STEP)),
            None => MAX_TERM,
        };
        if term > limit {
            return Err(nonsense(format!(
                "term {term}; this node is in term {}, and takes none above {limit}",
                self.term
            )));
        }
        Ok(())
    }

    fn check_index(self, index: u64) -> Result<()> {
        let limit = match self.last_index {
            Some(last) => MAX_INDEX.min(last.saturating_add(INDEX_STEP)),
            None => MAX_INDEX,
        };
        if index > limit {
            return Err(nonsense(format!(
                "index {index}; this node takes none above {limit}"
            )));
        }
        Ok(())
    }

    /// Checks the id of an entry that the candidate or leader `claimant` names: no entry can be of a later leader than
    /// the claimant.
    fn check_id(self, id: Option<wal::LogId>, claimant: Claimant, what: &str) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        self.check_index(id.index)?;
        if leader_of(id) > claimant {
            return Err(nonsense(format!(
                "{what} of term {} and Raft node {} in term {} of Raft node {}",
                id.term, id.node, claimant.0, claimant.1
            )));
        }
        Ok(())
    }

    /// Checks the id of an entry of a leader's log: at or below the commit index no entry can be of a later leader than
    /// the committed one.
    fn check_entry(self, id: Option<wal::LogId>, claimant: Claimant, what: &str) -> Result<()> {
        self.check_id(id, claimant, what)?;
        match (id, self.committed) {
            (Some(id), Some(committed))
                if id.index <= committed.index && leader_of(id) > leader_of(committed) =>
            {
                Err(nonsense(format!(
                    "{what} with index {} and term {}, and the log is committed up to index {} and term {}",
                    id.index, id.term, committed.index, committed.term
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a call that no correct node makes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] with what is wrong with it.
    pub(in crate::raft) fn check_call(self, from: RaftId, call: &RaftCall) -> Result<()> {
        let claimant = claimant(call);
        if claimant.1 != from {
            return Err(nonsense(format!(
                "a call of Raft node {from} in the name of Raft node {}",
                claimant.1
            )));
        }
        self.check_term(claimant.0)?;
        match call {
            RaftCall::Append(append) => {
                check_elected(append.vote())?;
                self.check_entry(append.prev(), claimant, "a previous entry")?;
                self.check_entry(append.commit(), claimant, "a committed entry")?;
                self.check_entries(append.prev(), claimant, append.ids())
            }
            RaftCall::Vote(ballot) | RaftCall::PreVote(ballot) => {
                self.check_id(ballot.last(), claimant, "the last entry of a candidate")
            }
            RaftCall::Snapshot(chunk) => check_elected(chunk.vote),
            RaftCall::Transfer(transfer) => {
                check_elected(transfer.from())?;
                self.check_id(transfer.last(), claimant, "the last entry of a leader")
            }
            RaftCall::Heartbeat(vote) => check_elected(*vote),
        }
    }

    /// Checks that entries follow the previous entry and each other without a gap, and that none is of an earlier
    /// leader than the entry before it.
    fn check_entries(
        self,
        prev: Option<wal::LogId>,
        claimant: Claimant,
        entries: impl Iterator<Item = wal::LogId>,
    ) -> Result<()> {
        let mut before = prev;
        for id in entries {
            self.check_entry(Some(id), claimant, "an entry")?;
            let expected = before.map_or(0, |before| before.index + 1);
            if id.index != expected {
                return Err(nonsense(format!(
                    "entry {} where entry {expected} is due",
                    id.index
                )));
            }
            if before.is_some_and(|before| leader_of(id) < leader_of(before)) {
                return Err(nonsense(format!(
                    "entry {} of an earlier leader than the entry before it",
                    id.index
                )));
            }
            before = Some(id);
        }
        Ok(())
    }

    /// Checks the header of a snapshot from a leader. The result is its last index.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] with what is wrong with it.
    pub(in crate::raft) fn check_snapshot(self, head: &SnapshotHeader, leader: Claimant) -> Result<u64> {
        let (last, membership) = head.ids();
        let last = last.ok_or_else(|| nonsense("a snapshot of nothing".to_owned()))?;
        self.check_id(Some(last), leader, "a snapshot")?;
        if membership.is_none_or(|id| id.index > last.index || leader_of(id) > leader_of(last)) {
            return Err(nonsense(
                "a snapshot whose members are of a later entry than its last".to_owned(),
            ));
        }
        Ok(last.index)
    }
}

/// Checks that the commit index of an append names an entry of the leader's log: one of the entries sent with it, the
/// entry before them, or an entry that this node has.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] when it names another entry.
pub(in crate::raft) fn check_commit(
    append: &AppendEntries,
    id_at: impl Fn(u64) -> Option<wal::LogId>,
) -> Result<()> {
    let Some(commit) = append.commit() else {
        return Ok(());
    };
    let sent = append.prev().into_iter().chain(append.ids());
    let mut last = None;
    let mut fits = true;
    for id in sent {
        fits &= match id.index.cmp(&commit.index) {
            Ordering::Less => leader_of(id) <= leader_of(commit),
            Ordering::Equal => id == commit,
            Ordering::Greater => leader_of(id) >= leader_of(commit),
        };
        last = Some(id);
    }
    // If the previous entry does not match this log, the logs may also differ at the commit index, and Raft reports the
    // conflict. The same is true of a commit index after the last entry of the append.
    let follows = append.prev().is_some_and(|prev| id_at(prev.index) == Some(prev));
    if follows && last.is_some_and(|last| commit.index <= last.index) {
        fits &= id_at(commit.index).is_none_or(|own| {
            own == commit
                || append
                    .ids()
                    .any(|id| id.index <= commit.index && id_at(id.index) != Some(id))
        });
    }
    if fits {
        return Ok(());
    }
    Err(nonsense(format!(
        "entry {} of term {} as committed, which is not in the log that it speaks of",
        commit.index, commit.term
    )))
}

/// The term in which a call is made. It limits the terms that the answer may contain.
pub(in crate::raft) fn term_of(call: &RaftCall) -> u64 {
    claimant(call).0
}

/// Refuses an answer that no correct node gives to a call made in `term`: openraft takes over the vote in an answer.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] with what is wrong with it.
pub(in crate::raft) fn check_answer(term: u64, answer: &RaftAnswer) -> Result<()> {
    let known = LocalState {
        term,
        last_index: Some(0),
        committed: None,
    };
    match answer {
        RaftAnswer::Appended(Appended::HigherVote(vote)) | RaftAnswer::Snapshot { vote } => {
            known.check_term(vote.term)
        }
        RaftAnswer::Voted { vote, .. } => known.check_term(vote.term),
        RaftAnswer::Appended(Appended::All | Appended::UpTo(_) | Appended::Conflict)
        | RaftAnswer::Transferred(_)
        | RaftAnswer::Refused(_)
        | RaftAnswer::Heard { .. } => Ok(()),
    }
}

/// Refuses an answer in which a follower reports entries that were never sent to it. The request began after `prev` and
/// ended with `last`.
///
/// # Errors
/// [`ErrorCode::Corrupt`].
pub(in crate::raft) fn check_progress(
    upto: Option<wal::LogId>,
    prev: Option<wal::LogId>,
    last: Option<wal::LogId>,
) -> Result<()> {
    if prev <= upto && upto <= last {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Corrupt,
        format!("the peer took entries up to {upto:?} of those from {prev:?} to {last:?}"),
    ))
}

fn leader_of(id: wal::LogId) -> Claimant {
    (id.term, id.node)
}

/// The term and the node in whose name a call is made.
fn claimant(call: &RaftCall) -> Claimant {
    match call {
        RaftCall::Append(append) => append.leader(),
        RaftCall::Vote(ballot) | RaftCall::PreVote(ballot) => ballot.candidate(),
        RaftCall::Snapshot(chunk) => (chunk.vote.term, chunk.vote.node),
        RaftCall::Transfer(transfer) => (transfer.from().term, transfer.from().node),
        RaftCall::Heartbeat(vote) => (vote.term, vote.node),
    }
}

/// Only an elected leader, whose vote is committed, sends these calls.
fn check_elected(vote: wal::Vote) -> Result<()> {
    if vote.committed {
        return Ok(());
    }
    Err(nonsense(format!(
        "Raft node {} as leader, and that nobody has elected it",
        vote.node
    )))
}

fn nonsense(what: String) -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        format!("no Raft node says that: it names {what}"),
    )
}

#[cfg(test)]
mod tests;
