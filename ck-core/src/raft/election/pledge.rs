//! The pledges of this node to leaders, and the votes that it has made known.
//!
//! A leader acts under a lease because a quorum of the voters has pledged to vote for no other candidate for some time
//! after they heard from it. Pledges are kept here and not in openraft, whose acknowledgements wait for the disk: a
//! disk that stalls for half a second would end the lease of a leader that is alive.
//!
//! Invariant: no vote of this node for another candidate leaves it while a pledge is in force, and no pledge is given
//! to a leader once a vote for a higher one has left. A granted vote leaves with its answer; a vote for this node
//! itself leaves with its vote requests. [`Pledges::may_vote`] is called before both, and shares one lock with
//! [`Pledges::hear`]. Two quorums have a voter in common, so a new leader is elected only after the lease of the
//! previous leader has ended. The exception is a transfer of leadership, where the leader has given up its lease first.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::lateness::Lateness;
use crate::env::Instant;
use crate::raft::types::RaftId;

/// Term and node of a vote or of a leadership. The higher one takes precedence.
pub(in crate::raft) type Claimant = (u64, RaftId);

/// The pledges of this node, and those of its votes that have left it.
#[derive(Debug)]
pub(in crate::raft) struct Pledges {
    book: Mutex<PledgeState>,
    /// How long an unstretched pledge lasts after the leader was heard from.
    lasts: Duration,
    lateness: Arc<Lateness>,
}

#[derive(Debug)]
struct PledgeState {
    /// The highest candidate or leader for which a vote has left this node, or to which it has pledged.
    highest: Claimant,
    /// When the pledge ends. It names no leader, because a node that restarted does not know to whom it had pledged.
    until: Option<Instant>,
    /// The leader that was heard from last, and when.
    heard: Option<(Claimant, Instant)>,
    /// The factor by which a pledge given now is longer.
    stretch: u32,
    /// The leader that transfers its leadership. It holds no lease any more, so nothing is pledged to it.
    released: Option<Claimant>,
}

impl Pledges {
    /// The pledges of a node that starts. With `voted_before` it may have given a pledge of at most `stretch` times
    /// `lasts`, and keeps it.
    pub(in crate::raft) fn new(
        voted_before: Option<Claimant>,
        lasts: Duration,
        stretch: u32,
        lateness: Arc<Lateness>,
    ) -> Self {
        let keeps = voted_before.is_some() && !planted!("vote-without-guard");
        Pledges {
            book: Mutex::new(PledgeState {
                highest: voted_before.unwrap_or_default(),
                until: keeps.then(|| Instant::now() + lasts * stretch),
                heard: None,
                stretch,
                released: None,
            }),
            lasts,
            lateness,
        }
    }

