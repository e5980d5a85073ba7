//! Moves in two phases, and what can happen between the phases.

use super::harness::{Harness, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, RebalanceTrigger, Target};
use crate::state::{Command, Expect, Grant, Reply};

/// Partition 0 is on a, and moves to b.
fn with_pending_copy() -> Harness {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a")], 1);
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    harness
}

#[test]
fn a_confirmation_of_an_earlier_assignment_has_no_effect() {
    let mut harness = with_pending_copy();
    let late = harness.confirm("b");
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("c"))]));
    assert_eq!(harness.ok(late.clone()), Reply::Partitions(0), "b is to drop it");
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    assert_eq!(harness.ok(late), Reply::Partitions(0), "b is to copy it anew");
    assert_eq!(harness.partition(0), "a@1 a b?");
    assert_eq!(harness.ok(harness.confirm("b")), Reply::Partitions(1));
    assert_eq!(harness.partition(0), "a@1 a b");
}

#[test]
fn a_node_that_does_not_serve_confirms_nothing() {
    let mut harness = with_pending_copy();
    let late = harness.confirm("b");
    harness.fail("b");
    assert_eq!(harness.refused(late), ErrorCode::Conflict);
    let raft_id = Some(harness.node("b").raft_id);
    harness.ok(harness.join("b", 60, raft_id));
    assert_eq!(
        harness.refused(harness.confirm("b")),
        ErrorCode::Conflict,
        "it has not caught up"
    );
    assert_eq!(harness.partition(0), "a@1 a b?");
}

#[test]
fn a_plan_on_a_changed_topology_is_refused() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let plan = harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]);
    let remove = harness.remove("b", LeaveReason::RemovedByAdmin);
    harness.start("c", 9, None);
    assert_eq!(harness.refused(plan), ErrorCode::Conflict);
    assert_eq!(harness.refused(remove), ErrorCode::Conflict);
}

#[test]
fn commands_that_do_not_change_the_input_of_plans_make_none_stale() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let plan = harness.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]);
    harness.ok(Command::SetData {
        key: "k".to_owned(),
        value: vec![1].into(),
        expect: Expect::Any,
    });
    harness.ok(harness.release());
    harness.ok(harness.grant());
    harness.ok(harness.confirm("b"));
    harness.vote(vec![1]);
    assert_eq!(harness.ok(plan), Reply::Partitions(1));
}

#[test]
fn the_target_fails_before_the_grant_and_the_old_primary_gets_its_role_back() {
    let mut harness = with_pending_copy();
    harness.ok(harness.confirm("b"));
    harness.ok(harness.release());
    let stale = harness.grant();
    assert_eq!(harness.partition(0), "-@1 a b");
    harness.take_event_lines();
    harness.fail("b");
    assert_eq!(
        harness.take_event_lines(),
        [
            "leave b (health_check_failure), led -, copies 0",
            "rebalance done: manual , 1 to move, a+b, 3 ms",
            "health degraded: 2 of 3 well, not b",
        ]
    );
    assert_eq!(
        harness.ok(stale),
        Reply::Partitions(0),
        "b has not the data any more"
    );
    harness.ok(harness.grant());
    assert_eq!(harness.take_event_lines(), ["p0 a leads at 2 (rebalance)"]);
}

#[test]
fn the_old_primary_fails_between_release_and_grant() {
    let mut harness = with_pending_copy();
    harness.ok(harness.confirm("b"));
    harness.ok(harness.release());
    harness.fail("a");
    assert_eq!(harness.partition(0), "-@1 a? b");
    harness.take_event_lines();
    assert_eq!(harness.ok(harness.grant()), Reply::Partitions(1));
    assert_eq!(
        harness.take_event_lines(),
        [
            "p0 b leads at 2 [->b] (manual)",
            "p0 a drops (manual)",
            "rebalance done: manual , 1 to move, a+b, 4 ms",
        ]
    );
}

