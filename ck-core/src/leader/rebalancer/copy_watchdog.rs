//! Copies that take too long: the leader's clocks, and what it avoids for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::changed_partitions::ChangedPartitions;
use crate::env::Instant;
use crate::model::{CopyState, NodeId, Partition, Topology};

/// A pair that was given up is avoided no longer than this.
const MAX_AVOIDED: Duration = Duration::from_secs(60 * 60);

/// A node that had so many copies given up in a row gets nothing new for as long as any of them is avoided: it would
/// only hold up what others can copy.
const MAX_FAILURES: u32 = 3;

/// A partition and a node that is to copy it.
pub(crate) type Pair = (u32, NodeId);

/// The copies in the making, by the clock of this leader: a new one counts anew.
#[derive(Debug, Default)]
pub(super) struct CopyWatchdog {
    watched: ChangedPartitions,
    /// By partition: its copies in the making.
    seen: BTreeMap<u32, Vec<Copying>>,
    /// The same by when they were seen first, so that only those that are overdue are looked at.
    order: BTreeSet<(Instant, u32, NodeId)>,
    avoided: BTreeMap<Pair, Avoided>,
    /// How many copies each node had given up since it made one.
    failures: BTreeMap<NodeId, u32>,
}

/// A copy in the making.
#[derive(Debug)]
struct Copying {
    node: NodeId,
    /// The revision that told the node to copy.
    since: u64,
    /// When this leader first saw it.
    at: Instant,
}

/// Not to be planned until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avoided {
    pub(super) until: Instant,
    /// How often it was given up.
    pub(super) times: u32,
    /// That it may be planned again has been noticed.
    over: bool,
}

/// What came of looking at the copies in the making.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Copies to be given up, each with the revision that told the node to copy.
    pub(super) copies: Vec<(u32, NodeId, u64)>,
    /// When to look again though nothing changes.
    pub(super) again: Option<Duration>,
    /// Something may be planned again that was avoided.
    pub(super) free: bool,
}

impl CopyWatchdog {
    /// Looks at the copies in the making at `now`. Costs what has changed since the last look, and what is overdue.
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
            // Without moves being planned what is given up would not be made elsewhere: time does not count, and when they
            // are planned again all are new.
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

    /// A partition is not what it was.
    fn follow(&mut self, topology: &Topology, partition: &Partition, now: Instant) {
        let before = self.seen.remove(&partition.number).unwrap_or_default();
        for copying in &before {
            self.order
                .remove(&(copying.at, partition.number, copying.node.clone()));
            if partition.is_synced(&copying.node) {
                self.failures.remove(&copying.node);
            }
        }
        // What has nobody to copy from waits for that, and one that is away is expected back.
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

    /// A copy was given up: it is not planned there again for `timeout`, and for twice as long every further time.
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

    /// What is not to be planned now.
    pub(super) fn pairs(&self) -> BTreeSet<Pair> {
        let pairs = self.avoided.iter().filter(|(_, avoided)| !avoided.over);
        pairs.map(|(pair, _)| pair.clone()).collect()
    }

    /// Nodes that get nothing new now.
    pub(super) fn failing(&self) -> BTreeSet<NodeId> {
        let nodes = self.avoided().map(|((_, node), _)| node);
        let struck = |node: &&NodeId| {
            self.failures
                .get(*node)
                .is_some_and(|failures| *failures >= MAX_FAILURES)
        };
        nodes.filter(struck).cloned().collect()
    }

    /// The same with how often and for how long.
    pub(super) fn avoided(&self) -> impl Iterator<Item = (&Pair, &Avoided)> {
        self.avoided.iter().filter(|(_, avoided)| !avoided.over)
    }

    /// When a copy in the making was first seen.
    pub(super) fn seen_at(&self, (number, node): &Pair) -> Option<Instant> {
        let mut copying = self.seen.get(number)?.iter();
        copying
            .find(|copying| copying.node == *node)
            .map(|copying| copying.at)
    }
}

#[cfg(test)]
impl CopyWatchdog {
    /// The copies in the making, each with the revision that told the node to copy; both lists of them agree.
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

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_copy_is_overdue_after_the_timeout_and_anew_when_it_is_told_anew() {
        let mut topology = topology(&["a", "b"], 2);
        topology.partitions = vec![Arc::new(partition(0, "a", &["a"], &["b"]))].into();
        let mut watchdog = CopyWatchdog::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watchdog.tick(&topology, TIMEOUT, at(0)).again, Some(TIMEOUT));
        let overdue = watchdog.tick(&topology, TIMEOUT, at(4));
        assert_eq!(
            (overdue.copies.len(), overdue.again),
            (0, Some(Duration::from_secs(6)))
        );
        assert_eq!(
            watchdog.tick(&topology, TIMEOUT, at(10)).copies,
            [(0, NodeId::from("b"), 1)]
        );
        // Told anew, it begins anew.
        let told = Arc::make_mut(&mut topology.partitions[0]);
        told.copies[1].since = 7;
        assert_eq!(watchdog.tick(&topology, TIMEOUT, at(11)).again, Some(TIMEOUT));
        // Maintenance stops the clocks.
        topology.maintenance = Some(crate::model::Maintenance {
            reason: String::new(),
            automatic: false,
        });
        assert_eq!(watchdog.tick(&topology, TIMEOUT, at(99)), Overdue::default());
        topology.maintenance = None;
        assert_eq!(watchdog.tick(&topology, TIMEOUT, at(99)).copies, []);
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
            watchdog.avoid((number, "b".into()), TIMEOUT, now);
        }
        assert_eq!(watchdog.failing(), BTreeSet::from(["b".into()]));
        topology.partitions[3] = Arc::new(partition(3, "a", &["a"], &["b"]));
        watchdog.tick(&topology, TIMEOUT, now);
        topology.partitions[3] = Arc::new(partition(3, "a", &["a", "b"], &[]));
        watchdog.tick(&topology, TIMEOUT, now);
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
            watchdog.avoid(pair.clone(), TIMEOUT, now);
            let pause = (TIMEOUT * (1 << times)).min(MAX_AVOIDED);
            let early = watchdog.tick(&topology, TIMEOUT, now);
            assert_eq!((early.again, early.free), (Some(pause), false));
            assert_eq!(watchdog.pairs().len(), 1);
            now += pause;
            assert!(watchdog.tick(&topology, TIMEOUT, now).free);
            assert!(watchdog.pairs().is_empty());
            assert_eq!(watchdog.tick(&topology, TIMEOUT, now), Overdue::default(), "once");
        }
        // It has the data after all: all is forgotten.
        topology.partitions = vec![Arc::new(partition(0, "a", &["a", "b"], &[]))].into();
        watchdog.tick(&topology, TIMEOUT, now);
        watchdog.avoid(pair.clone(), TIMEOUT, now);
        assert_eq!(
            watchdog.avoided().next().map(|(_, avoided)| avoided.times),
            Some(1)
        );
        topology.nodes.remove("b");
        watchdog.tick(&topology, TIMEOUT, now);
        assert!(watchdog.pairs().is_empty());
    }
}
