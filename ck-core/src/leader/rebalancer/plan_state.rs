//! What a leader remembers between plans.

use std::collections::BTreeSet;
use std::time::Duration;

use super::absences::Absences;
use super::copy_watchdog::CopyWatchdog;
use super::plan::Exclusions;
use crate::env::Instant;
use crate::model::{NodeId, NodeStatus, RebalanceTrigger, Topology};

/// Nodes that join within this time of each other share one plan.
const DEBOUNCE: Duration = Duration::from_millis(15);
/// Added to `DEBOUNCE` for each node that has joined already: a plan assigns copies to all of them, and a plan that is
/// made too early has most of them copy what the next plan takes away again.
const DEBOUNCE_EACH: Duration = Duration::from_millis(3);
/// How long a plan waits for joining nodes after the last change of the members.
const WAIT_FOR_JOINING: Duration = Duration::from_millis(250);
/// The longest time that a plan is delayed for further nodes.
const MAX_DEBOUNCE: Duration = Duration::from_secs(2);

/// The input of the last plan, and what has changed since.
#[derive(Default)]
pub(super) struct PlanState {
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) active: BTreeSet<NodeId>,
    pub(super) members: Vec<Member>,
    /// The members, and since when this list is unchanged.
    pub(super) gathered: Option<(Vec<Member>, Instant)>,
    /// Since when the topology has differed from the last plan's.
    pub(super) stale_since: Option<Instant>,
    /// The members that are away, and for how long as far as this leader knows.
    pub(super) absences: Absences,
    /// The members whose copies the last plan replaced, because they had been away for too long.
    pub(super) given_up: BTreeSet<NodeId>,
    pub(super) watchdog: CopyWatchdog,
    /// Explicit replan requests, such as an abandoned copy.
    pub(super) wishes: u64,
    /// How many of these requests the last plan covers.
    pub(super) answered: u64,
    /// Why the last plan was made.
    pub(super) trigger: Option<(RebalanceTrigger, NodeId)>,
}

/// The fields of a member that a plan depends on.
pub(super) type Member = (NodeId, NodeStatus, u32, Option<String>);

impl PlanState {
    /// The exclusions of a plan that is made now.
    pub(super) fn exclusions(&mut self, topology: &Topology, delay: Duration) -> Exclusions {
        Exclusions {
            given_up: self.avoid_after_failure(topology, delay).0,
            avoided: self.watchdog.pairs(),
            failing: self.watchdog.failing(),
        }
    }

    /// Forgets the state of an earlier leadership of this node.
    pub(super) fn begin(&mut self, epoch: u64, topology: &Topology) {
        if self.epoch != epoch {
            *self = PlanState {
                epoch,
                active: active(topology),
                ..PlanState::default()
            };
        }
    }

    /// How much longer a plan waits for further nodes; zero when it is time to plan.
    pub(super) fn debounce(&mut self, topology: &Topology, joining: bool, now: Instant) -> Duration {
        let stale_since = *self.stale_since.get_or_insert(now);
        let there = members(topology);
        if self.gathered.as_ref().is_none_or(|(known, _)| *known != there) {
            self.gathered = Some((there, now));
        }
        let unchanged_since = self.gathered.as_ref().map_or(now, |(_, since)| *since);
        let new = topology
            .nodes
            .values()
            .filter(|node| node.status == NodeStatus::Active && !self.active.contains(&node.id));
        let quiet = if joining {
            WAIT_FOR_JOINING
        } else {
            let new = u32::try_from(new.count()).unwrap_or(u32::MAX);
            (DEBOUNCE + DEBOUNCE_EACH * new.min(100)).min(WAIT_FOR_JOINING)
        };
        let due = (stale_since + DEBOUNCE).max(unchanged_since + quiet);
        due.min(stale_since + MAX_DEBOUNCE).since(now)
    }

    /// The members that have been away for longer than `delay`, and the time until the next member has.
    pub(super) fn avoid_after_failure(
        &mut self,
        topology: &Topology,
        delay: Duration,
    ) -> (BTreeSet<NodeId>, Option<Duration>) {
        self.absences.tick(topology, delay, Instant::now())
    }
}

pub(super) fn active(topology: &Topology) -> BTreeSet<NodeId> {
    let nodes = topology
        .nodes
        .values()
        .filter(|node| node.status == NodeStatus::Active);
    nodes.map(|node| node.id.clone()).collect()
}

pub(super) fn members(topology: &Topology) -> Vec<Member> {
    let nodes = topology.nodes.values();
    nodes
        .map(|node| (node.id.clone(), node.status, node.weight, node.zone.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::topology;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The last plan covered the first `known` of these nodes.
    fn planned(nodes: &[&str], known: usize) -> (PlanState, Topology) {
        let planned = PlanState {
            active: active(&topology(&nodes[..known], 3)),
            ..PlanState::default()
        };
        (planned, topology(nodes, 3))
    }

    #[test]
    fn one_that_comes_alone_is_planned_for_at_once() {
        let (mut planned, there) = planned(&["a", "b"], 1);
        let now = Instant::now();
        assert_eq!(planned.debounce(&there, false, now), 18 * MS);
        assert_eq!(planned.debounce(&there, false, now + 17 * MS), MS);
        assert_eq!(planned.debounce(&there, false, now + 18 * MS), Duration::ZERO);
    }

    #[test]
    fn those_that_catch_up_are_waited_for_while_one_more_does() {
        let (mut planned, few) = planned(&["a", "b"], 1);
        let (_, more) = self::planned(&["a", "b", "c"], 1);
        let now = Instant::now();
        assert_eq!(planned.debounce(&few, true, now), 250 * MS);
        assert_eq!(planned.debounce(&more, true, now + 200 * MS), 250 * MS);
        // The last joining node has caught up, or is not waited for any more.
        assert_eq!(planned.debounce(&more, false, now + 210 * MS), 11 * MS);
        assert_eq!(planned.debounce(&more, true, now + 450 * MS), Duration::ZERO);
    }

    #[test]
    fn nobody_waits_for_ever_for_those_who_come_one_after_the_other() {
        let names: Vec<String> = (0..100).map(|number| format!("node-{number}")).collect();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut planned, _) = planned(&ids, 1);
        let now = Instant::now();
        let planned_at = (2..=100u32).find(|count| {
            let there = topology(&ids[..*count as usize], 3);
            planned
                .debounce(&there, true, now + 100 * MS * (count - 2))
                .is_zero()
        });
        // A node joins every tenth of a second: after two seconds the plan is made.
        assert_eq!(planned_at, Some(22));
    }
}
