//! What a leader says to the voters at every heartbeat, and what their answers are worth to it.
//!
//! Apart from openraft's own: there a heartbeat is an append, whose answer waits for the disk of whoever answers and is
//! thrown away when it comes later than the next heartbeat is due. Under load that ends the lease of a leader that is
//! alive. These are answered by [`Server`](super::rpc_server::Server) at once, and a late answer counts for what it is worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use openraft::async_runtime::WatchReceiver;

use super::network::Network;
use crate::env::{self, Instant};
use crate::options::TimingValues;
use crate::raft::applied_state::AppliedState;
use crate::raft::election::lateness::Lateness;
use crate::raft::election::leader_lease::leadership;
use crate::raft::election::quorum_acks::QuorumAcks;
use crate::raft::storage::state_machine::Raft;
use crate::raft::types::{RaftId, Vote};

/// An answer is waited for that many of the longest election timeouts: later it is worth nothing. It also bounds how many
/// heartbeats to one voter are on their way.
const ANSWER_TIMEOUTS: u32 = 4;

/// A leader that hears of no quorum speaks for so many of the longest election timeouts, and is silent for the rest of the
/// cycle: a voter stands after two, and takes a while to win.
const MUTE_AFTER: u128 = 2;
const MUTE_CYCLE: u128 = 5;

/// Set while this leader has not heard of a quorum for so long that others should take over: it falls silent towards
/// them, in case they hear it although it does not hear them.
#[derive(Debug, Default)]
pub(in crate::raft) struct Mute(AtomicBool);

impl Mute {
    pub(in crate::raft) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, mute: bool) {
        self.0.store(mute, Ordering::Release);
    }
}

/// Sends heartbeats for as long as this node leads.
pub(in crate::raft) struct Heartbeats {
    pub(in crate::raft) raft: Raft,
    pub(in crate::raft) me: RaftId,
    pub(in crate::raft) timing: TimingValues,
    pub(in crate::raft) applied: Arc<AppliedState>,
    pub(in crate::raft) acks: Arc<QuorumAcks>,
    pub(in crate::raft) lateness: Arc<Lateness>,
    pub(in crate::raft) mute: Arc<Mute>,
    pub(in crate::raft) network: Network,
}

/// For how long no quorum has answered, as this node counts it.
#[derive(Debug, Default)]
struct QuorumSilence {
    counted: Duration,
    /// When the newest message was sent that a quorum has acknowledged.
    acknowledged: Option<Instant>,
}

type Answer = (RaftId, Instant, Option<Duration>);

impl Heartbeats {
    /// Runs until Raft stops.
    pub(in crate::raft) async fn run(self) {
        let mut changes = self.raft.server_metrics();
        loop {
            if let Some(vote) = self.leads() {
                self.lead(vote).await;
                self.mute.set(false);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn leads(&self) -> Option<Vote> {
        leadership(&self.raft.metrics().borrow_watched(), self.me)
    }

    async fn lead(&self, vote: Vote) {
        let term = vote.leader_id.term;
        let mut calls: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
        let mut silence = QuorumSilence::default();
        let mut last = Instant::now();
        while self.leads() == Some(vote) {
            let now = Instant::now();
            self.listen(&mut silence, now.since(last), now, term);
            last = now;
            if !self.mute.is_set() {
                calls.extend(self.others().into_iter().map(|voter| self.call(voter, vote)));
            }
            let next = now + self.timing.heartbeat;
            loop {
                tokio::select! {
                    biased;
                    () = env::sleep_until(next) => break,
                    Some((voter, sent, pledged)) = calls.next() => {
                        if pledged.is_some() {
                            self.acks.record(voter, term, sent, pledged);
                        }
                    }
                }
            }
        }
    }

    fn call(&self, voter: RaftId, vote: Vote) -> BoxFuture<'static, Answer> {
        let peer = self.network.control(voter);
        let timeout = self.timing.election_max * ANSWER_TIMEOUTS;
        // Before it leaves: whoever takes it does so later.
        let sent = Instant::now();
        Box::pin(async move {
            // No answer is as good as one that pledges nothing.
            let pledged = peer.heartbeat(&vote, timeout).await.unwrap_or_default();
            (voter, sent, pledged)
        })
    }

    fn others(&self) -> Vec<RaftId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.voter_ids();
        voters.filter(|voter| *voter != self.me).collect()
    }

    /// Falls silent, and speaks again, by what was heard of a quorum: silent for as long as it takes others to elect, then
    /// speaking for as long, should it be heard again.
    fn listen(&self, silence: &mut QuorumSilence, passed: Duration, now: Instant, term: u64) {
        let acknowledged = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let configs = metrics.membership_config.get_joint_config();
            self.acks.quorum_acked_at(self.me, term, configs, now)
        };
        silence.counted += self.lateness.listened(passed);
        if acknowledged > silence.acknowledged {
            if let Some(sent) = acknowledged
                && silence.acknowledged.is_some()
            {
                self.lateness.heard_after(now.since(sent));
            }
            silence.acknowledged = acknowledged;
            silence.counted = Duration::ZERO;
        }
        let stretch = self.applied.topology().election_stretch();
        let unit = (self.timing.election_max * stretch).max(Duration::from_millis(1));
        let units = silence.counted.as_nanos() / unit.as_nanos();
        self.mute.set(units % MUTE_CYCLE >= MUTE_AFTER);
    }
}
