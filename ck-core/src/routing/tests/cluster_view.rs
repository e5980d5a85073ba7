use std::sync::Arc;

use proptest::prelude::*;

use crate::model::{NodeStatus, PartitionState, Partitions, Role, Topology};

use super::super::partition_counts::PartitionCounts;
use super::super::{ClusterView, KeyCounts, PartitionRef, partition_for};
use super::{ids, key_in, node, partition, small, topology};

fn view(topology: Topology, me: &str) -> ClusterView {
    ClusterView::new(Arc::new(topology), 7, me)
}

#[test]
fn a_partition_names_its_holders_and_its_epoch() {
    let view = view(small(), "a");
    let found = view.partition_by_number(2).unwrap();
    assert_eq!(found.number(), 2);
    assert_eq!(found.id(), "partition-2");
    assert_eq!(found.id(), crate::model::partition_id(2));
    assert_eq!(found.epoch(), 102);
    assert_eq!(&*found.primary().unwrap().id, "a");
    assert_eq!(ids(found.replicas()), ["b"]);
    assert_eq!(ids(found.nodes()), ["a", "b"]);
    assert_eq!(ids(found.pending()), ["c"]);
    assert_eq!(found.nodes().len(), 2);
}

#[test]
fn the_primary_comes_first_and_replicas_are_sorted() {
    let view = view(
        topology(&["a", "b", "c"], vec![partition(0, &["b", "c", "a"], &[])]),
        "a",
    );
    let found = view.partition_by_number(0).unwrap();
    assert_eq!(ids(found.nodes()), ["b", "a", "c"]);
    assert_eq!(ids(found.replicas()), ["a", "c"]);
}

#[test]
fn between_release_and_grant_there_is_no_primary_and_every_holder_is_a_replica() {
    let view = view(small(), "a");
    let found = view.partition_by_number(3).unwrap();
    assert!(found.primary().is_none());
    assert_eq!(ids(found.replicas()), ["a", "c"]);
    assert_eq!(ids(found.nodes()), ["a", "c"]);
    assert_eq!(found.role(), Some(Role::Replica));
}

#[test]
fn every_key_call_agrees_with_the_partition_of_the_key() {
    let topology = Arc::new(small());
    for me in ["a", "b", "c", "stranger"] {
        let view = ClusterView::new(Arc::clone(&topology), 7, me);
        for number in 0..5 {
            let key = key_in(number, 5);
            let found = view.partition(&key).unwrap();
            assert_eq!(found.number(), number);
            let primary = found.primary().map(|node| &*node.id);
            assert_eq!(view.primary_node(&key).map(|node| &*node.id), primary);
            let (replicas, all) = (ids(found.replicas()), ids(found.nodes()));
            assert_eq!(ids(view.replica_nodes(&key).unwrap()), replicas);
            assert_eq!(ids(view.all_nodes_for_key(&key).unwrap()), all);
            assert_eq!(ids(view.nodes_for_key(&key).unwrap()), all);

            let (is_primary, is_replica) = (primary == Some(me), replicas.contains(&me));
            assert_eq!(view.is_primary(number), is_primary);
            assert_eq!(view.is_replica(number), is_replica);
            assert_eq!(view.is_primary_for_key(&key), is_primary);
            assert_eq!(view.is_replica_for_key(&key), is_replica);
            let role = match (is_primary, is_replica) {
                (true, false) => Some(Role::Primary),
                (false, true) => Some(Role::Replica),
                (false, false) => None,
                (true, true) => panic!("{me} has two roles for partition {number}"),
            };
            assert_eq!(view.should_handle_key(&key), role);
            let responsibility = view.am_i_responsible_for(&key).unwrap();
            assert_eq!(responsibility.role, role);
            assert_eq!(ids(responsibility.nodes), all);
        }
    }
}

#[test]
fn a_pending_copy_has_no_role() {
    let view = view(small(), "c");
    assert!(!view.is_primary(2) && !view.is_replica(2));
    assert_eq!(view.should_handle_key(&key_in(2, 5)), None);
}

