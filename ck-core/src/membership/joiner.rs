//! The joining node's side: asks all known addresses in parallel until a member admits the node.
//!
//! Each address has a pause and a deadline of its own, so silent addresses delay a good one only by the stagger between
//! the first requests ("happy eyeballs"). A member receives a join only after it has answered a ping, which is small;
//! the presumed leader is asked first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rand::RngExt;

use super::AddressBook;
use super::discovery::{Candidate, Discovery, ProbeOutcome, is_final};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Lane;
use crate::rpc::{
    JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberRequest, PeerClient, Pong, ProcessTag,
};

/// How long an address may take to answer a ping: longer than a connection and a handshake may take, so that an address
/// without a node can be told from a node that does not answer.
const PING_TIMEOUT: Duration = Duration::from_secs(6);
/// How long one member may take to admit the node; it has to dial back and to commit.
const JOIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one member may take to answer a join before another is asked in parallel.
const JOIN_STAGGER: Duration = Duration::from_millis(500);
/// How long the first address may take before the next is asked in parallel; halved each time after.
const FIRST_STAGGER: Duration = Duration::from_millis(50);
const SHORTEST_STAGGER: Duration = Duration::from_millis(5);
/// The first and the longest pause before an address is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Asks members to admit this node.
pub(crate) struct Joiner {
    pub(crate) peers: PeerClient,
    pub(crate) addresses: Arc<AddressBook>,
    /// The configured addresses; names are resolved again and again.
    pub(crate) join_addrs: Vec<String>,
    /// This node's own addresses, which are not asked.
    pub(crate) own: BTreeSet<String>,
    /// The address of the presumed leader, which is asked first.
    pub(crate) leader: Option<String>,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<T> {
    /// A member admitted this node.
    Admitted(JoinReply),
    /// The caller decided to end the search.
    Decided(T),
}

enum JoinerEvent {
    Resolved(String, Vec<String>),
    Pinged(String, Result<Pong>),
    Joined(String, Result<JoinAnswer>),
}

/// When the next address may be asked for the first time.
struct Stagger {
    next: Instant,
    pause: Duration,
}

impl Stagger {
    fn begin(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.pause = (self.pause / 2).max(SHORTEST_STAGGER);
    }
}

impl Joiner {
    /// Asks until a member admits this node, or until `decide`, which is called after every event, returns a decision.
    /// The search has no deadline of its own.
    pub(crate) async fn search<T>(
        &self,
        request: &JoinRequest,
        discovery: &mut Discovery,
        mut decide: impl FnMut(&Discovery) -> Option<T> + Send,
    ) -> Found<T> {
        let mut running: FuturesUnordered<BoxFuture<'_, JoinerEvent>> = FuturesUnordered::new();
        let now = Instant::now();
        let mut lookups: BTreeMap<&String, (Instant, Duration)> = BTreeMap::new();
        for name in &self.join_addrs {
            discovery.configured.entry(name.clone()).or_default();
            lookups.insert(name, (now, FIRST_PAUSE));
        }
        let mut stagger = Stagger {
            next: now,
            pause: FIRST_STAGGER,
        };
        let mut members: VecDeque<String> = VecDeque::new();
        let mut joins = 0_usize;
        let mut next_join = now;
        loop {
            self.refresh(discovery);
            if let Some(decision) = decide(discovery) {
                return Found::Decided(decision);
            }
            let now = Instant::now();
            for (name, (due, pause)) in &mut lookups {
                if now >= *due {
                    // Keeps the name from being resolved twice at once. The answer sets the time of the next lookup.
                    *due = now + PING_TIMEOUT;
                    *pause = (*pause * 2).min(LONGEST_PAUSE);
                    running.push(self.look_up(name).boxed());
                }
            }
            while let Some(address) = self.next_to_ping(discovery, now, stagger.next) {
                if discovery
                    .candidates
                    .get(&address)
                    .is_some_and(|one| one.outcome.is_none())
                {
                    stagger.begin(now);
                }
                running.push(self.ping(address, request).boxed());
            }
            if (joins == 0 || now >= next_join)
                && let Some(address) = members.pop_front()
            {
                joins += 1;
                next_join = now + JOIN_STAGGER;
                running.push(self.ask(address, request).boxed());
            }
            let wake = self.next_moment(
                discovery,
                &lookups,
                &stagger,
                (!members.is_empty()).then_some(next_join),
            );
            let event = tokio::select! {
                biased;
                event = running.next(), if !running.is_empty() => event,
                () = env::sleep_until(wake) => None,
            };
            match event {
                None => {}
                Some(JoinerEvent::Resolved(name, addresses)) => {
                    if let Some((due, pause)) = lookups.get_mut(&name) {
                        *due = Instant::now() + jittered(*pause);
                    }
                    discovery.configured.insert(name, addresses);
                }
                Some(JoinerEvent::Pinged(address, answer)) => match judge(request, answer) {
                    Some(outcome) => discovery.settle(&address, outcome),
                    None => members.push_back(address),
                },
                Some(JoinerEvent::Joined(address, answer)) => {
                    joins = joins.saturating_sub(1);
                    match self.record_answer(request, discovery, answer) {
                        Ok(reply) => return Found::Admitted(reply),
                        Err(outcome) => discovery.settle(&address, outcome),
                    }
                }
            }
        }
    }

