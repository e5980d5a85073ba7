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
}

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
        if session == 0 {
            return Lookup::New;
        }
        let Some(known) = self.open.get(&session) else {
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
        let Some(session) = self.open.get_mut(&proposal.session) else {
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
