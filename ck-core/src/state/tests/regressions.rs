//! Mistakes of earlier systems that the state machine avoids.

use super::harness::{Harness, target};
use crate::error::ErrorCode;
use crate::model::{EventKind, LeaveReason, NodeId, RebalanceTrigger, RoleChange, Timestamp};
use crate::state::diff_events;

/// The sources that the last event about `node` named.
fn sources(harness: &Harness, node: &str) -> Vec<NodeId> {
    let change = harness.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::PartitionChange(change) if &*change.node_id == node => Some(change),
        _ => None,
    });
    let nodes = &change.expect("there is one").copy_from_nodes;
    nodes.iter().map(|node| node.id.clone()).collect()
}

#[test]
fn a_new_replica_copies_from_the_promoted_one() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b")], 2);
    harness.fail("a");
    harness.ok(harness.plan(RebalanceTrigger::NodeLeave, "a", &[(0, target("b c"))]));
    assert_eq!(sources(&harness, "c"), ["b".into()]);
    // The promoted node has the data: it has nothing to copy, and no source.
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b c")], 3);
    harness.fail("a");
    assert_eq!(harness.partition(0), "b@2 a? b c");
    assert!(sources(&harness, "b").is_empty());
}

#[test]
fn a_restart_emits_no_event_that_is_known() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    harness.fail("b");
    harness.restart("b");
    harness.ok(harness.confirm("b"));
    let topology = harness.state.topology();
    for me in ["a", "b"] {
        assert_eq!(
            diff_events(topology, topology, &me.into(), 9, Timestamp::from_millis(1)),
            []
        );
    }
}

#[test]
fn a_node_that_gets_a_snapshot_gets_the_events_of_its_partitions() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let before = harness.state.topology().clone();
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    let now = harness.state.topology();
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
fn nodes_that_lose_a_copy_get_an_event() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a c")], 2);
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b c"))]));
    harness.ok(harness.confirm("b"));
    harness.take_event_lines();
    harness.ok(harness.release());
    harness.ok(harness.grant());
    let told = harness.take_event_lines();
    assert!(
        told.contains(&"p0 a yields [a>-] (manual)".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"p0 a drops (manual)".to_owned()), "{told:?}");
    harness.fail("b");
    let told = harness.take_event_lines();
    assert!(
        told.contains(&"p0 b yields [b>c] (node_leave)".to_owned()),
        "{told:?}"
    );
}

#[test]
fn an_unknown_node_cannot_be_removed() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let remove = harness.remove("x", LeaveReason::RemovedByAdmin);
    assert_eq!(harness.refused(remove), ErrorCode::NotFound);
}

#[test]
fn events_have_the_actual_reasons_and_durations() {
    let assignments = [target("a b"), target("b c")];
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 2);
    harness.stop("a");
    harness.fail("b");
    let told = harness.take_event_lines();
    assert_eq!(told[0], "leave a (graceful_shutdown), led 0, copies -");
    assert!(
        told.contains(&"leave b (health_check_failure), led 0+1, copies -".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"p1 c leads at 2 [b>c] (node_leave)".to_owned()),
        "{told:?}"
    );
    harness.now += 70_000;
    harness.restart("b");
    let told = harness.take_event_lines();
    assert_eq!(
        told[0], "rejoin b after 70002 ms, had 0+1",
        "a rejoin, and no join"
    );
    assert!(
        told.contains(&"p1 b to copy from c (node_join)".to_owned()),
        "{told:?}"
    );
    let plan = harness.plan(RebalanceTrigger::NodeLeave, "a", &[(1, target("b"))]);
    harness.ok(plan);
    harness.now += 400;
    harness.ok(harness.confirm("b"));
    harness.ok(harness.release());
    harness.ok(harness.grant());
    assert_eq!(
        harness.take_event_lines(),
        [
            "rebalance starts: node_leave a, 1 to move, b+c",
            "p1 c yields [c>-] (node_leave)",
            "p1 b leads at 3 [c>b] (node_leave)",
            "p1 c drops (node_leave)",
            "rebalance done: node_leave a, 1 to move, b+c, 403 ms",
        ]
    );
}
