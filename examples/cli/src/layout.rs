//! Who holds what: the partition table as sets, and the sums that can be done on one or two of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use clusterkit::model::{Cluster, NodeStatus, PartitionState};

/// One partition's holders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holders {
    /// The node that takes writes.
    pub(crate) primary: Option<String>,
    /// The other nodes that hold the data.
    pub(crate) replicas: BTreeSet<String>,
    /// The nodes that are still copying it.
    pub(crate) pending: BTreeSet<String>,
    /// Its condition.
    pub(crate) state: PartitionState,
}

impl Holders {
    /// Every node that holds the partition or is about to.
    pub(crate) fn all(&self) -> BTreeSet<&str> {
        let named = self.primary.iter().chain(&self.replicas).chain(&self.pending);
        named.map(String::as_str).collect()
    }
}

/// The partition table at one revision.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Members in natural order: `node-2` before `node-10`.
    pub(crate) nodes: Vec<String>,
    /// Partitions by number.
    pub(crate) partitions: Vec<Holders>,
    active: usize,
    replication_factor: usize,
}

/// The smallest and the largest of some counts, and their sum.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    /// The smallest.
    pub(crate) min: u64,
    /// The mean.
    pub(crate) mean: f64,
    /// The largest.
    pub(crate) max: u64,
}

impl Spread {
    /// The spread of `counts`; all zero when there are none.
    pub(crate) fn of(counts: impl IntoIterator<Item = u64>) -> Self {
        let counts: Vec<u64> = counts.into_iter().collect();
        let sum: u64 = counts.iter().sum();
        Spread {
            min: counts.iter().copied().min().unwrap_or(0),
            mean: sum as f64 / counts.len().max(1) as f64,
            max: counts.iter().copied().max().unwrap_or(0),
        }
    }
}

