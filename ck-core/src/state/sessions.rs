//! Which proposals have been applied, so that a retry is recognised (Raft dissertation, section 6.3).
//!
//! A session is one process of one node. It numbers its proposals and says with each which of them are settled,
//! so the memory holds only what is still in flight: exact, and without a clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Proposal, Response};
use crate::error::{Error, ErrorCode};

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

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Session {
    low: u64,
    done: BTreeMap<u64, Response>,
}

pub(super) enum Lookup {
    New,
    Answered(Response),
    Refused(Error),
}

impl Sessions {
    pub(super) fn open(&mut self, session: u64) {
        self.open.entry(session).or_default();
    }

    /// Forgets a session: proposals of that process that are still on their way are refused.
    pub(super) fn close(&mut self, session: u64) {
        self.open.remove(&session);
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

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }
}
