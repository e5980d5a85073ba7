//! The choice of voters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::RaftId;
use crate::model::{Node, NodeStatus, Topology};

/// The nodes that should vote: an odd number, at most `max_voters`, spread over zones, with as few changes as possible.
/// A stopped voter keeps its seat, because it is expected back; a failed or leaving voter gives its seat to a live
/// spare.
///
/// `leading`, the node that is about to make the change, keeps its seat whatever its status is. Without it the others
/// may elect a leader while it holds its lease (Raft lets an only voter elect itself at once).
///
/// `caught_up` says whether a node's log is close enough for it to become a voter. Present voters are not asked.
pub(super) fn choose(
    topology: &Topology,
    present: &BTreeSet<RaftId>,
    leading: RaftId,
    max_voters: usize,
    caught_up: impl Fn(RaftId) -> bool,
) -> BTreeSet<RaftId> {
    let seated = |node: &&std::sync::Arc<Node>| present.contains(&node.raft_id);
    let members: Vec<_> = topology.nodes.values().collect();
    let spares: Vec<_> = members
        .iter()
        .copied()
        .filter(|node| node.status == NodeStatus::Active && !seated(node) && caught_up(node.raft_id))
        .collect();
    let mut keep: Vec<_> = members.iter().copied().filter(seated).collect();
    let wanted = odd((keep.len() + spares.len()).min(max_voters));

    // Where there are fewer seats, failed nodes lose theirs first, then leaving ones, then stopped ones: the new voters
    // must be able to commit their own election. Among equals the oldest stay, so that the choice is stable.
    keep.sort_by_key(|node| {
        let gone = match node.status {
            NodeStatus::Joining | NodeStatus::Active => 0,
            NodeStatus::Stopped => 1,
            NodeStatus::Leaving => 2,
            NodeStatus::Failed => 3,
        };
        (node.raft_id != leading, gone, node.raft_id)
    });
    let dead = keep
        .iter()
        .filter(|node| matches!(node.status, NodeStatus::Failed | NodeStatus::Leaving))
        .filter(|node| node.raft_id != leading)
        .count();
    let replaced = dead.min(spares.len());
    keep.truncate((keep.len() - replaced).min(wanted));

    let mut zones: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for node in &keep {
        *zones.entry(node.zone.as_deref()).or_default() += 1;
    }
    let mut chosen: BTreeSet<RaftId> = keep.iter().map(|node| node.raft_id).collect();
    let mut spares = spares;
    while chosen.len() < wanted {
        let seats = |node: &Node| zones.get(&node.zone.as_deref()).copied().unwrap_or(0);
        let next = spares
            .iter()
            .enumerate()
            .min_by_key(|(_, node)| (seats(node), node.raft_id))
            .map(|(i, _)| i);
        let Some(next) = next else { break };
        let node = spares.remove(next);
        *zones.entry(node.zone.as_deref()).or_default() += 1;
        chosen.insert(node.raft_id);
    }
    chosen
}

/// The largest odd number that is not above `n`; 1 for 0.
fn odd(n: usize) -> usize {
    if n == 0 { 1 } else { n - (n + 1) % 2 }
}

#[cfg(test)]
mod tests {
    mod scenarios;

    use std::sync::Arc;

    use super::*;

    fn topology(nodes: &[(&str, RaftId, NodeStatus, Option<&str>)]) -> Topology {
        let mut topology = Topology::default();
        for (id, raft_id, status, zone) in nodes {
            let node = Node {
                status: *status,
                zone: zone.map(str::to_owned),
                raft_id: *raft_id,
                incarnation: *raft_id,
                voter: false,
                ..Node::sample(id)
            };
            topology.nodes.insert(node.id.clone(), Arc::new(node));
        }
        topology
    }