impl Layout {
    /// The table of a cluster as a node answered it.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let mut nodes: Vec<String> = cluster.nodes.iter().map(|node| node.id.to_string()).collect();
        nodes.sort_by(|a, b| natural(a, b));
        let mut records: Vec<_> = cluster.partition_map.partitions.values().collect();
        records.sort_by_key(|record| record.number);
        let names = |ids: &[clusterkit::model::NodeId]| ids.iter().map(|id| id.to_string()).collect();
        let partitions = records
            .iter()
            .map(|record| Holders {
                primary: Some(record.primary_node.to_string()).filter(|id| !id.is_empty()),
                replicas: names(&record.replica_nodes),
                pending: names(&record.pending),
                state: record.state,
            })
            .collect();
        Layout {
            nodes,
            partitions,
            active: cluster
                .nodes
                .iter()
                .filter(|node| node.status == NodeStatus::Active)
                .count(),
            replication_factor: cluster.config.replication_factor as usize,
        }
    }

    /// How many partitions each member is primary of.
    pub(crate) fn primaries(&self) -> BTreeMap<&str, u64> {
        self.count(|partition| partition.primary.iter().map(String::as_str).collect())
    }

    /// How many partitions each member holds a copy of, as primary or not, pending ones included.
    pub(crate) fn copies(&self) -> BTreeMap<&str, u64> {
        self.count(Holders::all)
    }

    fn count<'a>(&'a self, holders: impl Fn(&'a Holders) -> BTreeSet<&'a str>) -> BTreeMap<&'a str, u64> {
        let mut counts: BTreeMap<&str, u64> = self.nodes.iter().map(|id| (id.as_str(), 0)).collect();
        for id in self.partitions.iter().flat_map(holders) {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// How many partitions are in each state.
    pub(crate) fn states(&self) -> BTreeMap<&'static str, usize> {
        let mut states = BTreeMap::new();
        for partition in &self.partitions {
            *states.entry(partition.state.as_str()).or_default() += 1;
        }
        states
    }

    /// True when `nodes` members are active, every partition has a primary and all its copies, nothing is being
    /// copied, and copies are spread as evenly as whole numbers allow.
    pub(crate) fn is_spread(&self, nodes: usize) -> bool {
        let wanted = self.replication_factor.min(nodes);
        // With fewer nodes than copies are wanted a partition is never more than that.
        let best = if nodes < self.replication_factor {
            PartitionState::UnderReplicated
        } else {
            PartitionState::Ok
        };
        let whole = self.partitions.iter().all(|partition| {
            partition.state == best
                && partition.pending.is_empty()
                && partition.primary.is_some()
                && partition.all().len() == wanted
        });
        self.active == nodes && !self.partitions.is_empty() && whole && even(&self.copies())
    }

    /// How many partitions move, or lack a primary or a copy that the members could hold. Where there are none, any one node
    /// may be restarted.
    pub(crate) fn unsettled(&self) -> usize {
        let is_small = self.nodes.len() < self.replication_factor;
        let is_settled = |partition: &Holders| {
            let is_whole = partition.state == PartitionState::Ok
                || (is_small && partition.state == PartitionState::UnderReplicated);
            is_whole && partition.pending.is_empty() && partition.primary.is_some()
        };
        self.partitions
            .iter()
            .filter(|partition| !is_settled(partition))
            .count()
    }

    /// True when primaries too are spread as evenly as whole numbers allow.
    pub(crate) fn has_even_primaries(&self) -> bool {
        even(&self.primaries())
    }

    /// Copies that are here and were not there: each of them is data that had to be sent.
    pub(crate) fn moves_since(&self, before: &Layout) -> usize {
        let none = BTreeSet::new();
        let old = |number: usize| before.partitions.get(number).map_or(none.clone(), Holders::all);
        let moved = |(number, now): (usize, &Holders)| now.all().difference(&old(number)).count();
        self.partitions.iter().enumerate().map(moved).sum()
    }

    /// Partitions whose primary is another than before.
    pub(crate) fn primary_changes_since(&self, before: &Layout) -> usize {
        let pairs = self.partitions.iter().zip(&before.partitions);
        pairs.filter(|(now, then)| now.primary != then.primary).count()
    }

    /// The fewest copies that any planner could have moved to get from `before` to a table that is balanced over
    /// the members of now. Worked out from the two tables alone, so that it judges the planner.
    ///
    /// A member that holds less than the floor of the fair share must gain what is missing, one that holds more
    /// than its ceiling must lose what is too much, and each copy moved does at most one of both. Copies that the
    /// table lacked are made in any case.
    pub(crate) fn fewest_moves_since(&self, before: &Layout) -> usize {
        let members = self.nodes.len().max(1) as u64;
        let wanted = (self.replication_factor as u64).min(members);
        let total = self.partitions.len() as u64 * wanted;
        let (floor, ceiling) = (total / members, total.div_ceil(members));
        let held = before.copies();
        let of = |id: &String| held.get(id.as_str()).copied().unwrap_or(0);
        let gain: u64 = self.nodes.iter().map(|id| floor.saturating_sub(of(id))).sum();
        let too_much: u64 = self.nodes.iter().map(|id| of(id).saturating_sub(ceiling)).sum();
        let missing = total.saturating_sub(self.nodes.iter().map(of).sum());
        usize::try_from(gain.max(too_much + missing)).unwrap_or(usize::MAX)
    }

    /// A new member's fair share of copies: the floor and the ceiling of `P x RF / N`.
    pub(crate) fn fair_share(&self) -> (usize, usize) {
        let members = self.nodes.len().max(1);
        let total = self.partitions.len() * self.replication_factor.min(members);
        (total / members, total.div_ceil(members))
    }
}

fn even(counts: &BTreeMap<&str, u64>) -> bool {
    let spread = Spread::of(counts.values().copied());
    spread.max - spread.min <= 1
}