#[test]
fn before_there_are_partitions_every_call_answers_and_none_panics() {
    let mut formed = topology(&["a"], Vec::new());
    formed.config.partition_count = 64;
    for view in [view(Topology::default(), "a"), view(formed, "a")] {
        let key = b"key".as_slice();
        assert_eq!(view.partition_count(), 0);
        assert_eq!(view.partitions().len(), 0);
        assert!(view.partition(key).is_none());
        assert!(view.partition_by_number(0).is_none());
        assert!(view.partition_by_id("partition-0").is_none());
        assert!(view.primary_node(key).is_none());
        assert!(view.replica_nodes(key).is_none());
        assert!(view.all_nodes_for_key(key).is_none());
        assert!(view.nodes_for_key(key).is_none());
        assert!(!view.is_primary(0) && !view.is_replica(0));
        assert!(!view.is_primary_for_key(key) && !view.is_replica_for_key(key));
        assert_eq!(view.should_handle_key(key), None);
        assert!(view.am_i_responsible_for(key).is_none());
        let mut numbers = vec![9];
        assert!(!view.route_many([key], &mut numbers));
        assert_eq!(numbers, [9]);
        let mut primaries = Vec::new();
        view.primary_nodes([key], &mut primaries);
        assert_eq!(primaries, [None]);
        assert_eq!(view.count_by_primary([key]).without_primary, 1);
    }
}

#[test]
fn a_primary_that_is_no_member_is_not_reported() {
    let view = view(
        topology(&["a", "b"], vec![partition(0, &["gone", "a"], &[])]),
        "gone",
    );
    let found = view.partition_by_number(0).unwrap();
    assert!(found.primary().is_none());
    assert_eq!(ids(found.nodes()), ["a"]);
    assert!(view.my_node().is_none());
    // Neither "no primary" nor "no member" may be taken for the other.
    assert_eq!(found.role(), None);
    assert!(!found.is_primary());
}

#[test]
fn numbers_and_names_out_of_range_find_nothing() {
    let view = view(small(), "a");
    assert!(view.partition_by_number(5).is_none());
    assert!(view.partition_by_number(u32::MAX).is_none());
    for bad in ["partition-5", "partition-04", "4", "", "partition-99999999999"] {
        assert!(view.partition_by_id(bad).is_none(), "{bad:?}");
    }
    assert_eq!(view.partition_by_id("partition-4").unwrap().number(), 4);
}

#[test]
fn many_keys_in_one_call_are_routed_as_one_by_one() {
    let view = view(small(), "a");
    let keys: Vec<Vec<u8>> = (0..500).map(|i| format!("user:{i}").into_bytes()).collect();
    let borrowed = || keys.iter().map(Vec::as_slice);

    let mut numbers = Vec::new();
    assert!(view.route_many(borrowed(), &mut numbers));
    let mut primaries = Vec::new();
    view.primary_nodes(borrowed(), &mut primaries);
    let mut counts = KeyCounts {
        per_node: vec![0; 3],
        without_primary: 0,
    };
    for (i, key) in borrowed().enumerate() {
        assert_eq!(numbers[i], view.partition(key).unwrap().number());
        assert_eq!(primaries[i], view.primary_node(key));
        match primaries[i] {
            Some(node) => counts.per_node[view.nodes().iter().position(|n| n == node).unwrap()] += 1,
            None => counts.without_primary += 1,
        }
    }
    assert_eq!(numbers.len(), 500);
    assert!(
        counts.without_primary > 0,
        "partitions 3 and 4 of `small` get keys"
    );
    assert_eq!(view.count_by_primary(borrowed()), counts);
}

#[test]
fn nodes_are_sorted_and_found_by_id() {
    let view = view(small(), "b");
    let all: Vec<&str> = view.nodes().iter().map(|node| &*node.id).collect();
    assert_eq!(all, ["a", "b", "c"]);
    assert_eq!(&*view.node("c").unwrap().id, "c");
    assert!(view.node("d").is_none() && view.node("").is_none());
    assert_eq!(&*view.my_node().unwrap().id, "b");
    assert_eq!(&**view.my_id(), "b");
    assert_eq!(view.revision(), 7);
}

