//! What of another Raft node's words is believed: everything is checked here before openraft, the log or the pledges
//! see it.
//!
//! A frame that passes its checksum may still be nonsense: of a defect, of another version, of a stranger. openraft takes
//! what it is given: a gap in the log is an error of its storage and ends it, a term at the end of the numbers leaves no
//! term for the next election, a command that nobody can read stops every node that commits it. All of that is on disk
//! then, so a restart does not help.

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

/// The highest index there is: far from the end of the type, so that adding to one never wraps.
const MAX_INDEX: u64 = 1 << 62;
/// How far above the term that a node knows another node's may be. At one election in 150 ms it takes twenty years to get
/// there, and somebody who raises it by as much with every call needs 2^30 of them to get near [`MAX_TERM`].
const TERM_STEP: u64 = 1 << 32;
/// How far ahead of a node's log a snapshot may be: as far as a cluster gets in ninety years at 100,000 entries a second.
const INDEX_STEP: u64 = 1 << 48;

/// What a node knows by itself when it is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct Known {
    /// Its term.
    pub(in crate::raft) term: u64,
    /// The last index of its log; `None` while it has never had an entry, nor a vote.
    pub(in crate::raft) last_index: Option<u64>,
    /// The last entry that it knows to be committed: up to there its log never changes.
    pub(in crate::raft) committed: Option<wal::LogId>,
}

impl Known {
    /// What a node knows that has this log.
    pub(in crate::raft) fn new(raft: &Raft, wal: &Wal) -> Self {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let term = metrics.vote.leader_id.term;
        let last = wal.last().map(|last| last.index);
        Known {
            term,
            last_index: last.or((term > 0).then_some(0)),
            // What is committed is noted before it is applied, and before whoever told of it hears that it was taken.
            committed: metrics.last_applied.map(to_wal_id).max(wal.committed()),
        }
    }

    fn check_term(self, term: u64) -> Result<()> {
        // One that has no past takes the term that there is: the cluster may be old.
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

    /// An entry that is named by, or to, whoever stands or leads as `claimant`: nobody has seen one of a later leader.
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

    /// An entry of a leader's log, which is not an earlier log than this node's where that is committed.
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

    /// Refuses a call that no node makes.
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

    /// Entries follow the one before them, and each other, without a gap; none is of an earlier leader than the one before.
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

    /// What a snapshot covers that a leader sends; gives its last index.
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

/// What a leader says is committed is an entry of its log: of what it sends with that, of what it says comes before, or of
/// what this node has.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] where it is another.
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
    // Where the logs part before what it sends they may differ in what is committed, and Raft says so. Behind it they may, too.
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

/// In which term a call is made: what its answer may speak of depends on that.
pub(in crate::raft) fn term_of(call: &RaftCall) -> u64 {
    claimant(call).0
}

/// Refuses an answer that no node gives to a call made in `term`: what it says of its own vote would end in openraft.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] with what is wrong with it.
pub(in crate::raft) fn check_answer(term: u64, answer: &RaftAnswer) -> Result<()> {
    let known = Known {
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

/// Refuses an answer that a follower has entries which were never sent to it: what was sent ends with `last`, and begins
/// behind `prev`.
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

/// In whose name a call is made, and in which term.
fn claimant(call: &RaftCall) -> Claimant {
    match call {
        RaftCall::Append(append) => append.leader(),
        RaftCall::Vote(ballot) | RaftCall::PreVote(ballot) => ballot.candidate(),
        RaftCall::Snapshot(chunk) => (chunk.vote.term, chunk.vote.node),
        RaftCall::Transfer(transfer) => (transfer.from().term, transfer.from().node),
        RaftCall::Heartbeat(vote) => (vote.term, vote.node),
    }
}

/// Only who was elected says that it leads.
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
