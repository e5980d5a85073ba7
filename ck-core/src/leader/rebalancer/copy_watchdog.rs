//! Copies that take too long: the leader's timers, and the pairs of partition and node that plans avoid for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::changed_partitions::ChangedPartitions;
use crate::env::Instant;
use crate::model::{CopyState, NodeId, Partition, Topology};

/// The longest pause for an abandoned pair, or the migration timeout where that is longer.
const MAX_AVOIDED: Duration = Duration::from_secs(60 * 60);

/// After this many abandoned copies in a row a node gets no new copies while any of them is avoided: it would delay
/// what other nodes can copy.
const MAX_FAILURES: u32 = 3;

/// A partition and a node that is to copy it.
pub(crate) type Pair = (u32, NodeId);

/// The pending copies, by the clock of this leader: every copy's time starts over under a new leader.
#[derive(Debug, Default)]
pub(super) struct CopyWatchdog {
    watched: ChangedPartitions,
    /// By partition: its pending copies.
    seen: BTreeMap<u32, Vec<Copying>>,
    /// The same copies by the time at which they were first seen, so that a check reads only the overdue ones.
    order: BTreeSet<(Instant, u32, NodeId)>,
    avoided: BTreeMap<Pair, Avoided>,
    /// How many copies of each node were abandoned since it last completed one.
    failures: BTreeMap<NodeId, u32>,
}

/// A pending copy.
#[derive(Debug)]
struct Copying {
    node: NodeId,
    /// The revision that assigned the copy to the node.
    since: u64,
    /// When this leader first saw the copy.
    at: Instant,
}

/// A pair whose copy was abandoned; it is not planned again before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avoided {
    pub(super) until: Instant,
    /// How often the pair's copy was abandoned.
    pub(super) times: u32,
    /// The pause has ended, and a new plan was requested for that.
    over: bool,
}

/// The result of a check of the pending copies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Copies to abandon, each with the revision that assigned it.
    pub(super) copies: Vec<(u32, NodeId, u64)>,
    /// When to check again if nothing changes.
    pub(super) again: Option<Duration>,
    /// The pause of an avoided pair has ended: a new plan may use it.
    pub(super) free: bool,
}

impl CopyWatchdog {
    /// Checks the pending copies at `now`. Costs what has changed since the last check, and what is overdue.
    pub(super) fn tick(&mut self, topology: &Topology, timeout: Duration, now: Instant) -> Overdue {
        let mut overdue = Overdue::default();
        let has_arrived = |number: u32, node: &NodeId| {
            let partition = topology.partitions.get(number as usize);
            partition.is_some_and(|p| p.is_synced(node))
        };
        if topology.maintenance.is_none() {
            let mut watched = std::mem::take(&mut self.watched);
            watched.changes(topology, |partition| self.follow(topology, partition, now));
            self.watched = watched;
        } else {
            // During maintenance no moves are planned, so an abandoned copy would not be made elsewhere: its time does
            // not count. When maintenance ends, all timers start over.
            for (number, copying) in std::mem::take(&mut self.seen) {
                for arrived in copying
                    .iter()
                    .filter(|copying| has_arrived(number, &copying.node))
                {
                    self.failures.remove(&arrived.node);
                }
            }
            self.order.clear();
            self.watched = ChangedPartitions::default();
        }
        for (at, number, node) in &self.order {
            let remaining = timeout.saturating_sub(now.since(*at));
            if !remaining.is_zero() {
                overdue.tick_in(remaining);
                break;
            }
            let copying = self.seen.get(number).into_iter().flatten();
            let since = copying.filter(|copying| copying.node == *node).map(|c| c.since);
            overdue
                .copies
                .extend(since.map(|since| (*number, node.clone(), since)));
        }
        self.failures.retain(|node, _| topology.nodes.contains_key(node));
        self.avoided
            .retain(|(number, node), _| topology.nodes.contains_key(node) && !has_arrived(*number, node));
        for avoided in self.avoided.values_mut().filter(|avoided| !avoided.over) {
            let remaining = avoided.until.since(now);
            if remaining.is_zero() {
                avoided.over = true;
                overdue.free = true;
            } else {
                overdue.tick_in(remaining);
            }
        }
        overdue
    }

