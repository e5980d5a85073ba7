//! Sessions remember which proposals have been applied, so that a retry is recognised (Raft dissertation, section 6.3).
//!
//! A session is one incarnation: one join of one process of a node. It numbers its proposals and names with each the
//! lowest one that is not settled, so it remembers only the proposals in flight: exactly, and without a clock. A
//! process that was failed and rejoined retries its earlier proposals in the earlier session, so a process's sessions
//! end with the process.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{CommandResult, MAX_VALUE_BYTES, Proposal, Reply, Response, refuse};
use crate::error::{Error, ErrorCode};
use crate::model::NodeId;

/// The open sessions of all present processes, by incarnation, and the sessions that ended last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sessions {
    open: BTreeMap<u64, Session>,
    /// The answers of ended sessions, for retries: a write that was carried out must not be refused only because its
    /// proposer was removed before it received the answer.
    #[serde(default)]
    ended: BTreeMap<u64, EndedSession>,
}

/// The number of ended sessions that are kept: more than end within the time for which a proposal is retried.
const MAX_ENDED_SESSIONS: usize = 1024;
/// The number of answers that are kept in all ended sessions: more than are in flight within that time.
const MAX_ENDED_ANSWERS: usize = 65_536;

/// The number of open sessions of one process. A process that fails and rejoins more often within the time for
/// which a proposal is retried loses its oldest session, and with it the answers to earlier proposals.
const MAX_SESSIONS_PER_PROCESS: usize = 4;

/// The bytes that one process may have staged: of the values that it writes, and of those that it has given up.
const MAX_STAGED_BYTES: usize = 4 * MAX_VALUE_BYTES;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    owner: NodeId,
    low: u64,
    done: BTreeMap<u64, Response>,
    /// Pieces of values, by the number of the proposal that is to write the value, and by offset. They are dropped when
    /// that proposal is settled.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    staged: BTreeMap<u64, BTreeMap<u64, Bytes>>,
}

/// A session in which no further proposal is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct EndedSession {
    session: Session,
    end: SessionEnd,
    /// The revision that ended it.
    at: u64,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SessionEnd {
    /// The node was removed.
    Removed,
    /// The process reported that it stops.
    Stopped,
    /// Another process of the node joined.
    Replaced,
}

/// What is known of a proposal before it is applied.
pub(super) enum SessionLookup {
    New,
    Answered(Response),
    /// The proposal is not applied, because its session has ended or its answer is forgotten.
    Refused {
        error: Error,
        /// True when no other attempt of the proposal was applied either, or ever will be.
        settles: bool,
    },
}

impl Sessions {
    pub(super) fn open(&mut self, session: u64, owner: &NodeId) {
        let of_owner = self.open.iter().filter(|(_, known)| known.owner == *owner);
        let mut of_owner = of_owner.map(|(session, _)| *session);
        let oldest = of_owner.next();
        if of_owner.count() + 1 >= MAX_SESSIONS_PER_PROCESS {
            self.open.remove(&oldest.unwrap_or_default());
        }
        self.open.entry(session).or_insert_with(|| Session {
            owner: owner.clone(),
            low: 0,
            done: BTreeMap::new(),
            staged: BTreeMap::new(),
        });
    }

    /// Ends the sessions of a node's process at revision `at`: its proposals that arrive later are refused.
    pub(super) fn close(&mut self, owner: &NodeId, end: SessionEnd, at: u64) {
        let of_owner = self.open.iter().filter(|(_, known)| known.owner == *owner);
        let numbers: Vec<u64> = of_owner.map(|(number, _)| *number).collect();
        if numbers.is_empty() {
            return;
        }
        for number in numbers {
            if let Some(mut session) = self.open.remove(&number) {
                session.staged.clear();
                self.ended.insert(number, EndedSession { session, end, at });
            }
        }
        let mut answers: usize = self.ended.values().map(|ended| ended.session.done.len()).sum();
        while self.ended.len() > MAX_ENDED_SESSIONS || answers > MAX_ENDED_ANSWERS {
            let Some((_, oldest)) = self.ended.pop_first() else {
                return;
            };
            answers -= oldest.session.done.len();
        }
    }

    /// The node whose process has this session, open or ended.
    pub(super) fn owner(&self, session: u64) -> Option<&NodeId> {
        let ended = self.ended.get(&session).map(|ended| &ended.session);
        self.open.get(&session).or(ended).map(|known| &known.owner)
    }