/// Compares names so that numbers in them count as numbers: `node-2` before `node-10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> (&str, Option<u64>) {
        let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (stem, number) = text.split_at(text.len() - digits);
        (stem, number.parse().ok())
    }
    let ((stem_a, number_a), (stem_b, number_b)) = (parts(a), parts(b));
    stem_a.cmp(stem_b).then(number_a.cmp(&number_b)).then(a.cmp(b))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table from rows such as `"1 23"`: the primary, then the replicas, then `+` and who is pending.
    pub(crate) fn layout(nodes: usize, replication_factor: usize, rows: &[&str]) -> Layout {
        let name = |c: char| format!("node-{c}");
        let holders = |row: &&str| {
            let (held, pending) = row.split_once('+').unwrap_or((row, ""));
            let (primary, replicas) = held.split_once(' ').unwrap_or((held, ""));
            Holders {
                primary: primary.chars().next().map(name),
                replicas: replicas.trim().chars().map(name).collect(),
                pending: pending.chars().map(name).collect(),
                state: if pending.is_empty() {
                    PartitionState::Ok
                } else {
                    PartitionState::Moving
                },
            }
        };
        Layout {
            nodes: (1..=nodes).map(|n| format!("node-{n}")).collect(),
            partitions: rows.iter().map(holders).collect(),
            active: nodes,
            replication_factor,
        }
    }

    #[test]
    fn a_join_that_moves_the_new_nodes_share_and_no_more_is_minimal() {
        let before = layout(2, 1, &["1", "1", "1", "2", "2", "2"]);
        let best = layout(3, 1, &["1", "1", "3", "2", "2", "3"]);
        assert_eq!(
            (best.moves_since(&before), best.fewest_moves_since(&before)),
            (2, 2)
        );
        assert_eq!(best.fair_share(), (2, 2));
        assert_eq!(best.primary_changes_since(&before), 2);
        let wasteful = layout(3, 1, &["2", "1", "3", "1", "2", "3"]);
        assert_eq!(
            (
                wasteful.moves_since(&before),
                wasteful.fewest_moves_since(&before)
            ),
            (4, 2)
        );
    }

    #[test]
    fn a_change_of_primary_among_the_holders_moves_nothing() {
        let before = layout(3, 3, &["1 23", "2 13"]);
        let after = layout(3, 3, &["3 12", "1 23"]);
        assert_eq!(after.moves_since(&before), 0);
        assert_eq!(after.fewest_moves_since(&before), 0);
        assert_eq!(after.primary_changes_since(&before), 2);
    }

    #[test]
    fn copies_that_were_missing_count_as_moves_that_must_be() {
        // Two nodes, three copies wanted: the third node gets a copy of everything.
        let before = layout(2, 3, &["1 2", "2 1", "1 2"]);
        let after = layout(3, 3, &["1 23", "2 13", "3 12"]);
        assert_eq!(
            (after.moves_since(&before), after.fewest_moves_since(&before)),
            (3, 3)
        );
        assert_eq!(after.fair_share(), (3, 3));
    }

    #[test]
    fn an_uneven_table_costs_what_is_above_the_ceiling() {
        let before = layout(3, 1, &["1", "1", "1", "1", "1", "1"]);
        let after = layout(3, 1, &["1", "1", "2", "2", "3", "3"]);
        assert_eq!(
            (after.moves_since(&before), after.fewest_moves_since(&before)),
            (4, 4)
        );
    }

    #[test]
    fn a_table_is_spread_when_nothing_is_under_way_and_counts_are_even() {
        assert!(layout(3, 2, &["1 2", "2 3", "3 1"]).is_spread(3));
        assert!(
            !layout(3, 2, &["1 2", "2 3", "3 1"]).is_spread(4),
            "a node is missing"
        );
        assert!(
            !layout(3, 2, &["1 2", "2 1", "1 2"]).is_spread(3),
            "one holds nothing"
        );
        assert!(
            !layout(3, 2, &["1 2", "2 3", "3+1"]).is_spread(3),
            "a copy is pending"
        );
        assert!(!layout(3, 2, &["1 2", "2 3", " 31"]).is_spread(3), "no primary");
        assert!(!layout(3, 2, &[]).is_spread(3), "no partitions");
        assert!(layout(3, 3, &["1 23", "2 13", "3 12"]).has_even_primaries());
        assert!(!layout(3, 3, &["1 23", "1 23", "3 12"]).has_even_primaries());
    }

    #[test]
    fn what_lacks_a_copy_or_a_primary_or_moves_is_unsettled() {
        assert_eq!(layout(3, 2, &["1 2", "2 3", "3 1"]).unsettled(), 0);
        assert_eq!(layout(3, 2, &["1 2", "2+3", " 31"]).unsettled(), 2);
        let mut one_away = layout(3, 3, &["1 23", "2 13"]);
        for partition in &mut one_away.partitions {
            partition.state = PartitionState::UnderReplicated;
        }
        assert_eq!(one_away.unsettled(), 2, "a member is away that holds copies");
        one_away.nodes.pop();
        assert_eq!(
            one_away.unsettled(),
            0,
            "there are fewer members than copies are wanted"
        );
    }

    #[test]
    fn numbers_in_names_sort_as_numbers() {
        let mut names = [
            "node-10",
            "node-2",
            "b",
            "node-1",
            "a7",
            "99999999999999999999999",
        ];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            [
                "99999999999999999999999",
                "a7",
                "b",
                "node-1",
                "node-2",
                "node-10"
            ]
        );
    }
}