    /// Updates the pending copies of a partition that has changed.
    fn follow(&mut self, topology: &Topology, partition: &Partition, now: Instant) {
        let before = self.seen.remove(&partition.number).unwrap_or_default();
        for copying in &before {
            self.order
                .remove(&(copying.at, partition.number, copying.node.clone()));
            if partition.is_synced(&copying.node) {
                self.failures.remove(&copying.node);
            }
        }
        // A copy without a serving source has to wait, and a node that is away is expected back: neither has a timer.
        if !partition.synced().any(|node| topology.is_serving(node)) {
            return;
        }
        let pending = partition
            .copies
            .iter()
            .filter(|copy| copy.state == CopyState::Pending);
        let mut copying = Vec::new();
        for copy in pending.filter(|copy| topology.is_serving(&copy.node)) {
            let known = before
                .iter()
                .find(|known| known.node == copy.node && known.since == copy.since);
            let at = known.map_or(now, |known| known.at);
            self.order.insert((at, partition.number, copy.node.clone()));
            copying.push(Copying {
                node: copy.node.clone(),
                since: copy.since,
                at,
            });
        }
        if !copying.is_empty() {
            self.seen.insert(partition.number, copying);
        }
    }

    /// Records that a copy was abandoned. The pair is avoided for `timeout`, and for twice as long every further time.
    pub(super) fn avoid(&mut self, pair: Pair, timeout: Duration, now: Instant) {
        let times = self.avoided.get(&pair).map_or(0, |avoided| avoided.times) + 1;
        let pause = timeout
            .saturating_mul(1 << (times - 1).min(16))
            .min(MAX_AVOIDED.max(timeout));
        *self.failures.entry(pair.1.clone()).or_default() += 1;
        let avoided = Avoided {
            until: now + pause,
            times,
            over: false,
        };
        self.avoided.insert(pair, avoided);
    }

    /// The pairs that plans avoid now.
    pub(super) fn pairs(&self) -> BTreeSet<Pair> {
        let pairs = self.avoided.iter().filter(|(_, avoided)| !avoided.over);
        pairs.map(|(pair, _)| pair.clone()).collect()
    }

    /// The nodes that get no new copies now.
    pub(super) fn failing(&self) -> BTreeSet<NodeId> {
        let nodes = self.avoided().map(|((_, node), _)| node);
        let struck = |node: &&NodeId| {
            self.failures
                .get(*node)
                .is_some_and(|failures| *failures >= MAX_FAILURES)
        };
        nodes.filter(struck).cloned().collect()
    }

    /// The pairs that plans avoid now, with how often they were abandoned and until when they are avoided.
    pub(super) fn avoided(&self) -> impl Iterator<Item = (&Pair, &Avoided)> {
        self.avoided.iter().filter(|(_, avoided)| !avoided.over)
    }

    /// When a pending copy was first seen.
    pub(super) fn seen_at(&self, (number, node): &Pair) -> Option<Instant> {
        let mut copying = self.seen.get(number)?.iter();
        copying
            .find(|copying| copying.node == *node)
            .map(|copying| copying.at)
    }
}

#[cfg(test)]
impl CopyWatchdog {
    /// The pending copies, each with the revision that assigned it. Checks that both indexes agree.
    pub(super) fn copying(&self) -> BTreeSet<(u32, NodeId, u64)> {
        let seen = self.seen.iter();
        let all = seen.flat_map(|(number, copying)| copying.iter().map(move |copying| (*number, copying)));
        let order = all.clone().map(|(number, c)| (c.at, number, c.node.clone()));
        assert_eq!(self.order, order.collect());
        all.map(|(number, c)| (number, c.node.clone(), c.since)).collect()
    }
}

