//! When this node stands for election: openraft's own timer is off.
//!
//! Silence of the leader is counted in this node's own time: a timer that comes late (a machine with too much to do, a
//! container that is throttled, a process that was stopped) counts for little more than it was set to, because a node that
//! did not run did not listen either. What arrived meanwhile is heard before the next time it fires.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use rand::RngExt;

use super::lateness::{Lateness, stretch_for};
use super::pledge::Pledges;
use super::replica::Replica;
use super::state_machine::Raft;
use super::types::{RaftId, Vote};
use crate::env::{self, Instant};
use crate::options::TimingValues;
use crate::planted::planted;

/// A node that rests stands for election all the same when it has heard of no leader for so many of the longest
/// election timeouts: it may be the only one that has every entry, and then nobody else can lead.
const PATIENCE: u32 = 10;

/// Decides when this node stands for election.
pub(super) struct ElectionTimer {
    raft: Raft,
    me: RaftId,
    timing: TimingValues,
    replica: Arc<Replica>,
    pledges: Arc<Pledges>,
    lateness: Arc<Lateness>,
    /// Deadline before which this node must not stand by itself: it restarted, and has forgotten the lease that it granted.
    guard: Option<Instant>,
    /// Deadline before which others are to lead.
    rests_until: Mutex<Option<Instant>>,
}

/// The silence of the leader, as this node counts it.
#[derive(Debug)]
struct Silence {
    counted: Duration,
    /// When a leader was last heard of.
    heard: Option<Instant>,
    /// For whom this node votes, as far as is known here.
    vote: Option<Vote>,
    /// The random part of the present timeout, in thousandths of the range.
    chance: u32,
}

impl Silence {
    /// So much time of this node's has passed, and so much is known now.
    fn pass(&mut self, time: Duration, now: Instant, heard: Option<Instant>, vote: Vote, lease: Duration) {
        self.counted += time;
        if heard > self.heard {
            self.heard = heard;
            let since = heard.map_or(Duration::ZERO, |at| now.since(at));
            self.counted = self.counted.min(since);
        }
        if self.vote.is_some_and(|before| before != vote) {
            // Somebody has won, and will be heard; or stands for election, and gets the random part of a timeout to win.
            self.counted = if vote.committed { Duration::ZERO } else { lease };
        }
        self.vote = Some(vote);
    }

    /// It stands for election now; the next time is after another random timeout.
    fn stood(&mut self, lease: Duration, chance: u32) {
        self.counted = lease;
        self.chance = chance;
    }
}

impl ElectionTimer {
    /// The timer of a node; one that restarts does not stand before it has been `guarded` for so long.
    pub(super) fn new(
        raft: Raft,
        me: RaftId,
        timing: TimingValues,
        replica: Arc<Replica>,
        pledges: Arc<Pledges>,
        lateness: Arc<Lateness>,
        guarded: Option<Duration>,
    ) -> Self {
        ElectionTimer {
            raft,
            me,
            timing,
            replica,
            pledges,
            lateness,
            guard: guarded.map(|time| Instant::now() + time),
            rests_until: Mutex::default(),
        }
    }

    /// Does not stand for election for `duration` from now on, or for as long as it does not anyway where that is longer;
    /// but not while nobody leads. Handed leadership, it takes it all the same.
    pub(super) fn rest(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut rests = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *rests = Some(rests.map_or(until, |present| present.max(until)));
    }

    fn rests(&self, now: Instant) -> bool {
        let rests = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rests.is_some_and(|until| now < until)
    }

    /// By how much timeouts are stretched here: as the cluster agrees, or more where this node sees more.
    fn stretch(&self) -> u32 {
        let own = stretch_for(
            self.lateness.delay(),
            self.timing.election_min,
            self.timing.election_max,
        );
        self.replica.topology().election_stretch().max(own)
    }

    fn chance() -> u32 {
        env::runtime::rng().random_range(0..1000)
    }

    /// The longest part of a timeout: for so long nobody stands after a leader was heard of.
    fn lease(&self, stretch: u32) -> Duration {
        self.timing.election_max * stretch
    }

    /// The silence after which this node stands.
    fn timeout(&self, stretch: u32, chance: u32) -> Duration {
        let range = self.timing.election_max.saturating_sub(self.timing.election_min);
        self.lease(stretch) + (self.timing.election_min + range * chance / 1000) * stretch
    }

