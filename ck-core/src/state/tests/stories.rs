//! The life of a cluster, as its events describe it.

use super::lab::{Lab, bootstrap, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, NodeHealthState, RebalanceTrigger};
use crate::state::{Command, Reply};

#[test]
fn a_second_node_joins_and_takes_over_a_partition() {
    let mut lab = Lab::default();
    lab.ok(bootstrap("a", 2, 1));
    lab.ok(Command::LeaderElected {
        node: "a".into(),
        term: 1,
    });
    lab.ok(Command::CreatePartitions {
        assignments: vec![target("a"), target("a")],
        planned_on: lab.state.topology_revision(),
    });
    assert_eq!(
        lab.told(),
        [
            "bootstrap a",
            "leader a, epoch 1",
            "p0 a leads at 1 [->a] (node_join)",
            "p1 a leads at 1 [->a] (node_join)",
        ]
    );

    lab.ok(lab.join("b", 7, None));
    assert!(
        lab.told().is_empty(),
        "nobody hears of a node that has not caught up"
    );
    lab.ok(lab.activate("b"));
    lab.ok(lab.plan(RebalanceTrigger::NodeJoin, "b", &[(1, target("b"))]));
    assert_eq!(
        lab.told(),
        [
            "join b, 2 members",
            "rebalance starts: node_join b, 1 to move, a+b",
            "p1 b to copy from a (node_join)",
        ]
    );
    assert_eq!(lab.partition(1), "a@1 a b?");
    assert_eq!(lab.ok(lab.release()), Reply::Partitions(0), "b has no data yet");

    lab.ok(lab.confirm("b"));
    assert!(lab.told().is_empty());
    lab.ok(lab.release());
    assert_eq!(lab.told(), ["p1 a yields [a>-] (node_join)"]);
    assert_eq!(lab.partition(1), "-@1 a b");
    lab.ok(lab.grant());
    assert_eq!(
        lab.told(),
        [
            "p1 b leads at 2 [a>b] (node_join)",
            "p1 a drops (node_join)",
            "rebalance done: node_join b, 1 to move, a+b, 4 ms",
        ]
    );
    assert_eq!(lab.partition(1), "b@2 b");
}

#[test]
fn a_failed_primary_is_followed_by_holders_of_the_data_in_one_commit() {
    let assignments = [target("a b"), target("b a"), target("c a")];
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 2);
    lab.fail("a");
    assert_eq!(
        lab.told(),
        [
            "leave a (health_check_failure), led 0, copies 1+2",
            "p0 a yields [a>b] (node_leave)",
            "p0 b leads at 2 [a>b] (node_leave)",
            "health degraded: 2 of 3 well, not a",
        ]
    );
    assert_eq!(lab.partition(0), "b@2 a? b");
    assert_eq!(lab.partition(1), "b@1 a? b");
}

#[test]
fn a_failed_primary_without_a_named_successor_leaves_the_role_vacant_until_it_is_granted() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    let Command::MarkDown {
        node,
        incarnation,
        reason,
        planned_on,
        ..
    } = lab.mark_down("a", LeaveReason::HealthCheckFailure)
    else {
        unreachable!("that is a Down");
    };
    lab.ok(Command::MarkDown {
        node,
        incarnation,
        reason,
        promotions: Vec::new(),
        planned_on,
        silent_ms: 0,
        unleased_from: None,
    });
    assert_eq!(lab.partition(0), "-@1 a? b");
    lab.told();
    lab.ok(lab.grant());
    assert_eq!(lab.told(), ["p0 b leads at 2 [->b] (node_leave)"]);
}

#[test]
fn health_goes_from_healthy_to_critical_and_back() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b c")], 3);
    let report = |lab: &Lab, node: &str, health, reason: &str| Command::ReportHealth {
        node: node.into(),
        incarnation: lab.node(node).incarnation,
        health,
        reason: reason.to_owned(),
    };
    lab.ok(report(&lab, "b", NodeHealthState::Degraded, "disk is slow"));
    lab.ok(report(&lab, "c", NodeHealthState::Failing, "no disk"));
    let planned_on = lab.state.topology_revision();
    assert_eq!(
        lab.ok(report(&lab, "c", NodeHealthState::Failing, "no disk")),
        Reply::Unchanged
    );
    assert_eq!(
        lab.state.topology_revision(),
        planned_on,
        "no news makes no plan stale"
    );
    lab.ok(report(&lab, "c", NodeHealthState::Healthy, ""));
    lab.ok(report(&lab, "b", NodeHealthState::Healthy, ""));
    assert_eq!(
        lab.told(),
        [
            "health degraded: 2 of 3 well, not b",
            "health critical: 1 of 3 well, not b+c",
            "health degraded: 2 of 3 well, not b",
            "health healthy: 3 of 3 well, not -",
        ]
    );
    lab.fail("b");
    assert_eq!(
        lab.refused(report(&lab, "b", NodeHealthState::Failing, "late")),
        ErrorCode::Conflict
    );
    assert_eq!(lab.node("b").health, NodeHealthState::Healthy);
}

#[test]
fn a_drained_node_is_removed_and_nothing_goes_untold() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    let leave = Command::Leave {
        node: "b".into(),
        incarnation: lab.node("b").incarnation,
    };
    assert_eq!(lab.ok(leave.clone()), Reply::Done);
    assert_eq!(lab.ok(leave.clone()), Reply::Unchanged);
    lab.ok(lab.plan(RebalanceTrigger::NodeLeave, "b", &[(1, target("a"))]));
    lab.ok(lab.release());
    lab.ok(lab.grant());
    lab.told();
    // One copy is still there when the deadline passes: the event for its loss is emitted, too.
    lab.ok(lab.remove("b", LeaveReason::GracefulShutdown));
    assert_eq!(
        lab.told(),
        [
            "leave b (graceful_shutdown), led -, copies 0",
            "p0 b drops (node_leave)",
        ]
    );
    assert_eq!(lab.refused(leave), ErrorCode::NotFound);
}

#[test]
fn a_removed_primary_drops_its_copy_and_a_holder_follows() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("b a")], 2);
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(
        lab.told(),
        [
            "leave b (removed_by_admin), led 0, copies -",
            "p0 b drops [b>a] (node_leave)",
            "p0 a leads at 2 [b>a] (node_leave)",
        ]
    );
    assert_eq!(
        lab.refused(lab.remove("a", LeaveReason::RemovedByAdmin)),
        ErrorCode::Refused,
        "the last one that serves stays"
    );
}

#[test]
fn the_last_copy_goes_with_its_node_and_nobody_is_told_to_copy_from_nobody() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("b"), target("a")], 1);
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(lab.partition(0), "-@1 ");
    lab.told();
    let plan = lab.plan(RebalanceTrigger::NodeLeave, "b", &[(0, target("a"))]);
    assert_eq!(
        lab.ok(plan),
        Reply::Unchanged,
        "a lost partition is not given away silently"
    );
    assert!(lab.told().is_empty());
}
