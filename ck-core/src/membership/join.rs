//! The joining node's side: asking every address there is, until one lets it in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::{AddressBook, JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberRequest};
use crate::consensus::Service;
use crate::consensus::{decode, encode};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::{Lane, Transport};

/// How long one member may take to answer; it has to dial back and to commit.
const ATTEMPT: Duration = Duration::from_secs(8);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Asks to be let in.
pub(crate) struct Joiner {
    transport: Arc<dyn Transport>,
    addresses: Arc<AddressBook>,
    /// The configured addresses; names are looked up at every attempt.
    join_addrs: Vec<String>,
    /// This node's own addresses, which are not asked.
    own: BTreeSet<String>,
}

/// How asking went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JoinOutcome {
    /// Let in.
    Admitted(JoinReply),
    /// Nobody let it in; what each address said last.
    Nobody(Vec<(String, Error)>),
}

impl Joiner {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        addresses: Arc<AddressBook>,
        join_addrs: Vec<String>,
        own: BTreeSet<String>,
    ) -> Self {
        Joiner {
            transport,
            addresses,
            join_addrs,
            own,
        }
    }

    /// Asks until somebody says yes, somebody says a no that is final, or the deadline passes.
    ///
    /// # Errors
    /// The refusal; or [`ErrorCode::JoinFailed`] with every address and what it answered.
    pub(crate) async fn join(&self, request: &JoinRequest, timeout: Duration) -> Result<JoinReply> {
        let deadline = Instant::now() + timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let failures = match self.ask_everybody(request, deadline).await? {
                JoinOutcome::Admitted(reply) => return Ok(reply),
                JoinOutcome::Nobody(failures) => failures,
            };
            if Instant::now() + pause >= deadline {
                return Err(nobody(&failures, timeout));
            }
            // Jitter, so that nodes that were started together do not ask together for ever.
            let jittered = pause.mul_f64(0.5 + 0.5 * env::runtime::rng().random::<f64>());
            env::sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks every address once.
    ///
    /// # Errors
    /// A refusal that asking again will not change.
    pub(crate) async fn ask_everybody(
        &self,
        request: &JoinRequest,
        deadline: Instant,
    ) -> Result<JoinOutcome> {
        let mut failures = Vec::new();
        let mut asked = BTreeSet::new();
        let mut configured = Vec::new();
        for address in &self.join_addrs {
            // Each record of a name is asked by itself: the first to answer may be no member, or this node.
            configured.extend(self.transport.resolve(address).await);
        }
        loop {
            // Looked at anew each time: an answer may have told of others.
            let next = self
                .candidates(&configured)
                .into_iter()
                .find(|address| !asked.contains(address));
            let Some(address) = next else {
                return Ok(JoinOutcome::Nobody(failures));
            };
            asked.insert(address.clone());
            let remaining = deadline.since(Instant::now()).min(ATTEMPT);
            match self.ask(&address, request, remaining).await {
                Ok(reply) => return Ok(JoinOutcome::Admitted(reply)),
                Err(error) if is_final(&error) => {
                    return Err(error.context(format!("{address} refused the join")));
                }
                Err(error) => failures.push((address, error)),
            }
            if Instant::now() >= deadline {
                return Ok(JoinOutcome::Nobody(failures));
            }
        }
    }

    fn candidates(&self, configured: &[String]) -> Vec<String> {
        let known = self.addresses.entries().into_iter().map(|peer| peer.address);
        let all = configured.iter().cloned().chain(known);
        all.filter(|address| !self.own.contains(address)).collect()
    }

    async fn ask(&self, address: &str, request: &JoinRequest, timeout: Duration) -> Result<JoinReply> {
        let request = MemberRequest {
            cluster: request.cluster_id.clone().unwrap_or_default(),
            forwarded: false,
            call: MemberCall::Join(Box::new(request.clone())),
        };
        let body = Service::Member.envelope(&encode(&request)?);
        let answer = self.transport.call(address, Lane::Request, body, timeout).await?;
        match decode(&answer, "the answer to a join")? {
            MemberAnswer::Join(answer) => {
                let JoinAnswer { result, peers } = *answer;
                for peer in peers {
                    self.addresses.learn(peer);
                }
                result
            }
            MemberAnswer::Refused(error) => Err(error),
            other => Err(Error::new(
                ErrorCode::Version,
                format!("a join was answered with {other:?}"),
            )),
        }
    }
}

/// True for a refusal that asking again, or asking somebody else, will not change.
fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::ClusterMismatch
            | ErrorCode::WrongCluster
            | ErrorCode::DuplicateNode
            | ErrorCode::Removed
            | ErrorCode::Version
            | ErrorCode::Unauthenticated
            | ErrorCode::InvalidArgument
    )
}

fn nobody(failures: &[(String, Error)], timeout: Duration) -> Error {
    let tried: Vec<String> = failures
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    let what = if tried.is_empty() {
        "there was no address to ask; set join_addr to a member's".to_owned()
    } else {
        tried.join("; ")
    };
    Error::new(
        ErrorCode::JoinFailed,
        format!("no member let this node in within {timeout:?}: {what}"),
    )
}