    pub(super) fn lookup(&self, session: u64, seq: u64) -> SessionLookup {
        if session == 0 || planted!("forget-request-id") {
            return SessionLookup::New;
        }
        let ended = self.ended.get(&session);
        let Some(known) = self.open.get(&session).or(ended.map(|ended| &ended.session)) else {
            return SessionLookup::Refused {
                error: Error::new(
                    ErrorCode::Refused,
                    format!("the session of the process with incarnation {session} is forgotten"),
                ),
                settles: false,
            };
        };
        let forgotten = ended.is_some() && planted!("forget-ended-session");
        if let Some(response) = known.done.get(&seq).filter(|_| !forgotten) {
            return SessionLookup::Answered(response.clone());
        }
        if seq < known.low {
            return SessionLookup::Refused {
                error: Error::new(
                    ErrorCode::Refused,
                    format!("proposal {seq} of session {session} was settled before"),
                ),
                settles: false,
            };
        }
        match ended {
            Some(ended) => SessionLookup::Refused {
                error: ended.refusal(session),
                settles: true,
            },
            None => SessionLookup::New,
        }
    }

    pub(super) fn remember(&mut self, proposal: &Proposal, response: &Response) {
        if proposal.session == 0 {
            return;
        }
        let Some(session) = self.open.get_mut(&proposal.session) else {
            // The session was open when the proposal was looked up: the proposal itself has ended it.
            if let Some(ended) = self.ended.get_mut(&proposal.session) {
                ended.session.done.insert(proposal.seq, response.clone());
            }
            return;
        };
        session.done.insert(proposal.seq, response.clone());
        if proposal.low > session.low {
            session.low = proposal.low;
            while let Some(entry) = session.done.first_entry() {
                if *entry.key() >= session.low {
                    break;
                }
                entry.remove();
            }
        }
    }
}

impl EndedSession {
    /// The error for proposals in an ended session. Its codes differ from that of a failed write condition, so that a
    /// caller can tell them apart.
    fn refusal(&self, incarnation: u64) -> Error {
        let owner = &self.session.owner;
        let (code, what) = match self.end {
            SessionEnd::Removed => (ErrorCode::Removed, "was removed from the cluster"),
            SessionEnd::Stopped => (ErrorCode::Stopped, "had announced its stop"),
            SessionEnd::Replaced => (ErrorCode::DuplicateNode, "was replaced by another process of it"),
        };
        Error::new(
            code,
            format!(
                "node {owner:?} with incarnation {incarnation} {what} at revision {}; this was not carried out",
                self.at
            ),
        )
    }
}

impl Sessions {
    /// Drops what was staged for proposals of a session below `low`, which are settled.
    pub(super) fn drop_settled(&mut self, session: u64, low: u64) {
        if let Some(known) = self.open.get_mut(&session)
            && !known.staged.is_empty()
        {
            known.staged = known.staged.split_off(&low);
        }
    }

    /// Stages a piece of a value until the proposal `of` writes it.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] without an open session; [`ErrorCode::Busy`] above the bound on staged bytes.
    pub(super) fn stage(&mut self, session: u64, of: u64, offset: u64, bytes: &Bytes) -> CommandResult {
        let Some(known) = self.open.get_mut(&session) else {
            return refuse(
                ErrorCode::Refused,
                "a value is staged by a process that is no member",
            );
        };
        let staged: usize = known
            .staged
            .values()
            .flat_map(BTreeMap::values)
            .map(Bytes::len)
            .sum();
        if staged + bytes.len() > MAX_STAGED_BYTES {
            return refuse(
                ErrorCode::Busy,
                format!("a process may stage {MAX_STAGED_BYTES} bytes at a time, and has staged {staged}"),
            );
        }
        known.staged.entry(of).or_default().insert(offset, bytes.clone());
        Ok(Reply::Done)
    }

    /// The value that was staged for the proposal `of`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] unless `length` bytes without a gap are staged.
    pub(super) fn staged(&self, session: u64, of: u64, length: u64) -> Result<Bytes, Error> {
        let pieces = self.open.get(&session).and_then(|known| known.staged.get(&of));
        let mut value = BytesMut::new();
        for (offset, piece) in pieces.into_iter().flatten() {
            if *offset != value.len() as u64 {
                break;
            }
            value.extend_from_slice(piece);
        }
        if value.len() as u64 != length {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "a value of {length} bytes was to be written, of which {} are staged",
                    value.len()
                ),
            ));
        }
        Ok(value.freeze())
    }

    /// Drops what was staged for the proposal `of`.
    pub(super) fn unstage(&mut self, session: u64, of: u64) {
        if let Some(known) = self.open.get_mut(&session) {
            known.staged.remove(&of);
        }
    }
}

#[cfg(test)]
impl Sessions {
    pub(super) fn is_open(&self, session: u64) -> bool {
        self.open.contains_key(&session)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = &NodeId> {
        self.open.values().map(|session| &session.owner)
    }
}