#[test]
fn a_view_shares_with_the_one_before_what_did_not_change() {
    let partitions = (0..600)
        .map(|number| partition(number, &["a", "b"], &[]))
        .collect();
    let first = view(topology(&["a", "b"], partitions), "a");
    let mut changed = (**first.topology()).clone();
    changed.partitions[300] = partition(300, &["b", "a"], &[]);
    let second = first.updated(&Arc::new(changed), 8);
    let shared = |chunk: &usize| Arc::ptr_eq(&first.tables.chunks[*chunk], &second.tables.chunks[*chunk]);
    let (chunk, _) = Partitions::chunk_and_index(300);
    let apart: Vec<usize> = (0..first.tables.chunks.len())
        .filter(|chunk| !shared(chunk))
        .collect();
    assert_eq!(apart, [chunk]);
    let not_mine = second.partitions().filter(|found| !found.is_primary());
    assert!(not_mine.map(|found| found.number()).eq([300]));
}

#[test]
fn a_new_revision_of_the_same_topology_shares_the_tables() {
    let first = view(small(), "a");
    let second = first.with_revision(8);
    assert_eq!((first.revision(), second.revision()), (7, 8));
    assert!(Arc::ptr_eq(&first.tables, &second.tables));
    let third = second.updated(first.topology(), 9);
    assert_eq!(third.revision(), 9);
    assert!(Arc::ptr_eq(&first.tables, &third.tables));
}

#[test]
fn a_node_taken_from_a_view_keeps_reading_as_itself_after_a_removal() {
    let before = view(small(), "a");
    let b = Arc::clone(before.node("b").unwrap());
    let borrowed = before.partition_by_number(0).unwrap().primary().unwrap();

    let mut smaller = small();
    smaller.nodes.remove("b");
    let after = before.updated(&Arc::new(smaller), 8);

    assert_eq!((&*b.id, &*b.name), ("b", "B"));
    assert_eq!(&*borrowed.id, "b");
    assert!(after.node("b").is_none());
    // c moved up in the list; an index kept from before would read it for b.
    assert_eq!(&*after.nodes()[1].id, "c");
    assert_eq!(&*after.partition_by_number(1).unwrap().primary().unwrap().id, "c");
    assert!(after.partition_by_number(0).unwrap().primary().is_none());
}

#[test]
fn names_that_run_together_are_different_partitions_and_keys() {
    let partitions = (0..11).map(|n| partition(n, &["x", "0x"], &[])).collect();
    let view = view(topology(&["x", "0x"], partitions), "x");
    assert_eq!(view.partition_by_id("partition-1").unwrap().number(), 1);
    assert_eq!(view.partition_by_id("partition-10").unwrap().number(), 10);
    assert!(view.partition_by_id("partition-10x").is_none());
    assert!(view.is_primary(1) && view.is_primary(10));
    // A name is never hashed, alone or joined to a node's: only the key's own bytes choose.
    assert_ne!(
        partition_for(b"partition-1", 65536),
        partition_for(b"partition-10", 65536)
    );
}

/// A cluster in which partition holders are drawn from a few nodes, some of them no members.
fn any_topology() -> impl Strategy<Value = Topology> {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let holders = (
        proptest::sample::subsequence(&NAMES[..], 0..=3),
        proptest::sample::subsequence(&NAMES[..], 0..=2),
        any::<bool>(),
    );
    let partitions = proptest::collection::vec(holders, 1..12);
    let members = proptest::sample::subsequence(&NAMES[..], 0..=6);
    (members, partitions).prop_map(|(members, partitions)| {
        let partitions = partitions
            .into_iter()
            .zip(0..)
            .map(|((mut synced, mut pending, released), number)| {
                pending.retain(|id| !synced.contains(id));
                if released || synced.is_empty() {
                    synced.insert(0, "");
                }
                partition(number, &synced, &pending)
            })
            .collect();
        topology(&members, partitions)
    })
}

/// The counts of a view, computed without a cache.
fn fresh_counts(view: &ClusterView) -> PartitionCounts {
    let counts = ClusterView::new(Arc::clone(view.topology()), 1, "b").partition_counts();
    for state in PartitionState::ALL {
        let found = view
            .partitions()
            .filter(|partition| partition.state() == state)
            .count();
        assert_eq!(counts.in_state(state), found, "{state:?}");
    }
    assert_eq!(
        counts.pending,
        view.partitions()
            .map(|partition| partition.pending().len())
            .sum::<usize>()
    );
    let led = |partition: &PartitionRef<'_>| partition.primary().is_some_and(|node| node.status.is_serving());
    assert_eq!(counts.with_serving_primary, view.partitions().filter(led).count());
    counts
}

