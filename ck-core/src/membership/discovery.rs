//! What a node that wants in has heard from the addresses that it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Pong;
use crate::env::Instant;
use crate::error::{Error, ErrorCode};

/// What came of asking one address last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ProbeOutcome {
    /// Nobody is there: refused, silent, or a name without an address.
    Silent(Error),
    /// This very process answers there.
    Myself,
    /// A node that is not a member of any cluster yet.
    NoMember(Box<Pong>),
    /// A node of another cluster than the one that this node belongs to.
    Stranger(Error),
    /// A member whose cluster answered no. The id of that cluster is empty where it did not say.
    Refused { error: Error, cluster_id: String },
    /// Somebody is there, and nothing else is known: no answer in time, no leader, too busy.
    Alive(Error),
}

/// One address, and when it is asked again.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) outcome: Option<ProbeOutcome>,
    pub(super) due: Instant,
    pub(super) pause: Duration,
    /// It is being asked at this moment.
    pub(super) busy: bool,
}

/// Every address that is asked, with its last answer.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(super) began: Instant,
    pub(super) candidates: BTreeMap<String, Candidate>,
    /// For each configured address what it stands for; empty until it was looked up once.
    pub(super) configured: BTreeMap<String, Vec<String>>,
    /// Addresses of members of clusters that have refused this node.
    pub(super) of_refusing: BTreeSet<String>,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Discovery {
            began: Instant::now(),
            candidates: BTreeMap::new(),
            configured: BTreeMap::new(),
            of_refusing: BTreeSet::new(),
        }
    }

    /// For how long addresses have been asked.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn outcomes(&self) -> impl Iterator<Item = (&String, &ProbeOutcome)> {
        let asked = self.candidates.iter();
        asked.filter_map(|(address, candidate)| Some((address, candidate.outcome.as_ref()?)))
    }

    /// True when every address has been looked up and has an answer, if only that nobody is there.
    fn is_complete(&self) -> bool {
        self.configured.values().all(|addresses| !addresses.is_empty())
            && self
                .candidates
                .values()
                .all(|candidate| candidate.outcome.is_some())
    }

    /// True when there is no cluster as far as anybody can tell: every address is silent, or is a node's that belongs
    /// to none. Any other answer, whatever it is, is a sign of life of a cluster.
    pub(crate) fn found_no_cluster(&self) -> bool {
        let empty = |outcome: &ProbeOutcome| {
            matches!(
                outcome,
                ProbeOutcome::Silent(_) | ProbeOutcome::Myself | ProbeOutcome::NoMember(_)
            )
        };
        self.is_complete() && self.outcomes().all(|(_, outcome)| empty(outcome))
    }

    /// The nodes without a cluster that answered, with the address of each.
    pub(crate) fn no_members(&self) -> impl Iterator<Item = (&String, &Pong)> {
        self.outcomes().filter_map(|(address, outcome)| match outcome {
            ProbeOutcome::NoMember(pong) => Some((address, &**pong)),
            _ => None,
        })
    }

    /// What the cluster with this id has refused for good. Nobody else's refusal counts for a node that belongs to it.
    pub(crate) fn refusal_of(&self, own: &str) -> Option<Error> {
        self.refusals()
            .find(|(_, _, cluster_id)| !own.is_empty() && *cluster_id == own)
            .map(|(address, error, _)| refused(address, error))
    }

    /// A refusal that decides for a node without a past: no configured address is left at which another cluster could
    /// be found, the one that this node was meant for.
    pub(crate) fn settled_refusal(&self) -> Option<Error> {
        if !self.is_complete() {
            return None;
        }
        let is_settled = |address: &String| {
            let Some(candidate) = self.candidates.get(address) else {
                // This node's own, which is not asked.
                return true;
            };
            self.of_refusing.contains(address)
                || match &candidate.outcome {
                    Some(ProbeOutcome::Refused { error, .. }) => is_final(error),
                    Some(ProbeOutcome::Myself) => true,
                    _ => false,
                }
        };
        if !self.configured.values().flatten().all(is_settled) {
            return None;
        }
        self.any_refusal()
    }

    /// Any final refusal, the most telling first.
    fn any_refusal(&self) -> Option<Error> {
        let (address, error, _) = self
            .refusals()
            .min_by_key(|(_, error, _)| error.code() == ErrorCode::WrongCluster)?;
        Some(refused(address, error))
    }

    fn refusals(&self) -> impl Iterator<Item = (&String, &Error, &str)> {
        self.outcomes().filter_map(|(address, outcome)| match outcome {
            ProbeOutcome::Refused { error, cluster_id } if is_final(error) => {
                Some((address, error, cluster_id.as_str()))
            }
            _ => None,
        })
    }

    /// Why nobody let this node in within `timeout`: the refusal where there is one, else what each address answered.
    pub(crate) fn failure(&self, timeout: Duration) -> Error {
        match self.any_refusal() {
            Some(error) => error,
            None => Error::new(
                ErrorCode::JoinFailed,
                format!(
                    "no member let this node in within {timeout:?}: {}",
                    self.describe()
                ),
            ),
        }
    }

    /// What each address answered, for people.
    pub(crate) fn describe(&self) -> String {
        let said = |address: &String, outcome: &ProbeOutcome| match outcome {
            ProbeOutcome::Silent(error)
            | ProbeOutcome::Stranger(error)
            | ProbeOutcome::Refused { error, .. }
            | ProbeOutcome::Alive(error) => format!("{address}: {error}"),
            ProbeOutcome::Myself => format!("{address}: this node itself"),
            ProbeOutcome::NoMember(pong) => {
                format!("{address}: node {:?} has not joined a cluster yet", pong.node_id)
            }
        };
        let mut told: Vec<String> = Vec::new();
        for (address, candidate) in &self.candidates {
            told.push(match &candidate.outcome {
                Some(outcome) => said(address, outcome),
                None => format!("{address}: no answer yet"),
            });
        }
        for (name, _) in self.configured.iter().filter(|(_, found)| found.is_empty()) {
            told.push(format!("{name}: the name is not resolved yet"));
        }
        if told.is_empty() {
            return "there was no address to ask; set join_addr to a member's".to_owned();
        }
        told.join("; ")
    }
}

fn refused(address: &str, error: &Error) -> Error {
    error.clone().context(format!("{address} refused the join"))
}

/// True for a refusal that asking the same cluster again will not change.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::ClusterMismatch
            | ErrorCode::WrongCluster
            | ErrorCode::DuplicateNode
            | ErrorCode::Removed
            | ErrorCode::Corrupt
            | ErrorCode::Version
            | ErrorCode::Unauthenticated
            | ErrorCode::InvalidArgument
    )
}
