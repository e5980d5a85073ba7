//! The delays of this node: of its own timers, of the messages from the leader, and of the acknowledgements of the
//! quorum.
//!
//! A node that does not run cannot receive messages. The silence in that time is its own and not that of another node.
//! So a node that waits for another one counts only the time in which it could have received messages itself.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::env::Instant;
use crate::state::MAX_ELECTION_STRETCH;

/// How long a delay is remembered.
const DELAY_WINDOW: Duration = Duration::from_secs(10);
/// The most delays that are remembered.
const MAX_DELAYS: usize = 256;
/// No election timeout is stretched beyond this; a longer configured timeout stays as it is.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);
/// An election timeout must be at least this many times the observed delay.
const DELAYS_PER_TIMEOUT: u32 = 2;

/// The delays that this node observed lately.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    heartbeat: Duration,
    election_max: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The total time for which this node did not run although it should have.
    stalled: Duration,
    delays: VecDeque<(Instant, Duration)>,
}

impl Lateness {
    /// No delays yet. A leader sends every `heartbeat`, and voters wait for it for at least `election_max`.
    pub(crate) fn new(heartbeat: Duration, election_max: Duration) -> Self {
        Lateness {
            heartbeat,
            election_max,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    /// How much of the time that `passed` since a timer of one heartbeat was set counts as the silence of another node:
    /// at most one and a half heartbeats, because a node that did not run did not listen either.
    pub(in crate::raft) fn listened(&self, passed: Duration) -> Duration {
        planted!("late-timers-count", return passed);
        passed.min(self.heartbeat * 3 / 2)
    }

    /// Records that a timer of this node fired late by this much.
    pub(in crate::raft) fn timer_was_late(&self, by: Duration) {
        // Timers are never exact.
        if by < self.heartbeat / 4 {
            return;
        }
        let mut seen = self.seen();
        seen.stalled += by;
        self.note(&mut seen, by);
    }

    /// Records that the leader, or the quorum, was heard from again after this gap. A gap longer than any election
    /// timeout means that it was cut off or dead, and says nothing about the delays of a live one.
    pub(in crate::raft) fn heard_after(&self, gap: Duration) {
        if gap < self.election_max * MAX_ELECTION_STRETCH {
            let delay = gap.saturating_sub(self.heartbeat);
            self.note(&mut self.seen(), delay);
        }
    }

    fn note(&self, seen: &mut Seen, delay: Duration) {
        // Shorter delays have no effect, and would push longer ones out.
        if delay < self.heartbeat / 2 {
            return;
        }
        if seen.delays.len() == MAX_DELAYS {
            seen.delays.pop_front();
        }
        seen.delays.push_back((Instant::now(), delay));
    }

    /// The total time since the start for which this node did not run although it should have.
    pub(crate) fn stalled(&self) -> Duration {
        self.seen().stalled
    }

    /// The delay that timeouts must allow for: the second longest of those seen lately, because a single one is an
    /// accident.
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

/// The factor by which election timeouts must be stretched so that delays of `delay` end no leadership: 1, 2, 4 or 8. A
/// stretched longest election timeout is at most five seconds.
pub(crate) fn stretch_for(delay: Duration, election_min: Duration, election_max: Duration) -> u32 {
    // The shortest silence after which a voter campaigns.
    let patience = election_max + election_min;
    let mut stretch = 1;
    while stretch * 2 <= MAX_ELECTION_STRETCH
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
        // The end of a network partition, and a delay that is too short to matter.
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