    /// Updates the addresses to ask: the presumed leader, the known members, and the configured addresses.
    fn refresh(&self, discovery: &mut Discovery) {
        let known = self.addresses.entries().into_iter().map(|peer| peer.address);
        let configured = discovery.configured.values().flatten().cloned();
        let wanted: BTreeSet<String> = self
            .leader
            .iter()
            .cloned()
            .chain(known)
            .chain(configured)
            .filter(|address| !self.own.contains(address))
            .collect();
        discovery
            .candidates
            .retain(|address, candidate| candidate.busy || wanted.contains(address));
        for address in wanted {
            discovery.candidates.entry(address).or_insert_with(Candidate::new);
        }
    }

    /// An address to ping now, the leader's first. An address that was never asked waits for `turn`.
    fn next_to_ping(&self, discovery: &mut Discovery, now: Instant, turn: Instant) -> Option<String> {
        let is_due = |candidate: &Candidate| {
            !candidate.busy && now >= candidate.due && (candidate.outcome.is_some() || now >= turn)
        };
        let leader = self.leader.as_ref().filter(|leader| {
            let asked = discovery.candidates.get(*leader);
            asked.is_some_and(is_due)
        });
        let address = match leader {
            Some(leader) => leader.clone(),
            None => {
                let due = discovery.candidates.iter().filter(|(_, one)| is_due(one));
                due.min_by_key(|(_, one)| one.due)?.0.clone()
            }
        };
        discovery.candidates.get_mut(&address)?.busy = true;
        Some(address)
    }

    fn next_moment(
        &self,
        discovery: &Discovery,
        lookups: &BTreeMap<&String, (Instant, Duration)>,
        stagger: &Stagger,
        next_join: Option<Instant>,
    ) -> Instant {
        let idle = discovery.candidates.values().filter(|candidate| !candidate.busy);
        let asked = idle.map(|candidate| match candidate.outcome {
            Some(_) => candidate.due,
            None => candidate.due.max(stagger.next),
        });
        let looked_up = lookups.values().map(|(due, _)| *due);
        asked
            .chain(looked_up)
            .chain(next_join)
            .min()
            .unwrap_or_else(|| Instant::now() + LONGEST_PAUSE)
    }

    async fn look_up(&self, name: &str) -> JoinerEvent {
        JoinerEvent::Resolved(name.to_owned(), self.peers.resolve(name).await)
    }

    async fn ping(&self, address: String, request: &JoinRequest) -> JoinerEvent {
        let answer = self
            .call(&address, Lane::Control, MemberCall::Ping, request, PING_TIMEOUT)
            .await;
        let pong = answer.and_then(|answer| answer.into_reply()?.into_pong());
        JoinerEvent::Pinged(address, pong)
    }

    async fn ask(&self, address: String, request: &JoinRequest) -> JoinerEvent {
        let call = MemberCall::Join(Box::new(request.clone()));
        let answer = self
            .call(&address, Lane::Request, call, request, JOIN_TIMEOUT)
            .await;
        JoinerEvent::Joined(address, answer.and_then(MemberAnswer::into_join))
    }

