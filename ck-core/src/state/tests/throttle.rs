//! How many copies a node makes at a time, abandoned copies, and partitions that no node has.

use super::harness::{Harness, target};
use crate::model::{LeaveReason, RebalanceTrigger, Target};
use crate::state::{Command, Reply};

/// Six partitions on a, moving to b, which copies two at a time.
fn throttled() -> Harness {
    let assignments: Vec<Target> = (0..6).map(|_| target("a")).collect();
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 1);
    harness.limit.node = 2;
    let targets: Vec<(u32, Target)> = (0..6).map(|number| (number, target("b"))).collect();
    assert_eq!(
        harness.ok(harness.plan(RebalanceTrigger::Manual, "", &targets)),
        Reply::Partitions(6)
    );
    harness
}

fn copies(harness: &mut Harness) -> Vec<String> {
    let told = harness.take_event_lines().into_iter();
    told.filter(|line| line.contains("to copy")).collect()
}

#[test]
fn a_plan_is_announced_as_a_whole_and_copied_a_few_at_a_time() {
    let mut harness = throttled();
    assert_eq!(
        harness.take_event_lines(),
        [
            "rebalance starts: manual , 6 to move, a+b",
            "p0 b to copy from a (manual)",
            "p1 b to copy from a (manual)",
        ]
    );
    assert_eq!(
        (harness.partition(1), harness.partition(2)),
        ("a@1 a b?".into(), "a@1 a".into())
    );
    harness.ok(harness.confirm("b"));
    assert_eq!(
        copies(&mut harness),
        ["p2 b to copy from a (manual)", "p3 b to copy from a (manual)"]
    );
    harness.ok(harness.confirm("b"));
    harness.ok(harness.confirm("b"));
    harness.ok(harness.release());
    harness.ok(harness.grant());
    let told = harness.take_event_lines();
    assert_eq!(
        told.last().map(String::as_str),
        Some("rebalance done: manual , 6 to move, a+b, 5 ms")
    );
}

#[test]
fn a_node_without_a_copying_hook_gets_all_copies_at_once() {
    let mut harness = throttled();
    harness.take_event_lines();
    let mut confirm = harness.confirm("b");
    if let Command::Confirm { at_once, .. } = &mut confirm {
        *at_once = true;
    }
    harness.ok(confirm);
    let rest = [2, 3, 4, 5].map(|number| format!("p{number} b to copy from a (manual)"));
    assert_eq!(copies(&mut harness), rest);
    // Once a hook has copied something, the limit applies again.
    harness.ok(harness.confirm("b"));
    assert!(!harness.state.migrations.at_once.contains("b"));
}

#[test]
fn nodes_do_not_wait_for_each_other() {
    let assignments: Vec<Target> = (0..4).map(|_| target("a")).collect();
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 1);
    harness.limit.node = 1;
    let to = ["b", "b", "c", "c"];
    let targets: Vec<(u32, Target)> = (0..4).zip(to.map(target)).collect();
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &targets));
    assert_eq!(
        copies(&mut harness),
        ["p0 b to copy from a (manual)", "p2 c to copy from a (manual)"]
    );
    harness.ok(harness.confirm("c"));
    assert_eq!(copies(&mut harness), ["p3 c to copy from a (manual)"]);
}

#[test]
fn all_nodes_together_keep_to_the_limit_of_the_cluster() {
    let assignments: Vec<Target> = (0..6).map(|_| target("a")).collect();
    let mut harness = Harness::cluster(&["a", "b", "c"], &assignments, 1);
    (harness.limit.node, harness.limit.cluster) = (2, 3);
    let to = ["b", "b", "b", "c", "c", "c"];
    let targets: Vec<(u32, Target)> = (0..6).zip(to.map(target)).collect();
    harness.ok(harness.plan(RebalanceTrigger::Manual, "", &targets));
    assert_eq!(
        copies(&mut harness),
        [
            "p0 b to copy from a (manual)",
            "p1 b to copy from a (manual)",
            "p3 c to copy from a (manual)"
        ]
    );
    harness.ok(harness.confirm("c"));
    assert_eq!(copies(&mut harness), ["p4 c to copy from a (manual)"]);
    harness.ok(harness.confirm("b"));
    assert_eq!(
        copies(&mut harness),
        ["p2 b to copy from a (manual)", "p5 c to copy from a (manual)"]
    );
}

