//! Which proposals have been applied, so that a retry is recognised (Raft dissertation, section 6.3).
//!
//! A session is one admission of one process of a node. It numbers its proposals and says with each which of them are
//! settled, so the memory holds only what is still in flight: exact, and without a clock. A process that was failed and
//! admitted anew goes on trying under its earlier admission what it began then: its sessions end with the process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Proposal, Response};
use crate::error::{Error, ErrorCode};
use crate::model::NodeId;

/// The sessions of all present processes, by incarnation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sessions {
    open: BTreeMap<u64, Session>,
    /// The last answers to processes that ended their own session (by leaving), for when they ask again: the
    /// proposal's number and its response, by incarnation.
    farewells: BTreeMap<u64, (u64, Response)>,
}

/// How many farewells are kept: more than the processes that leave within the time that one retries.
const MAX_FAREWELLS: usize = 1024;

/// How many sessions of one process are kept: one that is failed and comes back more often than that within the time
/// that a proposal is retried has worse to worry about.
const MAX_OF_ONE: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    owner: NodeId,
    low: u64,
    done: BTreeMap<u64, Response>,
}

pub(super) enum Lookup {
    New,
    Answered(Response),
    Refused(Error),
}

impl Sessions {
    pub(super) fn open(&mut self, session: u64, owner: &NodeId) {
        let of_owner = self.open.iter().filter(|(_, known)| known.owner == *owner);
        let mut of_owner = of_owner.map(|(session, _)| *session);
        let oldest = of_owner.next();
        if of_owner.count() + 1 >= MAX_OF_ONE {
            self.open.remove(&oldest.unwrap_or_default());
        }
        self.open.entry(session).or_insert_with(|| Session {
            owner: owner.clone(),
            low: 0,
            done: BTreeMap::new(),
        });
    }

    /// Forgets the sessions of a node's process: its proposals that are still on their way are refused.
    pub(super) fn close(&mut self, owner: &NodeId) {
        self.open.retain(|_, session| session.owner != *owner);
    }

    pub(super) fn lookup(&self, session: u64, seq: u64) -> Lookup {
        if session == 0 || crate::planted::planted("forget-request-id") {
            return Lookup::New;
        }
        let Some(known) = self.open.get(&session) else {
            if let Some((last, response)) = self.farewells.get(&session)
                && *last == seq
            {
                return Lookup::Answered(response.clone());
            }
            return Lookup::Refused(Error::new(
                ErrorCode::Conflict,
                format!("the process with incarnation {session} is not a member any more"),
            ));
        };
        if let Some(response) = known.done.get(&seq) {
            return Lookup::Answered(response.clone());
        }
        if seq < known.low {
            return Lookup::Refused(Error::new(
                ErrorCode::Conflict,
                format!("proposal {seq} of session {session} was settled before"),
            ));
        }
        Lookup::New
    }

    pub(super) fn remember(&mut self, proposal: &Proposal, response: &Response) {
        if proposal.session == 0 {
            return;
        }
        let Some(session) = self.open.get_mut(&proposal.session) else {
            // It was open when the proposal was looked up: the proposal itself has closed it.
            self.farewells
                .insert(proposal.session, (proposal.seq, response.clone()));
            if self.farewells.len() > MAX_FAREWELLS {
                self.farewells.pop_first();
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

#[cfg(test)]
impl Sessions {
    pub(super) fn is_open(&self, session: u64) -> bool {
        self.open.contains_key(&session)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = &NodeId> {
        self.open.values().map(|session| &session.owner)
    }
}
