//! The life of a cluster, as its events describe it.

use super::harness::{Harness, bootstrap, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, NodeHealthState, RebalanceTrigger};
use crate::state::{Command, Reply};

#[test]
fn a_second_node_joins_and_takes_over_a_partition() {
    let mut harness = Harness::default();
    harness.ok(bootstrap("a", 2, 1));
    harness.ok(Command::LeaderElected {
        node: "a".into(),
        term: 1,
    });
    harness.ok(Command::CreatePartitions {
        assignments: vec![target("a"), target("a")],
        planned_on: harness.state.topology_revision(),
    });
    assert_eq!(
        harness.take_event_lines(),
        [
            "bootstrap a",
            "leader a, epoch 1",
            "p0 a leads at 1 [->a] (node_join)",
            "p1 a leads at 1 [->a] (node_join)",
        ]
    );

    harness.ok(harness.join("b", 7, None));
    assert!(
        harness.take_event_lines().is_empty(),
        "nobody hears of a node that has not caught up"
    );
    harness.ok(harness.activate("b"));
    harness.ok(harness.plan(RebalanceTrigger::NodeJoin, "b", &[(1, target("b"))]));
    assert_eq!(
        harness.take_event_lines(),
        [
            "join b, 2 members",
            "rebalance starts: node_join b, 1 to move, a+b",
            "p1 b to copy from a (node_join)",
        ]
    );
    assert_eq!(harness.partition(1), "a@1 a b?");
    assert_eq!(
        harness.ok(harness.release()),
        Reply::Partitions(0),
        "b has no data yet"
    );

    harness.ok(harness.confirm("b"));
    assert!(harness.take_event_lines().is_empty());
    harness.ok(harness.release());
    assert_eq!(harness.take_event_lines(), ["p1 a yields [a>-] (node_join)"]);
    assert_eq!(harness.partition(1), "-@1 a b");
    harness.ok(harness.grant());
    assert_eq!(
        harness.take_event_lines(),
        [
            "p1 b leads at 2 [a>b] (node_join)",
            "p1 a drops (node_join)",
            "rebalance done: node_join b, 1 to move, a+b, 4 ms",
        ]
    );
    assert_eq!(harness.partition(1), "b@2 b");
}

#[test]
fn a_failed_primary_is_followed_by_holders_of_the_data_in_one_commit() {
    let assignments = [target("a b"), target("b a"), target("c a")];
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 2);
    harness.fail("a");
    assert_eq!(
        harness.take_event_lines(),
        [
            "leave a (health_check_failure), led 0, copies 1+2",
            "p0 a yields [a>b] (node_leave)",
            "p0 b leads at 2 [a>b] (node_leave)",
            "health degraded: 2 of 3 well, not a",
        ]
    );
    assert_eq!(harness.partition(0), "b@2 a? b");
    assert_eq!(harness.partition(1), "b@1 a? b");
}

#[test]
fn a_failed_primary_without_a_named_successor_leaves_the_role_vacant_until_it_is_granted() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    let Command::MarkDown {
        node,
        incarnation,
        reason,
        planned_on,
        ..
    } = harness.mark_down("a", LeaveReason::HealthCheckFailure)
    else {
        unreachable!("that is a Down");
    };
    harness.ok(Command::MarkDown {
        node,
        incarnation,
        reason,
        promotions: Vec::new(),
        planned_on,
        silent_ms: 0,
        unleased_from: None,
    });
    assert_eq!(harness.partition(0), "-@1 a? b");
    harness.take_event_lines();
    harness.ok(harness.grant());
    assert_eq!(harness.take_event_lines(), ["p0 b leads at 2 [->b] (node_leave)"]);
}

#[test]
fn health_goes_from_healthy_to_critical_and_back() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b c")], 3);
    let report = |harness: &Harness, node: &str, health, reason: &str| Command::ReportHealth {
        node: node.into(),
        incarnation: harness.node(node).incarnation,
        health,
        reason: reason.to_owned(),
    };
    harness.ok(report(&harness, "b", NodeHealthState::Degraded, "disk is slow"));
    harness.ok(report(&harness, "c", NodeHealthState::Failing, "no disk"));
    let planned_on = harness.state.topology_revision();
    assert_eq!(
        harness.ok(report(&harness, "c", NodeHealthState::Failing, "no disk")),
        Reply::Unchanged
    );
    assert_eq!(
        harness.state.topology_revision(),
        planned_on,
        "no news makes no plan stale"
    );
    harness.ok(report(&harness, "c", NodeHealthState::Healthy, ""));
    harness.ok(report(&harness, "b", NodeHealthState::Healthy, ""));
    assert_eq!(
        harness.take_event_lines(),
        [
            "health degraded: 2 of 3 well, not b",
            "health critical: 1 of 3 well, not b+c",
            "health degraded: 2 of 3 well, not b",
            "health healthy: 3 of 3 well, not -",
        ]
    );
    harness.fail("b");
    assert_eq!(
        harness.refused(report(&harness, "b", NodeHealthState::Failing, "late")),
        ErrorCode::Conflict
    );
    assert_eq!(harness.node("b").health, NodeHealthState::Healthy);
}

#[test]
fn a_drained_node_is_removed_and_all_events_are_emitted() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    let leave = Command::Leave {
        node: "b".into(),
        incarnation: harness.node("b").incarnation,
    };
    assert_eq!(harness.ok(leave.clone()), Reply::Done);
    assert_eq!(harness.ok(leave.clone()), Reply::Unchanged);
    harness.ok(harness.plan(RebalanceTrigger::NodeLeave, "b", &[(1, target("a"))]));
    harness.ok(harness.release());
    harness.ok(harness.grant());
    harness.take_event_lines();
    // One copy is still there when the deadline passes: the event for its loss is emitted, too.
    harness.ok(harness.remove("b", LeaveReason::GracefulShutdown));
    assert_eq!(
        harness.take_event_lines(),
        [
            "leave b (graceful_shutdown), led -, copies 0",
            "p0 b drops (node_leave)",
        ]
    );
    assert_eq!(harness.refused(leave), ErrorCode::NotFound);
}

#[test]
fn a_removed_primary_drops_its_copy_and_a_holder_follows() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("b a")], 2);
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(
        harness.take_event_lines(),
        [
            "leave b (removed_by_admin), led 0, copies -",
            "p0 b drops [b>a] (node_leave)",
            "p0 a leads at 2 [b>a] (node_leave)",
        ]
    );
    assert_eq!(
        harness.refused(harness.remove("a", LeaveReason::RemovedByAdmin)),
        ErrorCode::Refused,
        "the last one that serves stays"
    );
}

#[test]
fn the_last_copy_goes_with_its_node_and_no_copy_without_a_source_is_assigned() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("b"), target("a")], 1);
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(harness.partition(0), "-@1 ");
    harness.take_event_lines();
    let plan = harness.plan(RebalanceTrigger::NodeLeave, "b", &[(0, target("a"))]);
    assert_eq!(
        harness.ok(plan),
        Reply::Unchanged,
        "a lost partition is not given away silently"
    );
    assert!(harness.take_event_lines().is_empty());
}