#[test]
fn a_grant_counts_once() {
    let mut harness = with_pending_copy();
    harness.ok(harness.confirm("b"));
    harness.ok(harness.release());
    let grant = harness.grant();
    assert_eq!(harness.ok(grant.clone()), Reply::Partitions(1));
    assert_eq!(harness.ok(grant), Reply::Partitions(0));
    let seize = Command::Grant {
        grants: vec![Grant {
            number: 0,
            epoch: 2,
            to: "c".into(),
        }],
    };
    assert_eq!(harness.ok(seize), Reply::Partitions(0), "somebody has the role");
    assert_eq!(harness.partition(0), "b@2 b");
}

#[test]
fn a_role_is_granted_only_on_the_epoch_at_hand_and_only_to_a_live_holder() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b")], 1);
    harness.fail("b");
    assert_eq!(harness.partition(0), "-@1 b", "b has the data, and is not there");
    let grant = |epoch, to: &str| Command::Grant {
        grants: vec![Grant {
            number: 0,
            epoch,
            to: to.into(),
        }],
    };
    for (epoch, to) in [(1, "b"), (1, "a"), (1, "x")] {
        assert_eq!(harness.ok(grant(epoch, to)), Reply::Partitions(0), "{to}");
    }
    let mut harness = with_pending_copy();
    harness.ok(harness.confirm("b"));
    let late = Command::Release {
        partitions: vec![(0, 0), (9, 1)],
    };
    assert_eq!(harness.ok(late), Reply::Partitions(0));
    harness.ok(harness.release());
    for epoch in [0, 2, u64::MAX] {
        assert_eq!(harness.ok(grant(epoch, "b")), Reply::Partitions(0), "{epoch}");
    }
    assert_eq!(harness.ok(grant(1, "b")), Reply::Partitions(1));
}

#[test]
fn a_plan_made_during_a_rebalance_joins_it() {
    let assignments = [target("a"), target("a")];
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 1);
    harness.ok(harness.plan(RebalanceTrigger::NodeJoin, "b", &[(0, target("b"))]));
    harness.ok(harness.plan(RebalanceTrigger::NodeJoin, "c", &[(1, target("c"))]));
    for node in ["b", "c"] {
        harness.ok(harness.confirm(node));
    }
    harness.ok(harness.release());
    harness.take_event_lines();
    harness.ok(harness.grant());
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("rebalance done: node_join b, 2 to move, a+b+c, 5 ms")
    );
}

#[test]
fn a_plan_is_checked() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b")], 2);
    harness.fail("b");
    harness.fail("c");
    let bad = |nodes: &[&str], primary: &str| Target {
        nodes: nodes.iter().map(|id| (*id).into()).collect(),
        primary: primary.into(),
    };
    for wrong in [
        bad(&[], "a"),
        bad(&["a"], "b"),
        bad(&["b", "a"], "a"),
        bad(&["a", "a"], "a"),
        bad(&["a", "x"], "a"),
        bad(&["a", "c"], "a"),
        bad(&["a", "b"], "b"),
    ] {
        let plan = harness.plan(RebalanceTrigger::Manual, "", &[(0, wrong.clone())]);
        assert_eq!(harness.refused(plan), ErrorCode::InvalidArgument, "{wrong:?}");
    }
    let twice = harness.plan(
        RebalanceTrigger::Manual,
        "",
        &[(0, target("a")), (0, target("a b"))],
    );
    assert_eq!(harness.refused(twice), ErrorCode::InvalidArgument);
    // A holder that is away keeps its place.
    let keep = harness.plan(RebalanceTrigger::Manual, "", &[(0, target("a b"))]);
    assert_eq!(harness.ok(keep), Reply::Unchanged);
}

#[test]
fn a_move_does_not_wait_for_a_holder_that_is_away() {
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("a b c")], 3);
    harness.stop("c");
    harness.take_event_lines();
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &[(0, target("a c d"))]));
    harness.ok(harness.confirm("d"));
    assert_eq!(
        harness.partition(0),
        "a@1 a c? d",
        "b is dropped although c is away"
    );
    assert!(
        harness
            .take_event_lines()
            .iter()
            .any(|line| line.starts_with("rebalance done")),
        "the rebalance ends"
    );
    harness.restart("c");
    harness.ok(harness.confirm("c"));
    assert_eq!(harness.partition(0), "a@1 a c d");
}
