//! Moves in two phases, and what can happen between the phases.

use super::lab::{Lab, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, RebalanceTrigger, Target};
use crate::state::{Command, Expect, Grant, Reply};

/// Partition 0 is on a, and moves to b.
fn on_its_way() -> Lab {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a")], 1);
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    lab
}

#[test]
fn a_confirmation_of_an_earlier_assignment_counts_for_nothing() {
    let mut lab = on_its_way();
    let late = lab.confirm("b");
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("c"))]));
    assert_eq!(lab.ok(late.clone()), Reply::Partitions(0), "b is to drop it");
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]));
    assert_eq!(lab.ok(late), Reply::Partitions(0), "b is to copy it anew");
    assert_eq!(lab.partition(0), "a@1 a b?");
    assert_eq!(lab.ok(lab.confirm("b")), Reply::Partitions(1));
    assert_eq!(lab.partition(0), "a@1 a b");
}

#[test]
fn a_node_that_does_not_serve_confirms_nothing() {
    let mut lab = on_its_way();
    let late = lab.confirm("b");
    lab.fail("b");
    assert_eq!(lab.refused(late), ErrorCode::Conflict);
    let raft_id = Some(lab.node("b").raft_id);
    lab.ok(lab.join("b", 60, raft_id));
    assert_eq!(
        lab.refused(lab.confirm("b")),
        ErrorCode::Conflict,
        "it has not caught up"
    );
    assert_eq!(lab.partition(0), "a@1 a b?");
}

#[test]
fn a_plan_on_a_topology_that_moved_is_refused() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let plan = lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]);
    let remove = lab.remove("b", LeaveReason::RemovedByAdmin);
    lab.start("c", 9, None);
    assert_eq!(lab.refused(plan), ErrorCode::Conflict);
    assert_eq!(lab.refused(remove), ErrorCode::Conflict);
}

#[test]
fn what_changes_no_plan_refuses_none() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let plan = lab.plan(RebalanceTrigger::Manual, "", &[(0, target("b"))]);
    lab.ok(Command::SetData {
        key: "k".to_owned(),
        value: vec![1].into(),
        expect: Expect::Any,
    });
    lab.ok(lab.release());
    lab.ok(lab.grant());
    lab.ok(lab.confirm("b"));
    lab.vote(vec![1]);
    assert_eq!(lab.ok(plan), Reply::Partitions(1));
}

#[test]
fn the_target_fails_before_the_grant_and_the_old_primary_gets_its_role_back() {
    let mut lab = on_its_way();
    lab.ok(lab.confirm("b"));
    lab.ok(lab.release());
    let stale = lab.grant();
    assert_eq!(lab.partition(0), "-@1 a b");
    lab.told();
    lab.fail("b");
    assert_eq!(
        lab.told(),
        [
            "leave b (health_check_failure), led -, copies 0",
            "rebalance done: manual , 1 to move, a+b, 3 ms",
            "health degraded: 2 of 3 well, not b",
        ]
    );
    assert_eq!(lab.ok(stale), Reply::Partitions(0), "b has not the data any more");
    lab.ok(lab.grant());
    assert_eq!(lab.told(), ["p0 a leads at 2 (rebalance)"]);
}

#[test]
fn the_old_primary_fails_between_release_and_grant() {
    let mut lab = on_its_way();
    lab.ok(lab.confirm("b"));
    lab.ok(lab.release());
    lab.fail("a");
    assert_eq!(lab.partition(0), "-@1 a? b");
    lab.told();
    assert_eq!(lab.ok(lab.grant()), Reply::Partitions(1));
    assert_eq!(
        lab.told(),
        [
            "p0 b leads at 2 [->b] (manual)",
            "p0 a drops (manual)",
            "rebalance done: manual , 1 to move, a+b, 4 ms",
        ]
    );
}

#[test]
fn a_grant_counts_once() {
    let mut lab = on_its_way();
    lab.ok(lab.confirm("b"));
    lab.ok(lab.release());
    let grant = lab.grant();
    assert_eq!(lab.ok(grant.clone()), Reply::Partitions(1));
    assert_eq!(lab.ok(grant), Reply::Partitions(0));
    let seize = Command::Grant {
        grants: vec![Grant {
            number: 0,
            epoch: 2,
            to: "c".into(),
        }],
    };
    assert_eq!(lab.ok(seize), Reply::Partitions(0), "somebody has the role");
    assert_eq!(lab.partition(0), "b@2 b");
}

#[test]
fn a_role_is_granted_only_on_the_epoch_at_hand_and_only_to_a_live_holder() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b")], 1);
    lab.fail("b");
    assert_eq!(lab.partition(0), "-@1 b", "b has the data, and is not there");
    let grant = |epoch, to: &str| Command::Grant {
        grants: vec![Grant {
            number: 0,
            epoch,
            to: to.into(),
        }],
    };
    for (epoch, to) in [(1, "b"), (1, "a"), (1, "x")] {
        assert_eq!(lab.ok(grant(epoch, to)), Reply::Partitions(0), "{to}");
    }
    let mut lab = on_its_way();
    lab.ok(lab.confirm("b"));
    let late = Command::Release {
        partitions: vec![(0, 0), (9, 1)],
    };
    assert_eq!(lab.ok(late), Reply::Partitions(0));
    lab.ok(lab.release());
    for epoch in [0, 2, u64::MAX] {
        assert_eq!(lab.ok(grant(epoch, "b")), Reply::Partitions(0), "{epoch}");
    }
    assert_eq!(lab.ok(grant(1, "b")), Reply::Partitions(1));
}

#[test]
fn a_plan_made_during_a_rebalance_joins_it() {
    let assignments = [target("a"), target("a")];
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 1);
    lab.ok(lab.plan(RebalanceTrigger::NodeJoin, "b", &[(0, target("b"))]));
    lab.ok(lab.plan(RebalanceTrigger::NodeJoin, "c", &[(1, target("c"))]));
    for node in ["b", "c"] {
        lab.ok(lab.confirm(node));
    }
    lab.ok(lab.release());
    lab.told();
    lab.ok(lab.grant());
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("rebalance done: node_join b, 2 to move, a+b+c, 5 ms")
    );
}

#[test]
fn a_plan_names_what_can_be() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b")], 2);
    lab.fail("b");
    lab.fail("c");
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
        let plan = lab.plan(RebalanceTrigger::Manual, "", &[(0, wrong.clone())]);
        assert_eq!(lab.refused(plan), ErrorCode::InvalidArgument, "{wrong:?}");
    }
    let twice = lab.plan(
        RebalanceTrigger::Manual,
        "",
        &[(0, target("a")), (0, target("a b"))],
    );
    assert_eq!(lab.refused(twice), ErrorCode::InvalidArgument);
    // A holder that is away keeps its place.
    let keep = lab.plan(RebalanceTrigger::Manual, "", &[(0, target("a b"))]);
    assert_eq!(lab.ok(keep), Reply::Unchanged);
}

#[test]
fn a_move_does_not_wait_for_a_holder_that_is_away() {
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("a b c")], 3);
    lab.stop("c");
    lab.told();
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &[(0, target("a c d"))]));
    lab.ok(lab.confirm("d"));
    assert_eq!(lab.partition(0), "a@1 a c? d", "b is dropped although c is away");
    assert!(
        lab.told().iter().any(|line| line.starts_with("rebalance done")),
        "the rebalance ends"
    );
    lab.restart("c");
    lab.ok(lab.confirm("c"));
    assert_eq!(lab.partition(0), "a@1 a c d");
}
