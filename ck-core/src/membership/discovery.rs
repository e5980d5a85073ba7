//! What a joining node has learnt from the addresses that it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::env::Instant;
use crate::error::{Error, ErrorCode};
use crate::rpc::Pong;

/// The outcome of the last request to an address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ProbeOutcome {
    /// No node is there: the connection was refused, timed out, or the name has no address.
    Silent(Error),
    /// This process itself answers there.
    Myself,
    /// A node that is not a member of any cluster yet.
    NoMember(Box<Pong>),
    /// A node of another cluster than the one that this node belongs to.
    Stranger(Error),
    /// A member whose cluster refused the join. `cluster_id` is empty where the member did not name it.
    Refused { error: Error, cluster_id: String },
    /// A node is there, and nothing else is known: no answer in time, no leader, too busy.
    Alive(Error),
}

/// One address, and when it is asked again.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) outcome: Option<ProbeOutcome>,
    pub(super) due: Instant,
    pub(super) pause: Duration,
    /// A request to the address is under way.
    pub(super) busy: bool,
}

/// Every address that is asked, with its last answer.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(super) began: Instant,
    pub(super) candidates: BTreeMap<String, Candidate>,
    /// The addresses that each configured name resolves to; empty until the first lookup.
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

    /// How long this node has been asking.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn outcomes(&self) -> impl Iterator<Item = (&String, &ProbeOutcome)> {
        let asked = self.candidates.iter();
        asked.filter_map(|(address, candidate)| Some((address, candidate.outcome.as_ref()?)))
    }

    /// True when every name has been resolved and every address has an outcome, silence included.
    fn is_complete(&self) -> bool {
        self.configured.values().all(|addresses| !addresses.is_empty())
            && self
                .candidates
                .values()
                .all(|candidate| candidate.outcome.is_some())
    }

    /// True when no sign of a cluster was found: every address is silent, or belongs to a node without a cluster. Any
    /// other answer, whatever it is, means that a cluster may exist.
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

    /// The final refusal by this node's own cluster, whose id is `own`. Other clusters' refusals do not count for its
    /// member.
    pub(crate) fn refusal_of(&self, own: &str) -> Option<Error> {
        self.refusals()
            .find(|(_, _, cluster_id)| !own.is_empty() && *cluster_id == own)
            .map(|(address, error, _)| refused(address, error))
    }

    /// The refusal that ends the search of a node that belongs to no cluster: every configured address belongs to a
    /// cluster that has refused it, or to the node itself, so the cluster that it was meant for cannot be at any of
    /// them.
    pub(crate) fn settled_refusal(&self) -> Option<Error> {
        if !self.is_complete() {
            return None;
        }
        let is_settled = |address: &String| {
            let Some(candidate) = self.candidates.get(address) else {
                // The node's own address, which is not asked.
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

    /// Any final refusal; [`ErrorCode::WrongCluster`] only where there is no other, because it says least.
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

    /// Why no member admitted this node within `timeout`: a final refusal where there is one, otherwise what each
    /// address answered.
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

/// True for a refusal that the same cluster would repeat.
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
