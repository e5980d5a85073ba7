//! How long members have been away, by the clock of this leader.
//!
//! A rejoin alone does not end an absence: a member that rejoins and fails again and again makes no progress, and its
//! copies must be replaced as if it had stayed away. So only the time that it is away counts, and that time is
//! forgotten once the member has been up for long enough without a break.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::env::Instant;
use crate::model::{Node, NodeId, NodeStatus, Topology};

/// A member's absence is forgotten once it has been up without a break for the rebalance delay, or for this time where
/// that is shorter.
const MAX_TRIAL: Duration = Duration::from_secs(30);

/// The members that are away, or were until recently.
#[derive(Debug, Default)]
pub(super) struct Absences {
    members: BTreeMap<NodeId, Absence>,
}

/// One member's absence, which may consist of several periods.
#[derive(Debug, Clone, Copy)]
struct Absence {
    /// How long the member was away before the present period.
    before: Duration,
    /// When the present period began.
    since: Instant,
    now: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Away,
    /// The member catches up with the log: it is neither away nor back.
    Returning,
    Up,
}

impl Presence {
    fn of(node: &Node) -> Self {
        match node.status {
            NodeStatus::Joining => Presence::Returning,
            status if status.is_up() => Presence::Up,
            _ => Presence::Away,
        }
    }
}

impl Absence {
    fn total(&self, now: Instant) -> Duration {
        match self.now {
            Presence::Away => self.before + now.since(self.since),
            Presence::Returning | Presence::Up => self.before,
        }
    }
}

impl Absences {
    /// Updates the absences of all members at `now`. Gives the members that are away and have been for `delay` or
    /// longer in all, and the time until the next member has.
    pub(super) fn tick(
        &mut self,
        topology: &Topology,
        delay: Duration,
        now: Instant,
    ) -> (BTreeSet<NodeId>, Option<Duration>) {
        let trial = delay.min(MAX_TRIAL);
        self.members.retain(|id, _| topology.nodes.contains_key(id));
        for (id, node) in &topology.nodes {
            let present = Presence::of(node);
            match self.members.get_mut(id) {
                Some(absence) if absence.now != present => {
                    absence.before = absence.total(now);
                    absence.since = now;
                    absence.now = present;
                }
                Some(_) => {}
                None if present == Presence::Away => {
                    let absence = Absence {
                        before: Duration::ZERO,
                        since: now,
                        now: present,
                    };
                    self.members.insert(id.clone(), absence);
                }
                None => {}
            }
        }
        self.members
            .retain(|_, absence| absence.now != Presence::Up || now.since(absence.since) < trial);
        let mut given_up = BTreeSet::new();
        let mut due: Option<Duration> = None;
        for (id, absence) in &self.members {
            let remaining = delay.saturating_sub(absence.total(now));
            match absence.now {
                Presence::Away if remaining.is_zero() => {
                    given_up.insert(id.clone());
                }
                Presence::Away => due = Some(due.map_or(remaining, |first| first.min(remaining))),
                Presence::Returning | Presence::Up => {}
            }
        }
        (given_up, due)
    }

    /// When the present absence of this member began, and how long it has been away in all, with its earlier absences.
    pub(super) fn of(&self, id: &NodeId, now: Instant) -> Option<(Instant, Duration)> {
        let absence = self
            .members
            .get(id)
            .filter(|absence| absence.now == Presence::Away)?;
        Some((absence.since, absence.total(now)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const DELAY: Duration = Duration::from_secs(10);

    fn topology(status: NodeStatus) -> Topology {
        let mut node = Node::sample("a");
        node.status = status;
        let mut topology = Topology::default();
        topology.nodes.insert("a".into(), Arc::new(node));
        topology
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_member_that_keeps_coming_back_and_failing_is_given_up_as_if_it_had_never_come() {
        let mut absences = Absences::default();
        let (away, joining, up) = (
            topology(NodeStatus::Failed),
            topology(NodeStatus::Joining),
            topology(NodeStatus::Active),
        );
        // Away for four seconds, up for two, and so on: the third period completes ten seconds of absence.
        for (second, seen) in [
            (0, &away),
            (4, &joining),
            (5, &up),
            (6, &away),
            (10, &up),
            (12, &away),
        ] {
            let (given_up, _) = absences.tick(seen, DELAY, at(second));
            assert!(given_up.is_empty(), "given up after {second} s");
        }
        let (given_up, due) = absences.tick(&away, DELAY, at(13));
        assert_eq!((given_up.len(), due), (0, Some(Duration::from_secs(1))));
        assert_eq!(absences.tick(&away, DELAY, at(14)).0.len(), 1);
    }

    #[test]
    fn who_has_stayed_for_as_long_as_the_delay_begins_anew() {
        let mut absences = Absences::default();
        let (away, up) = (topology(NodeStatus::Stopped), topology(NodeStatus::Active));
        absences.tick(&away, DELAY, at(0));
        absences.tick(&up, DELAY, at(9));
        absences.tick(&up, DELAY, at(19));
        let (given_up, due) = absences.tick(&away, DELAY, at(20));
        assert_eq!((given_up.len(), due), (0, Some(DELAY)));
        assert_eq!(absences.tick(&away, DELAY, at(30)).0.len(), 1);
    }
}
