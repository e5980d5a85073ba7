//! The net change leads from any state to any later one.

use std::sync::Arc;

use super::harness::{Harness, line, target};
use super::random::has_nothing_pending;
use super::shadow::Shadow;
use crate::model::{CopyState, LeaveReason, NodeId, Timestamp, Topology};
use crate::state::diff_events;

/// Checks the net change from each topology of a log to the last one, as each node sees it.
pub(super) fn net_changes_lead_from_any_topology_to_the_last(seen: &[Arc<Topology>], harness: &Harness) {
    let last = harness.state.topology();
    let at = Timestamp::from_millis(1);
    for old in seen {
        let everybody = last.nodes.keys().cloned().chain([NodeId::from("nobody")]);
        for me in everybody {
            let mut shadow = Shadow::of(old);
            for event in diff_events(old, last, &me, 9, at) {
                assert_eq!((event.revision, event.timestamp), (9, at));
                shadow.apply_event(&event);
            }
            let mut expected = Shadow::of(last);
            remove_unassigned_copies(&mut expected, old, last, &me);
            assert_eq!(shadow.settled(last), expected.settled(last), "as {me} sees it");
        }
    }
    for me in last.nodes.keys() {
        let again = diff_events(last, last, me, 9, at);
        if has_nothing_pending(harness, me) {
            assert!(again.is_empty(), "{again:?}");
        }
    }
}

/// Removes the pending copies of `me` that cannot be made yet: their events come later.
fn remove_unassigned_copies(expected: &mut Shadow, old: &Topology, new: &Topology, me: &NodeId) {
    let serves = |id: &NodeId| new.nodes.get(id).is_some_and(|node| node.status.is_serving());
    for partition in &new.partitions {
        let pending = partition
            .copy(me)
            .is_some_and(|copy| copy.state == CopyState::Pending);
        let held = old
            .partitions
            .get(partition.number as usize)
            .is_some_and(|p| p.copy(me).is_some());
        let possible = serves(me) && partition.synced().any(serves);
        if pending
            && !held
            && !possible
            && let Some(known) = expected.partitions.get_mut(&partition.number)
        {
            known.holders.remove(me);
        }
    }
}

fn net(old: &Topology, harness: &Harness, me: &str) -> Vec<String> {
    let at = Timestamp::from_millis(1);
    let events = diff_events(old, harness.state.topology(), &me.into(), 9, at);
    events.iter().map(line).collect()
}

#[test]
fn the_rejoin_event_of_a_snapshot_comes_before_the_copies() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("b a")], 2);
    let up = harness.state.topology().clone();
    harness.fail("b");
    let failed = harness.state.topology().clone();
    harness.now += 5000;
    let raft_id = Some(harness.node("b").raft_id);
    harness.ok(harness.join("b", 70, raft_id));
    let roles = [
        "p0 b yields [b>a] (rebalance)",
        "p0 a leads at 2 [b>a] (rebalance)",
    ];
    assert_eq!(net(&up, &harness, "b"), roles, "it does not serve yet: no copy");
    harness.ok(harness.activate("b"));
    let copy = "p0 b to copy from a [b>a] (rebalance)";
    let rejoin = "rejoin b after 0 ms, had 0";
    assert_eq!(net(&up, &harness, "b"), [rejoin, copy, roles[0], roles[1]]);
    assert_eq!(
        net(&failed, &harness, "b"),
        ["rejoin b after 5002 ms, had 0", "p0 b to copy from a (rebalance)"]
    );
}

#[test]
fn a_node_that_was_removed_and_joined_again_emits_leave_and_join() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    let old = harness.state.topology().clone();
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    harness.start("b", 9, None);
    assert_eq!(
        net(&old, &harness, "a"),
        [
            "leave b (removed_by_admin), led -, copies 0",
            "join b, 2 members",
            "p0 b drops (rebalance)",
        ]
    );
}