    fn book(&self) -> MutexGuard<'_, PledgeState> {
        self.book.lock()
    }

    /// Records a message from a leader. The result is how long this node has pledged to it from now on; `None` if a
    /// higher vote is known, or if the leader transfers its leadership.
    pub(in crate::raft) fn hear(&self, leader: Claimant) -> Option<Duration> {
        let mut book = self.book();
        if leader < book.highest {
            return None;
        }
        let now = Instant::now();
        if let Some((before, at)) = book.heard
            && before == leader
        {
            self.lateness.heard_after(now.since(at));
        }
        book.highest = leader;
        book.heard = Some((leader, now));
        if book.released == Some(leader) {
            return None;
        }
        let lasts = self.lasts * book.stretch;
        let end = now + lasts;
        book.until = Some(book.until.map_or(end, |until| until.max(end)));
        Some(lasts)
    }

    /// The same, but only for the leader that was heard from last.
    pub(in crate::raft) fn hear_again(&self, leader: Claimant) -> Option<Duration> {
        let known = self.book().heard.is_some_and(|(heard, _)| heard == leader);
        known.then(|| self.hear(leader)).flatten()
    }

    /// Sets the factor for pledges given from now on. Pledges that were given keep their length.
    pub(in crate::raft) fn stretch_to(&self, stretch: u32) {
        self.book().stretch = stretch;
    }

    /// Records that `leader` transfers its leadership and has given up its lease. This ends the pledge to it.
    pub(in crate::raft) fn release(&self, leader: Claimant) {
        let mut book = self.book();
        if leader >= book.highest {
            book.released = Some(leader);
            book.until = None;
        }
    }

    /// True while this node has pledged to vote for no other candidate.
    pub(in crate::raft) fn in_force(&self) -> bool {
        self.book().until.is_some_and(|until| Instant::now() < until)
    }

    /// True if a vote for `candidate` may leave this node; from then on it follows no lower candidate or leader. With
    /// `hand_over`, the leader that this node has pledged to asked for the vote by a transfer of leadership, which ends
    /// the pledge.
    pub(in crate::raft) fn may_vote(&self, candidate: Claimant, hand_over: bool) -> bool {
        let mut book = self.book();
        if hand_over {
            book.until = None;
        } else if book.until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        book.highest = book.highest.max(candidate);
        true
    }

    /// True once this node has pledged to a leader higher than `leader`, or a vote for a higher candidate has left it.
    /// Then `leader`, which may be this node, holds no lease any more.
    pub(in crate::raft) fn has_left(&self, leader: Claimant) -> bool {
        self.book().highest > leader
    }

    /// True once this node has heard from a leader that was elected after `leader`.
    pub(in crate::raft) fn heard_of_one_after(&self, leader: Claimant) -> bool {
        self.book().heard.is_some_and(|(heard, _)| heard > leader)
    }

    /// The leader that was heard from last, and when.
    pub(in crate::raft) fn heard(&self) -> Option<(RaftId, Instant)> {
        self.book().heard.map(|((_, leader), at)| (leader, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(3600);
    const OVER: Duration = Duration::ZERO;

    fn pledges(voted_before: Option<Claimant>, lasts: Duration) -> Pledges {
        let lateness = Lateness::new(Duration::from_millis(50), Duration::from_millis(300));
        Pledges::new(voted_before, lasts, 1, Arc::new(lateness))
    }

    #[test]
    fn while_a_pledge_is_in_force_no_vote_leaves() {
        let pledges = pledges(None, LASTS);
        assert_eq!(pledges.hear((3, 1)), Some(LASTS));
        assert!(pledges.in_force());
        assert!(!pledges.may_vote((4, 2), false));
        // The leader is still followed after the refused vote.
        assert_eq!(pledges.hear((3, 1)), Some(LASTS));
        assert_eq!(pledges.heard().map(|(leader, _)| leader), Some(1));
    }

    #[test]
    fn pledges_are_stretched_and_those_that_were_given_last_as_long_as_was_said() {
        let pledges = pledges(None, LASTS);
        pledges.stretch_to(4);
        assert_eq!(pledges.hear((3, 1)), Some(LASTS * 4));
        let until = pledges.book().until;
        pledges.stretch_to(1);
        assert_eq!(pledges.hear((3, 1)), Some(LASTS));
        assert_eq!(pledges.book().until, until);
    }

    #[test]
    fn once_a_vote_has_left_nobody_lower_is_followed() {
        let pledges = pledges(None, OVER);
        assert!(pledges.may_vote((4, 2), false));
        assert!(pledges.has_left((4, 1)) && !pledges.has_left((4, 2)));
        assert_eq!(pledges.hear((3, 9)), None);
        assert_eq!(pledges.hear((4, 1)), None, "of one term the higher node counts");
        assert_eq!(pledges.heard(), None);
        assert_eq!(pledges.hear((4, 2)), Some(OVER));
        assert_eq!(pledges.hear((5, 1)), Some(OVER));
    }

    #[test]
    fn a_hand_over_ends_the_pledge() {
        let pledges = pledges(None, LASTS);
        assert_eq!(pledges.hear((3, 1)), Some(LASTS));
        assert!(pledges.may_vote((4, 2), true));
        assert!(!pledges.in_force());
        assert_eq!(pledges.hear((3, 1)), None);
    }

    #[test]
    fn a_leader_that_hands_over_is_pledged_nothing_any_more() {
        let pledges = pledges(None, LASTS);
        assert_eq!(pledges.hear((3, 1)), Some(LASTS));
        pledges.release((2, 1));
        assert!(pledges.in_force(), "that one leads no longer");
        pledges.release((3, 1));
        assert_eq!(pledges.hear((3, 1)), None);
        assert!(pledges.may_vote((4, 2), false));
        assert_eq!(pledges.hear((4, 2)), Some(LASTS));
    }

    #[test]
    fn a_node_that_restarts_keeps_to_what_it_may_have_pledged() {
        let restarted = pledges(Some((3, 1)), LASTS);
        assert!(!restarted.may_vote((4, 2), false));
        assert_eq!(restarted.hear((2, 5)), None);
        assert!(restarted.may_vote((4, 2), true));
        assert!(
            pledges(None, LASTS).may_vote((1, 2), false),
            "a new node has pledged nothing"
        );
    }
}