    /// Makes a call in the name of the cluster that this node's data belongs to, if there is one.
    async fn call(
        &self,
        address: &str,
        lane: Lane,
        call: MemberCall,
        request: &JoinRequest,
        timeout: Duration,
    ) -> Result<MemberAnswer> {
        let cluster = request.cluster_id.clone().unwrap_or_default();
        let request = MemberRequest::new(cluster, None, call);
        self.peers.call(address, lane, &request, timeout).await
    }

    /// Evaluates a member's answer to a join: the reply to a successful join, or the outcome for its address.
    fn record_answer(
        &self,
        request: &JoinRequest,
        discovery: &mut Discovery,
        answer: Result<JoinAnswer>,
    ) -> std::result::Result<JoinReply, ProbeOutcome> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(sign_of_life(error)),
        };
        let own = request.cluster_id.as_deref();
        if own.is_some_and(|own| own != answer.cluster_id) {
            return Err(ProbeOutcome::Stranger(another_cluster(&answer.cluster_id)));
        }
        let refused = own.is_none() && answer.result.as_ref().is_err_and(is_final);
        for peer in answer.peers {
            if refused {
                // Addresses of a cluster that this node may never belong to: they are recorded, and not asked.
                discovery.of_refusing.insert(peer.address);
            } else {
                self.addresses.learn(peer);
            }
        }
        answer.result.map_err(|error| ProbeOutcome::Refused {
            error,
            cluster_id: answer.cluster_id,
        })
    }
}

impl Candidate {
    fn new() -> Self {
        Candidate {
            outcome: None,
            due: Instant::now(),
            pause: FIRST_PAUSE,
            busy: false,
        }
    }
}

impl Discovery {
    /// Records the outcome for an address, which is asked again after a pause.
    fn settle(&mut self, address: &str, outcome: ProbeOutcome) {
        let candidate = self
            .candidates
            .entry(address.to_owned())
            .or_insert_with(Candidate::new);
        candidate.busy = false;
        candidate.outcome = Some(outcome);
        candidate.due = Instant::now() + jittered(candidate.pause);
        candidate.pause = (candidate.pause * 2).min(LONGEST_PAUSE);
    }
}

/// The pause with jitter, so that nodes that started together do not keep asking together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * env::runtime::rng().random::<f64>())
}

/// Evaluates the answer to a ping; `None` for a member of a cluster that may be this node's, which is then asked to
/// admit it.
fn judge(request: &JoinRequest, answer: Result<Pong>) -> Option<ProbeOutcome> {
    let pong = match answer {
        Ok(pong) => pong,
        Err(error) if error.code() == ErrorCode::Unreachable => return Some(ProbeOutcome::Silent(error)),
        // The handshake found another cluster name: a node that belongs to a cluster ignores such nodes.
        Err(error) if error.code() == ErrorCode::WrongCluster && request.cluster_id.is_some() => {
            return Some(ProbeOutcome::Stranger(error));
        }
        Err(error) => {
            return Some(match error.code() {
                ErrorCode::WrongCluster | ErrorCode::Version | ErrorCode::Unauthenticated => {
                    ProbeOutcome::Refused {
                        error,
                        cluster_id: String::new(),
                    }
                }
                _ => ProbeOutcome::Alive(error),
            });
        }
    };
    if pong.node_id == request.spec.id && pong.tag == ProcessTag::of(request.spec.process) {
        return Some(ProbeOutcome::Myself);
    }
    if pong.cluster_id.is_empty() {
        return Some(ProbeOutcome::NoMember(Box::new(pong)));
    }
    if request
        .cluster_id
        .as_ref()
        .is_some_and(|own| *own != pong.cluster_id)
    {
        return Some(ProbeOutcome::Stranger(another_cluster(&pong.cluster_id)));
    }
    None
}

/// The outcome of a failed join at an address that has answered a ping: a node is there, unless the address is
/// unreachable now.
fn sign_of_life(error: Error) -> ProbeOutcome {
    match error.code() {
        ErrorCode::Unreachable => ProbeOutcome::Silent(error),
        _ => ProbeOutcome::Alive(error),
    }
}

fn another_cluster(id: &str) -> Error {
    Error::new(
        ErrorCode::WrongCluster,
        format!("a node of another cluster answers there, of cluster id {id:?}"),
    )
}
