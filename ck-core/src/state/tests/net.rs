//! The net change leads from any state to any later one.

use std::sync::Arc;

use super::lab::{Lab, line, target};
use super::random::has_nothing_pending;
use super::shadow::Shadow;
use crate::model::{CopyState, LeaveReason, NodeId, Timestamp, Topology};
use crate::state::diff_events;

/// Checks the net change from each topology of a log to the last one, as each node sees it.
pub(super) fn net_changes_lead_from_any_to_any(seen: &[Arc<Topology>], lab: &Lab) {
    let last = lab.state.topology();
    let at = Timestamp::from_millis(1);
    for old in seen {
        let everybody = last.nodes.keys().cloned().chain([NodeId::from("nobody")]);
        for me in everybody {
            let mut shadow = Shadow::of(old);
            for event in diff_events(old, last, &me, 9, at) {
                assert_eq!((event.revision, event.timestamp), (9, at));
                shadow.hear(&event);
            }
            let mut wanted = Shadow::of(last);
            forget_untold(&mut wanted, old, last, &me);
            assert_eq!(shadow.settled(last), wanted.settled(last), "as {me} sees it");
        }
    }
    for me in last.nodes.keys() {
        let again = diff_events(last, last, me, 9, at);
        if has_nothing_pending(lab, me) {
            assert!(again.is_empty(), "{again:?}");
        }
    }
}

/// Removes the pending copies of `me` that cannot be made yet: their events come later.
fn forget_untold(wanted: &mut Shadow, old: &Topology, new: &Topology, me: &NodeId) {
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
            && let Some(known) = wanted.partitions.get_mut(&partition.number)
        {
            known.holders.remove(me);
        }
    }
}

fn net(old: &Topology, lab: &Lab, me: &str) -> Vec<String> {
    let at = Timestamp::from_millis(1);
    let events = diff_events(old, lab.state.topology(), &me.into(), 9, at);
    events.iter().map(line).collect()
}

#[test]
fn a_node_whose_return_is_in_the_snapshot_hears_that_it_is_back_before_it_copies() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("b a")], 2);
    let up = lab.state.topology().clone();
    lab.fail("b");
    let failed = lab.state.topology().clone();
    lab.now += 5000;
    let raft_id = Some(lab.node("b").raft_id);
    lab.ok(lab.join("b", 70, raft_id));
    let roles = [
        "p0 b yields [b>a] (rebalance)",
        "p0 a leads at 2 [b>a] (rebalance)",
    ];
    assert_eq!(net(&up, &lab, "b"), roles, "it does not serve yet: no copy");
    lab.ok(lab.activate("b"));
    let copy = "p0 b to copy from a [b>a] (rebalance)";
    let rejoin = "rejoin b after 0 ms, had 0";
    assert_eq!(net(&up, &lab, "b"), [rejoin, copy, roles[0], roles[1]]);
    assert_eq!(
        net(&failed, &lab, "b"),
        ["rejoin b after 5002 ms, had 0", "p0 b to copy from a (rebalance)"]
    );
}

#[test]
fn a_node_that_was_removed_and_joined_anew_left_and_joined() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    let old = lab.state.topology().clone();
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    lab.start("b", 9, None);
    assert_eq!(
        net(&old, &lab, "a"),
        [
            "leave b (removed_by_admin), led -, copies 0",
            "join b, 2 members",
            "p0 b drops (rebalance)",
        ]
    );
}