proptest! {
    /// However two topologies differ, updating the old view gives the same as building a new one.
    #[test]
    fn an_updated_view_equals_a_new_one(old in any_topology(), new in any_topology(), keep in any::<(u16, u16)>(),
                                        same_members in any::<bool>(), one_fails in any::<bool>(), in_place in any::<bool>()) {
        let mut new = new;
        if same_members {
            new.nodes = old.nodes.keys().map(|id| (Arc::clone(id), node(id))).collect();
        }
        if let Some(mut first) = new.nodes.first_entry().filter(|_| one_fails) {
            Arc::make_mut(first.get_mut()).status = NodeStatus::Failed;
        }
        let kept = |i: &usize| (keep.0 | keep.1) & (1 << i) != 0;
        let both = 0..new.partitions.len().min(old.partitions.len());
        if in_place {
            // A changed clone shares whole chunks; the same partitions in a new collection share none.
            let drawn = std::mem::replace(&mut new.partitions, old.partitions.clone());
            for i in both.filter(|i| !kept(i)) {
                new.partitions[i] = Arc::clone(&drawn[i]);
            }
        } else {
            for i in both.filter(kept) {
                new.partitions[i] = Arc::clone(&old.partitions[i]);
            }
        }
        let new = Arc::new(new);
        let old = view(old, "b");
        prop_assert_eq!(old.partition_counts(), fresh_counts(&old));
        let updated = old.updated(&new, 8);
        let fresh = ClusterView::new(Arc::clone(&new), 8, "b");
        prop_assert_eq!(&updated.tables.chunks, &fresh.tables.chunks);
        prop_assert_eq!(&updated.tables.nodes, &fresh.tables.nodes);
        prop_assert_eq!(updated.tables.my_index, fresh.tables.my_index);
        prop_assert_eq!(updated.tables.modulus, fresh.tables.modulus);
        prop_assert_eq!(updated.partition_counts(), fresh_counts(&fresh));
    }

    /// A view shows each partition as the topology has it, without ids of no member.
    #[test]
    fn a_view_shows_the_topology(topology in any_topology()) {
        let topology = Arc::new(topology);
        let view = ClusterView::new(Arc::clone(&topology), 1, "b");
        for (found, truth) in view.partitions().zip(&topology.partitions) {
            let member = |id: &&str| topology.nodes.contains_key(*id);
            let primary = truth.primary.as_deref().filter(member);
            let replicas: Vec<&str> =
                truth.synced().map(|id| &**id).filter(member).filter(|id| Some(*id) != primary).collect();
            let pending: Vec<&str> = truth.pending().map(|id| &**id).filter(member).collect();
            prop_assert_eq!(found.number(), truth.number);
            prop_assert_eq!(found.epoch(), truth.epoch);
            prop_assert_eq!(found.primary().map(|node| &*node.id), primary);
            prop_assert_eq!(ids(found.replicas()), replicas);
            prop_assert_eq!(ids(found.pending()), pending);
            prop_assert_eq!(found.is_primary(), primary == Some("b"));
        }
    }
}

/// A program that is no member has no id (`client`).
#[test]
fn a_view_of_nobody_has_every_lookup_but_no_part_of_its_own() {
    let view = ClusterView::new(Arc::new(small()), 5, "");
    assert_eq!((&**view.my_id(), view.my_node()), ("", None));
    for partition in view.partitions() {
        assert!(partition.role().is_none() && !partition.is_primary() && !partition.is_replica());
        assert!(!view.is_primary(partition.number()) && !view.is_replica(partition.number()));
    }
    let key = key_in(0, 5);
    assert_eq!(view.primary_node(&key).map(|node| &*node.id), Some("b"));
    assert_eq!(ids(view.all_nodes_for_key(&key).unwrap()), ["b", "a"]);
    assert!(!view.is_primary_for_key(&key) && !view.is_replica_for_key(&key));
    assert_eq!(view.should_handle_key(&key), None);
    let responsibility = view.am_i_responsible_for(&key).unwrap();
    assert_eq!((responsibility.role, responsibility.nodes.len()), (None, 2));
    // And one that is made of it later.
    let mut next = small();
    next.nodes.remove("c");
    assert_eq!(view.updated(&Arc::new(next), 6).my_node(), None);
}