impl Overdue {
    fn tick_in(&mut self, remaining: Duration) {
        self.again = Some(self.again.map_or(remaining, |first| first.min(remaining)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::leader::rebalancer::testing::{partition, topology};

    const COPY_TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_copy_is_overdue_after_the_timeout_and_anew_when_it_is_told_anew() {
        let mut topology = topology(&["a", "b"], 2);
        topology.partitions = vec![Arc::new(partition(0, "a", &["a"], &["b"]))].into();
        let mut watchdog = CopyWatchdog::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            watchdog.tick(&topology, COPY_TIMEOUT, at(0)).again,
            Some(COPY_TIMEOUT)
        );
        let overdue = watchdog.tick(&topology, COPY_TIMEOUT, at(4));
        assert_eq!(
            (overdue.copies.len(), overdue.again),
            (0, Some(Duration::from_secs(6)))
        );
        assert_eq!(
            watchdog.tick(&topology, COPY_TIMEOUT, at(10)).copies,
            [(0, NodeId::from("b"), 1)]
        );
        // A copy that is assigned again starts a new timer.
        let told = Arc::make_mut(&mut topology.partitions[0]);
        told.copies[1].since = 7;
        assert_eq!(
            watchdog.tick(&topology, COPY_TIMEOUT, at(11)).again,
            Some(COPY_TIMEOUT)
        );
        // Maintenance stops the timers.
        topology.maintenance = Some(crate::model::Maintenance {
            reason: String::new(),
            automatic: false,
        });
        assert_eq!(watchdog.tick(&topology, COPY_TIMEOUT, at(99)), Overdue::default());
        topology.maintenance = None;
        assert_eq!(watchdog.tick(&topology, COPY_TIMEOUT, at(99)).copies, []);
    }

    #[test]
    fn a_node_that_fails_again_and_again_gets_nothing_new_until_it_has_copied_something() {
        let mut topology = topology(&["a", "b"], 2);
        let synced = |number| Arc::new(partition(number, "a", &["a"], &[]));
        topology.partitions = (0..4).map(synced).collect();
        let mut watchdog = CopyWatchdog::default();
        let now = Instant::now();
        for number in 0..3 {
            assert!(watchdog.failing().is_empty());
            watchdog.avoid((number, "b".into()), COPY_TIMEOUT, now);
        }
        assert_eq!(watchdog.failing(), BTreeSet::from(["b".into()]));
        topology.partitions[3] = Arc::new(partition(3, "a", &["a"], &["b"]));
        watchdog.tick(&topology, COPY_TIMEOUT, now);
        topology.partitions[3] = Arc::new(partition(3, "a", &["a", "b"], &[]));
        watchdog.tick(&topology, COPY_TIMEOUT, now);
        assert!(watchdog.failing().is_empty());
        assert_eq!(watchdog.pairs().len(), 3);
    }

    #[test]
    fn what_is_given_up_is_avoided_for_twice_as_long_every_time() {
        let mut topology = topology(&["a", "b"], 2);
        topology.partitions = vec![Arc::new(partition(0, "a", &["a"], &[]))].into();
        let mut watchdog = CopyWatchdog::default();
        let pair = (0, NodeId::from("b"));
        let mut now = Instant::now();
        for times in 0..12 {
            watchdog.avoid(pair.clone(), COPY_TIMEOUT, now);
            let pause = (COPY_TIMEOUT * (1 << times)).min(MAX_AVOIDED);
            let early = watchdog.tick(&topology, COPY_TIMEOUT, now);
            assert_eq!((early.again, early.free), (Some(pause), false));
            assert_eq!(watchdog.pairs().len(), 1);
            now += pause;
            assert!(watchdog.tick(&topology, COPY_TIMEOUT, now).free);
            assert!(watchdog.pairs().is_empty());
            assert_eq!(
                watchdog.tick(&topology, COPY_TIMEOUT, now),
                Overdue::default(),
                "once"
            );
        }
        // A pair that has the data after all is forgotten, with its count.
        topology.partitions = vec![Arc::new(partition(0, "a", &["a", "b"], &[]))].into();
        watchdog.tick(&topology, COPY_TIMEOUT, now);
        watchdog.avoid(pair.clone(), COPY_TIMEOUT, now);
        assert_eq!(
            watchdog.avoided().next().map(|(_, avoided)| avoided.times),
            Some(1)
        );
        topology.nodes.remove("b");
        watchdog.tick(&topology, COPY_TIMEOUT, now);
        assert!(watchdog.pairs().is_empty());
    }
}