    fn active(n: u64) -> Topology {
        let names: Vec<String> = (1..=n).map(|i| format!("n{i:02}")).collect();
        let nodes: Vec<_> = names
            .iter()
            .zip(1..)
            .map(|(name, i)| (name.as_str(), i, NodeStatus::Active, None))
            .collect();
        topology(&nodes)
    }

    #[test]
    fn the_number_of_voters_is_odd_and_bounded() {
        for (n, expected) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (10, 5)] {
            let chosen = choose(&active(n), &BTreeSet::from([1]), 1, 5, |_| true);
            assert_eq!(chosen.len(), expected, "{n} nodes");
            assert!(chosen.contains(&1), "the present voter keeps its seat");
        }
    }

    #[test]
    fn a_node_that_lags_gets_no_vote() {
        let chosen = choose(&active(3), &BTreeSet::from([1]), 1, 5, |id| id != 3);
        assert_eq!(chosen, BTreeSet::from([1]));
    }

    #[test]
    fn a_stopped_voter_keeps_its_seat_and_a_failed_one_is_replaced() {
        let nodes = |status| {
            topology(&[
                ("a", 1, NodeStatus::Active, None),
                ("b", 2, NodeStatus::Active, None),
                ("c", 3, status, None),
                ("d", 4, NodeStatus::Active, None),
            ])
        };
        let present = BTreeSet::from([1, 2, 3]);
        assert_eq!(
            choose(&nodes(NodeStatus::Stopped), &present, 1, 3, |_| true),
            present
        );
        assert_eq!(
            choose(&nodes(NodeStatus::Failed), &present, 1, 3, |_| true),
            BTreeSet::from([1, 2, 4])
        );
        // Without a spare the failed voter keeps its seat: fewer voters would not be safer.
        assert_eq!(
            choose(&nodes(NodeStatus::Failed), &present, 1, 3, |_| false),
            present
        );
    }

    #[test]
    fn voters_are_spread_over_zones() {
        let nodes = topology(&[
            ("a", 1, NodeStatus::Active, Some("x")),
            ("b", 2, NodeStatus::Active, Some("x")),
            ("c", 3, NodeStatus::Active, Some("x")),
            ("d", 4, NodeStatus::Active, Some("y")),
            ("e", 5, NodeStatus::Active, Some("z")),
        ]);
        assert_eq!(
            choose(&nodes, &BTreeSet::from([1]), 1, 3, |_| true),
            BTreeSet::from([1, 4, 5])
        );
    }

    #[test]
    fn who_stays_when_there_are_fewer_seats_can_elect_and_leads_already() {
        let nodes = topology(&[
            ("a", 1, NodeStatus::Stopped, None),
            ("b", 2, NodeStatus::Active, None),
        ]);
        let present = BTreeSet::from([1, 2, 3]);
        assert_eq!(choose(&nodes, &present, 2, 5, |_| true), BTreeSet::from([2]));
        assert_eq!(choose(&active(2), &present, 2, 5, |_| true), BTreeSet::from([2]));
    }

    #[test]
    fn a_leader_that_is_held_for_failed_keeps_its_seat() {
        let nodes = topology(&[
            ("a", 1, NodeStatus::Active, None),
            ("b", 2, NodeStatus::Failed, None),
            ("c", 3, NodeStatus::Active, None),
        ]);
        for present in [[2].as_slice(), &[1, 2], &[1, 2, 9], &[1, 2, 3]] {
            let present = present.iter().copied().collect();
            for max_voters in [1, 3, 5] {
                let chosen = choose(&nodes, &present, 2, max_voters, |_| true);
                assert!(
                    chosen.contains(&2),
                    "{present:?}, at most {max_voters}: {chosen:?}"
                );
            }
        }
    }

    #[test]
    fn a_removed_voter_loses_its_seat() {
        let mut nodes = active(4);
        nodes.nodes.remove("n01");
        assert_eq!(
            choose(&nodes, &BTreeSet::from([1, 2, 3]), 2, 5, |_| true),
            BTreeSet::from([2, 3, 4])
        );
    }
}
