//! Mistakes of earlier systems that the state machine avoids.

use super::lab::{Lab, target};
use crate::error::ErrorCode;
use crate::model::{EventKind, LeaveReason, NodeId, RebalanceTrigger, RoleChange, Timestamp};
use crate::state::diff_events;

/// The sources that the last event about `node` named.
fn sources(lab: &Lab, node: &str) -> Vec<NodeId> {
    let change = lab.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::PartitionChange(change) if &*change.node_id == node => Some(change),
        _ => None,
    });
    let nodes = &change.expect("there is one").copy_from_nodes;
    nodes.iter().map(|node| node.id.clone()).collect()
}

#[test]
fn a_new_replica_copies_from_the_promoted_one() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b")], 2);
    lab.fail("a");
    lab.ok(lab.plan(RebalanceTrigger::NodeLeave, "a", &[(0, target("b c"))]));
    assert_eq!(sources(&lab, "c"), ["b".into()]);
    // The promoted node has the data: it has nothing to copy, and no source.
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b c")], 3);
    lab.fail("a");
    assert_eq!(lab.partition(0), "b@2 a? b c");
    assert!(sources(&lab, "b").is_empty());
}

#[test]
fn a_restart_is_told_nothing_that_it_knows() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    lab.fail("b");
    lab.restart("b");
    lab.ok(lab.confirm("b"));
    let topology = lab.state.topology();
    for me in ["a", "b"] {
        assert_eq!(
            diff_events(topology, topology, &me.into(), 9, Timestamp::from_millis(1)),
            []
        );
    }
}

#[test]
fn who_is_given_a_snapshot_is_told_its_partitions() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let before = lab.state.topology().clone();
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    let now = lab.state.topology();
    let told = diff_events(&before, now, &"b".into(), 9, Timestamp::from_millis(1));
    let [event] = &told[..] else {
        panic!("one event, not {told:?}");
    };
    let EventKind::PartitionChange(change) = &event.kind else {
        panic!("a partition change, not {event:?}");
    };
    assert_eq!(change.change, RoleChange::GainedReplica);
    assert_eq!(&*change.copy_from_nodes[0].id, "a");
}

#[test]
fn losers_are_told() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a c")], 2);
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b c"))]));
    lab.ok(lab.confirm("b"));
    lab.told();
    lab.ok(lab.release());
    lab.ok(lab.grant());
    let told = lab.told();
    assert!(
        told.contains(&"p0 a yields [a>-] (manual)".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"p0 a drops (manual)".to_owned()), "{told:?}");
    lab.fail("b");
    let told = lab.told();
    assert!(
        told.contains(&"p0 b yields [b>c] (node_leave)".to_owned()),
        "{told:?}"
    );
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let remove = lab.remove("x", LeaveReason::RemovedByAdmin);
    assert_eq!(lab.refused(remove), ErrorCode::NotFound);
}

#[test]
fn reasons_and_durations_are_what_happened() {
    let assignments = [target("a b"), target("b c")];
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 2);
    lab.stop("a");
    lab.fail("b");
    let told = lab.told();
    assert_eq!(told[0], "leave a (graceful_shutdown), led 0, copies -");
    assert!(
        told.contains(&"leave b (health_check_failure), led 0+1, copies -".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"p1 c leads at 2 [b>c] (node_leave)".to_owned()),
        "{told:?}"
    );
    lab.now += 70_000;
    lab.restart("b");
    let told = lab.told();
    assert_eq!(
        told[0], "rejoin b after 70002 ms, had 0+1",
        "a rejoin, and no join"
    );
    assert!(
        told.contains(&"p1 b to copy from c (node_join)".to_owned()),
        "{told:?}"
    );
    let plan = lab.plan(RebalanceTrigger::NodeLeave, "a", &[(1, target("b"))]);
    lab.ok(plan);
    lab.now += 400;
    lab.ok(lab.confirm("b"));
    lab.ok(lab.release());
    lab.ok(lab.grant());
    assert_eq!(
        lab.told(),
        [
            "rebalance starts: node_leave a, 1 to move, b+c",
            "p1 c yields [c>-] (node_leave)",
            "p1 b leads at 3 [c>b] (node_leave)",
            "p1 c drops (node_leave)",
            "rebalance done: node_leave a, 1 to move, b+c, 403 ms",
        ]
    );
}
