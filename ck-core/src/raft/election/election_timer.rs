//! The election timer. openraft's own election timer is disabled.
//!
//! The silence of the leader is counted in time that this node ran. A timer that fires late (a busy machine, a
//! throttled container, a stopped process) counts for little more than its interval, because a node that did not run
//! did not listen either. Messages that arrived meanwhile are handled before the timer fires next.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use rand::RngExt;

use super::lateness::{Lateness, stretch_for};
use super::pledge::Pledges;
use crate::env::{self, Instant};
use crate::options::TimingValues;
use crate::raft::applied_state::AppliedState;
use crate::raft::storage::state_machine::Raft;
use crate::raft::types::{RaftId, Vote};

/// A node that holds its elections campaigns anyway after a silence of this many of the longest election timeouts: it
/// may be the only node with every entry, and then no other node can lead.
const MAX_HELD_TIMEOUTS: u32 = 10;

/// Decides when this node campaigns.
pub(in crate::raft) struct ElectionTimer {
    raft: Raft,
    me: RaftId,
    timing: TimingValues,
    applied: Arc<AppliedState>,
    pledges: Arc<Pledges>,
    lateness: Arc<Lateness>,
    /// Deadline before which this node must not campaign: it restarted, and no longer knows what it had pledged.
    restart_hold: Option<Instant>,
    /// Deadline before which this node leaves elections to others.
    held_until: Mutex<Option<Instant>>,
}

/// The silence of the leader, as this node counts it.
#[derive(Debug)]
struct Silence {
    counted: Duration,
    /// When this node last heard from a leader.
    heard: Option<Instant>,
    /// The vote of this node.
    vote: Option<Vote>,
    /// The random part of the present election timeout, in thousandths of the range.
    chance: u32,
}

impl Silence {
    /// Adds `time` to the silence. Resets it if this node heard from a leader or its vote has changed.
    fn pass(&mut self, time: Duration, now: Instant, heard: Option<Instant>, vote: Vote, lease: Duration) {
        self.counted += time;
        if heard > self.heard {
            self.heard = heard;
            let since = heard.map_or(Duration::ZERO, |at| now.since(at));
            self.counted = self.counted.min(since);
        }
        if self.vote.is_some_and(|before| before != vote) {
            // A committed vote belongs to a leader, which will send messages. Any other vote belongs to a candidate,
            // which gets the random part of a timeout to win.
            self.counted = if vote.committed { Duration::ZERO } else { lease };
        }
        self.vote = Some(vote);
    }

    /// Restarts the count, because the node campaigns now. Its next campaign follows after another random timeout.
    fn campaigned(&mut self, lease: Duration, chance: u32) {
        self.counted = lease;
        self.chance = chance;
    }
}

impl ElectionTimer {
    /// The timer of a node. A node that restarted does not campaign before `restart_hold` has passed.
    pub(in crate::raft) fn new(
        raft: Raft,
        me: RaftId,
        timing: TimingValues,
        applied: Arc<AppliedState>,
        pledges: Arc<Pledges>,
        lateness: Arc<Lateness>,
        restart_hold: Option<Duration>,
    ) -> Self {
        ElectionTimer {
            raft,
            me,
            timing,
            applied,
            pledges,
            lateness,
            restart_hold: restart_hold.map(|time| Instant::now() + time),
            held_until: Mutex::default(),
        }
    }

    /// Keeps this node from campaigning for `duration` from now on; a longer hold that is in force stays. The hold ends
    /// early if there is no leader for long, and does not keep the node from taking leadership that is transferred to
    /// it.
    pub(in crate::raft) fn hold_for(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut held = self.held_until.lock();
        *held = Some(held.map_or(until, |present| present.max(until)));
    }

    fn is_held(&self, now: Instant) -> bool {
        let held = *self.held_until.lock();
        held.is_some_and(|until| now < until)
    }

    /// The factor that timeouts are stretched by: the factor that the cluster agreed on, or this node's own if it
    /// observes longer delays.
    fn stretch(&self) -> u32 {
        let own = stretch_for(
            self.lateness.delay(),
            self.timing.election_min,
            self.timing.election_max,
        );
        self.applied.topology().election_stretch().max(own)
    }

    fn chance() -> u32 {
        env::runtime::rng().random_range(0..1000)
    }

    /// The fixed part of a timeout: no node campaigns for this long after it heard from a leader.
    fn lease(&self, stretch: u32) -> Duration {
        self.timing.election_max * stretch
    }

    /// The silence after which this node campaigns.
    fn timeout(&self, stretch: u32, chance: u32) -> Duration {
        let range = self.timing.election_max.saturating_sub(self.timing.election_min);
        self.lease(stretch) + (self.timing.election_min + range * chance / 1000) * stretch
    }

    /// Runs until Raft stops.
    pub(in crate::raft) async fn run(self: Arc<Self>) {
        // These metrics change with the state, the vote and the voters, and not with every entry.
        let mut changes = self.raft.server_metrics();
        let tick = self.timing.heartbeat;
        let mut last = Instant::now();
        let mut silence = Silence {
            // No leader was heard from yet, and perhaps there is none. The other nodes may be starting as well.
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
            let left = self.tick(&mut silence, counted, passed <= tick * 2, now).await;
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

    /// Campaigns if it is due. The result is the time until then. A timer that fired far too late decides nothing,
    /// because messages that arrived meanwhile may not have been handled yet.
    async fn tick(&self, silence: &mut Silence, counted: Duration, in_time: bool, now: Instant) -> Duration {
        let (state, vote, voters) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<RaftId> = metrics.membership_config.voter_ids().collect();
            (metrics.state, metrics.vote, voters)
        };
        if voters.is_empty() {
            // Raft has not read its log yet, or this node does not know the voters yet.
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
            // Any pledge that a sole voter may have forgotten was to itself.
            if state != ServerState::Candidate {
                self.campaign(false).await;
            }
            return self.timing.heartbeat;
        }
        if self.restart_hold.is_some_and(|until| now < until)
            || self.is_held(now) && silence.counted < lease * MAX_HELD_TIMEOUTS
        {
            return self.timing.heartbeat;
        }
        let timeout = self.timeout(stretch, silence.chance);
        if silence.counted < timeout {
            return timeout - silence.counted;
        }
        if in_time || planted!("late-timers-count") {
            silence.campaigned(lease, Self::chance());
            self.campaign(true).await;
        }
        self.timing.heartbeat
    }

    async fn campaign(&self, pre_vote: bool) {
        // An error means that Raft has stopped, which the metrics report as well.
        drop(self.raft.trigger().elect(pre_vote).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::storage::wal;
    use crate::raft::types::from_wal_vote;

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
        // The node did not run for a second, and a message arrived in the middle of it.
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
        silence.campaigned(LEASE, 5);
        assert_eq!((silence.counted, silence.chance), (LEASE, 5));
    }
}
