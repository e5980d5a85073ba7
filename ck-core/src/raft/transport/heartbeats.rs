//! The heartbeats that a leader sends to the voters, and what it learns from their answers.
//!
//! openraft has heartbeats of its own: appends, whose answer waits for the follower's disk and is dropped when it comes
//! after the next heartbeat is due. Under load this would end the lease of a leader that is alive. These heartbeats are
//! answered by [`Server`](super::rpc_server::Server) at once, and a late answer still counts from the time when its
//! heartbeat was sent.

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

/// The timeout of a heartbeat, in longest election timeouts: a later answer has no value. It also bounds how many
/// heartbeats to one voter are in flight.
const ANSWER_TIMEOUTS: u32 = 4;

/// A leader that no quorum acknowledges sends for this many of the longest election timeouts, and then is mute for the
/// rest of the cycle. A voter campaigns after two election timeouts without a leader, and needs time to win.
const MUTE_AFTER: u128 = 2;
const MUTE_CYCLE: u128 = 5;

/// Set while no quorum has acknowledged this leader for so long that the others should elect another. The leader then
/// sends them nothing, in case they receive its messages although it does not receive theirs.
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

/// Sends heartbeats while this node leads.
pub(in crate::raft) struct LeaderHeartbeats {
    pub(in crate::raft) raft: Raft,
    pub(in crate::raft) me: RaftId,
    pub(in crate::raft) timing: TimingValues,
    pub(in crate::raft) applied: Arc<AppliedState>,
    pub(in crate::raft) acks: Arc<QuorumAcks>,
    pub(in crate::raft) lateness: Arc<Lateness>,
    pub(in crate::raft) mute: Arc<Mute>,
    pub(in crate::raft) network: Network,
}

/// How long no quorum has answered, in time that this node ran.
#[derive(Debug, Default)]
struct QuorumSilence {
    counted: Duration,
    /// The send time of the newest message that a quorum has acknowledged.
    acknowledged: Option<Instant>,
}

type Answer = (RaftId, Instant, Option<Duration>);

impl LeaderHeartbeats {
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
        // Taken before the heartbeat is sent: the pledge of the voter begins when it receives it, which is later.
        let sent = Instant::now();
        Box::pin(async move {
            // A failed call counts like an answer that pledges nothing.
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

    /// Mutes and unmutes this leader by how long no quorum has answered: see [`MUTE_AFTER`] and [`MUTE_CYCLE`]. It
    /// stays mute long enough for the others to elect a leader, then sends again, in case they can receive it now.
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