    /// Runs until Raft stops.
    pub(super) async fn run(self: Arc<Self>) {
        // What it is told of is little: state, vote and voters, not every entry.
        let mut changes = self.raft.server_metrics();
        let tick = self.timing.heartbeat;
        let mut last = Instant::now();
        let mut silence = Silence {
            // Nobody has been heard of yet, and perhaps there is nobody; the others may be starting just as well.
            counted: self.timing.election_max / 2,
            heard: None,
            vote: None,
            chance: Self::chance(),
        };
        loop {
            let now = Instant::now();
            let passed = now.since(last);
            last = now;
            let counted = self.lateness.listened(passed);
            let left = self.look(&mut silence, counted, passed <= tick * 2, now).await;
            let due = now + left.min(tick).max(Duration::from_millis(1));
            let alive = tokio::select! {
                biased;
                changed = changes.changed() => changed.is_ok(),
                () = env::sleep_until(due) => {
                    self.lateness.timer_was_late(Instant::now().since(due));
                    true
                }
            };
            if !alive {
                return;
            }
        }
    }

    /// Stands for election where it is time; gives how long it is until then. A timer that was far too late decides
    /// nothing: what arrived meanwhile may not have been heard yet.
    async fn look(&self, silence: &mut Silence, counted: Duration, in_time: bool, now: Instant) -> Duration {
        let (state, vote, voters) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<RaftId> = metrics.membership_config.voter_ids().collect();
            (metrics.state, metrics.vote, voters)
        };
        if voters.is_empty() {
            // Raft has not read its log yet, or nobody has told this node who votes.
            return self.timing.heartbeat;
        }
        let stretch = self.stretch();
        let lease = self.lease(stretch);
        let heard = self.pledges.heard().map(|(_, at)| at);
        silence.pass(counted, now, heard, vote, lease);
        if !voters.contains(&self.me) || matches!(state, ServerState::Leader | ServerState::Shutdown) {
            silence.counted = Duration::ZERO;
            return self.timing.heartbeat;
        }
        if voters.len() == 1 {
            // The lease that it may have forgotten was its own.
            if state != ServerState::Candidate {
                self.stand(false).await;
            }
            return self.timing.heartbeat;
        }
        if self.guard.is_some_and(|until| now < until)
            || self.rests(now) && silence.counted < lease * PATIENCE
        {
            return self.timing.heartbeat;
        }
        let timeout = self.timeout(stretch, silence.chance);
        if silence.counted < timeout {
            return timeout - silence.counted;
        }
        if in_time || planted("late-timers-count") {
            silence.stood(lease, Self::chance());
            self.stand(true).await;
        }
        self.timing.heartbeat
    }

    async fn stand(&self, pre_vote: bool) {
        // An error says that Raft has stopped, which the metrics say as well.
        drop(self.raft.trigger().elect(pre_vote).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::from_wal_vote;
    use crate::consensus::wal;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const LEASE: Duration = ms(300);

    fn vote(term: u64, committed: bool) -> Vote {
        from_wal_vote(wal::Vote {
            term,
            node: 1,
            committed,
        })
    }

    fn silence() -> Silence {
        Silence {
            counted: ms(0),
            heard: None,
            vote: Some(vote(1, false)),
            chance: 0,
        }
    }

    #[test]
    fn silence_counts_from_when_the_leader_was_heard_of_in_time_that_this_node_was_there() {
        let mut silence = silence();
        silence.pass(ms(50), at(1_000), Some(at(990)), vote(1, false), LEASE);
        assert_eq!(silence.counted, ms(10));
        silence.pass(ms(50), at(1_050), Some(at(990)), vote(1, false), LEASE);
        assert_eq!(silence.counted, ms(60));
        // It was away for a second, and a message came in the middle of that.
        silence.pass(ms(75), at(2_050), Some(at(1_500)), vote(1, false), LEASE);
        assert_eq!(silence.counted, ms(135));
        silence.pass(ms(50), at(2_100), Some(at(2_090)), vote(1, false), LEASE);
        assert_eq!(silence.counted, ms(10));
    }

    #[test]
    fn whoever_stands_gets_the_random_part_of_a_timeout_to_win() {
        let mut silence = silence();
        silence.pass(ms(500), at(500), None, vote(1, false), LEASE);
        assert_eq!(silence.counted, ms(500));
        silence.pass(ms(50), at(550), None, vote(7, false), LEASE);
        assert_eq!(silence.counted, LEASE);
        silence.pass(ms(50), at(600), None, vote(7, false), LEASE);
        assert_eq!(silence.counted, ms(350));
        silence.pass(ms(50), at(650), None, vote(7, true), LEASE);
        assert_eq!(silence.counted, ms(0));
        silence.stood(LEASE, 5);
        assert_eq!((silence.counted, silence.chance), (LEASE, 5));
    }
}