#[test]
fn an_abandoned_copy_makes_room_for_the_next() {
    let mut harness = throttled();
    harness.take_event_lines();
    let stale = harness.abandon_copies("b");
    assert_eq!(harness.ok(stale.clone()), Reply::Partitions(2));
    assert_eq!(
        harness.take_event_lines(),
        [
            "p0 b drops (manual)",
            "p1 b drops (manual)",
            "p2 b to copy from a (manual)",
            "p3 b to copy from a (manual)",
        ]
    );
    assert_eq!(harness.partition(0), "a@1 a");
    assert_eq!(
        harness.ok(stale),
        Reply::Partitions(0),
        "they are given up already"
    );
    // A copy that is planned again is another one: the earlier abandonment does not apply to it.
    let stale = harness.abandon_copies("b");
    harness.ok(harness.confirm("b"));
    assert_eq!(harness.ok(stale), Reply::Partitions(0), "they are there");
}

#[test]
fn the_queued_copies_of_a_failed_node_leave_the_plan() {
    let mut harness = throttled();
    harness.take_event_lines();
    harness.fail("b");
    let told = harness.take_event_lines();
    assert!(
        told.iter().any(|line| line.starts_with("rebalance done")),
        "{told:?}"
    );
    assert!(!told.iter().any(|line| line.contains("to copy")), "{told:?}");
    assert_eq!(
        (harness.partition(0), harness.partition(5)),
        ("a@1 a b?".into(), "a@1 a".into())
    );
    let mut harness = throttled();
    harness.take_event_lines();
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    let drops = harness
        .take_event_lines()
        .into_iter()
        .filter(|line| line.contains("drops"));
    assert_eq!(drops.count(), 2, "only what it was told to copy");
}

#[test]
fn when_the_only_source_fails_no_copy_from_it_is_assigned() {
    let mut harness = throttled();
    harness.take_event_lines();
    harness.fail("a");
    let told = harness.take_event_lines();
    assert!(
        told.iter().any(|line| line.starts_with("rebalance done")),
        "{told:?}"
    );
    assert_eq!(
        harness.ok(harness.abandon_copies("b")),
        Reply::Partitions(0),
        "they wait for a source"
    );
    harness.restart("a");
    assert_eq!(
        copies(&mut harness),
        [
            "p0 b to copy from a (node_join)",
            "p1 b to copy from a (node_join)"
        ]
    );
}

#[test]
fn a_copy_that_a_returning_node_never_makes_is_abandoned_too() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    harness.stop("b");
    assert_eq!(
        harness.ok(harness.abandon_copies("b")),
        Reply::Partitions(0),
        "it is away"
    );
    harness.restart("b");
    harness.take_event_lines();
    assert_eq!(harness.ok(harness.abandon_copies("b")), Reply::Partitions(1));
    assert_eq!(harness.take_event_lines(), ["p0 b drops (rebalance)"]);
}

#[test]
fn partitions_without_a_serving_holder_are_lost_until_one_returns() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a"), target("b c")], 1);
    harness.fail("a");
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health critical: 2 of 3 well, not a, lost 0")
    );
    harness.fail("b");
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health critical: 1 of 3 well, not a+b, lost 0")
    );
    harness.restart("a");
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health degraded: 2 of 3 well, not b")
    );
    harness.fail("c");
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health critical: 1 of 3 well, not b+c, lost 1")
    );
    // b's copy is stale: it does not count, c's does.
    harness.restart("b");
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health critical: 2 of 3 well, not c, lost 1")
    );
    harness.restart("c");
    let told = harness.take_event_lines();
    assert!(
        told.contains(&"health healthy: 3 of 3 well, not -".to_owned()),
        "{told:?}"
    );
    harness.ok(harness.remove("a", LeaveReason::RemovedByAdmin));
    assert_eq!(
        harness.take_event_lines().last().map(String::as_str),
        Some("health critical: 2 of 2 well, not -, lost 0")
    );
}
