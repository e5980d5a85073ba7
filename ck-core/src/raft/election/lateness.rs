//! How late things are on this node: its own timers, what it hears of the leader, and what it hears of the quorum.
//!
//! A node that does not run cannot hear. What it missed meanwhile is its own silence and nobody else's: whoever waits for
//! another counts only the time in which this node was there to listen.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::env::Instant;
use crate::planted::planted;
use crate::state::MAX_STRETCH;

/// For how long a delay is remembered.
const DELAY_WINDOW: Duration = Duration::from_secs(10);
/// At most so many are.
const MAX_DELAYS: usize = 256;
/// No election timeout is stretched beyond this, however long it is by itself.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);
/// So many times the delays that are seen must fit into an election timeout.
const DELAYS_PER_TIMEOUT: u32 = 2;

/// The delays that this node has seen lately.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    heartbeat: Duration,
    election_max: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// For how long this node did not run although it should have, all in all.
    stalled: Duration,
    delays: VecDeque<(Instant, Duration)>,
}

impl Lateness {
    /// Nothing seen yet. A leader calls every `heartbeat`, and voters wait for it for `election_max` at least.
    pub(crate) fn new(heartbeat: Duration, election_max: Duration) -> Self {
        Lateness {
            heartbeat,
            election_max,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of the time that has `passed` since a timer of one heartbeat was set counts as another's silence: little
    /// more than that heartbeat, because a node that did not run did not listen either.
    pub(in crate::raft) fn listened(&self, passed: Duration) -> Duration {
        if planted("late-timers-count") {
            return passed;
        }
        passed.min(self.heartbeat * 3 / 2)
    }

    /// A timer of this node's own was late by so much.
    pub(in crate::raft) fn timer_was_late(&self, by: Duration) {
        // Timers are never exact.
        if by < self.heartbeat / 4 {
            return;
        }
        let mut seen = self.seen();
        seen.stalled += by;
        self.note(&mut seen, by);
    }

    /// The leader, or the quorum, was heard of again after so long. Longer than any timeout it was cut off, or dead: that
    /// says nothing about how long a living one takes.
    pub(in crate::raft) fn heard_after(&self, gap: Duration) {
        if gap < self.election_max * MAX_STRETCH {
            let delay = gap.saturating_sub(self.heartbeat);
            self.note(&mut self.seen(), delay);
        }
    }

    fn note(&self, seen: &mut Seen, delay: Duration) {
        // What is shorter changes nothing, and would crowd out what is longer.
        if delay < self.heartbeat / 2 {
            return;
        }
        if seen.delays.len() == MAX_DELAYS {
            seen.delays.pop_front();
        }
        seen.delays.push_back((Instant::now(), delay));
    }

    /// For how long this node did not run although it should have, since it started.
    pub(crate) fn stalled(&self) -> Duration {
        self.seen().stalled
    }

    /// The delay to reckon with: the second longest that was seen lately. A single one is an accident.
    pub(crate) fn delay(&self) -> Duration {
        let mut seen = self.seen();
        let now = Instant::now();
        while seen
            .delays
            .front()
            .is_some_and(|(at, _)| now.since(*at) > DELAY_WINDOW)
        {
            seen.delays.pop_front();
        }
        let (mut longest, mut second) = (Duration::ZERO, Duration::ZERO);
        for (_, delay) in &seen.delays {
            if *delay > longest {
                (longest, second) = (*delay, longest);
            } else {
                second = second.max(*delay);
            }
        }
        second
    }
}

/// By how much election timeouts are to be stretched so that delays of `delay` end no leadership: 1, 2, 4 or 8, and no
/// further than to five seconds.
pub(crate) fn stretch_for(delay: Duration, election_min: Duration, election_max: Duration) -> u32 {
    // The shortest silence after which a voter stands for election.
    let patience = election_max + election_min;
    let mut stretch = 1;
    while stretch * 2 <= MAX_STRETCH
        && election_max * (stretch * 2) <= LONGEST_TIMEOUT
        && patience * stretch < delay * DELAYS_PER_TIMEOUT
    {
        stretch *= 2;
    }
    stretch
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_single_delay_is_an_accident_and_two_are_not() {
        let lateness = Lateness::new(ms(50), ms(300));
        lateness.timer_was_late(ms(400));
        assert_eq!(lateness.delay(), ms(0));
        lateness.heard_after(ms(250));
        assert_eq!(lateness.delay(), ms(200));
        lateness.heard_after(ms(350));
        assert_eq!(lateness.delay(), ms(300));
        // An end of a cut, and a delay that does not matter.
        lateness.heard_after(ms(60_000));
        lateness.heard_after(ms(60));
        assert_eq!(lateness.delay(), ms(300));
        assert_eq!(lateness.stalled(), ms(400));
    }

    #[test]
    fn timeouts_are_stretched_in_steps_and_within_bounds() {
        let lan = |delay| stretch_for(ms(delay), ms(150), ms(300));
        assert_eq!([0, 100, 225].map(lan), [1, 1, 1]);
        assert_eq!([226, 450].map(lan), [2, 2]);
        assert_eq!([451, 900].map(lan), [4, 4]);
        assert_eq!([901, 100_000].map(lan), [8, 8]);
        let wan = |delay| stretch_for(ms(delay), ms(1_000), ms(2_000));
        assert_eq!([1_500, 1_501, 100_000].map(wan), [1, 2, 2]);
        assert_eq!(
            stretch_for(ms(9_000), ms(5_000), ms(10_000)),
            1,
            "it is long enough by itself"
        );
    }
}
