//! How many copies a node makes at a time, abandoned copies, and partitions that no node has.

use super::lab::{Lab, target};
use crate::model::{LeaveReason, RebalanceTrigger, Target};
use crate::state::{Command, Reply};

/// Six partitions on a, moving to b, which copies two at a time.
fn throttled() -> Lab {
    let assignments: Vec<Target> = (0..6).map(|_| target("a")).collect();
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 1);
    lab.limit.node = 2;
    let targets: Vec<(u32, Target)> = (0..6).map(|number| (number, target("b"))).collect();
    assert_eq!(
        lab.ok(lab.plan(RebalanceTrigger::Manual, "", &targets)),
        Reply::Partitions(6)
    );
    lab
}

fn copies(lab: &mut Lab) -> Vec<String> {
    let told = lab.told().into_iter();
    told.filter(|line| line.contains("to copy")).collect()
}

#[test]
fn a_plan_is_announced_as_a_whole_and_copied_a_few_at_a_time() {
    let mut lab = throttled();
    assert_eq!(
        lab.told(),
        [
            "rebalance starts: manual , 6 to move, a+b",
            "p0 b to copy from a (manual)",
            "p1 b to copy from a (manual)",
        ]
    );
    assert_eq!(
        (lab.partition(1), lab.partition(2)),
        ("a@1 a b?".into(), "a@1 a".into())
    );
    lab.ok(lab.confirm("b"));
    assert_eq!(
        copies(&mut lab),
        ["p2 b to copy from a (manual)", "p3 b to copy from a (manual)"]
    );
    lab.ok(lab.confirm("b"));
    lab.ok(lab.confirm("b"));
    lab.ok(lab.release());
    lab.ok(lab.grant());
    let told = lab.told();
    assert_eq!(
        told.last().map(String::as_str),
        Some("rebalance done: manual , 6 to move, a+b, 5 ms")
    );
}

#[test]
fn a_node_whose_hooks_copy_nothing_is_told_of_all_at_once() {
    let mut lab = throttled();
    lab.told();
    let mut confirm = lab.confirm("b");
    if let Command::Confirm { at_once, .. } = &mut confirm {
        *at_once = true;
    }
    lab.ok(confirm);
    let rest = [2, 3, 4, 5].map(|number| format!("p{number} b to copy from a (manual)"));
    assert_eq!(copies(&mut lab), rest);
    // Once a hook has copied something, the limit applies again.
    lab.ok(lab.confirm("b"));
    assert!(!lab.state.migrations.at_once.contains("b"));
}

#[test]
fn nodes_do_not_wait_for_each_other() {
    let assignments: Vec<Target> = (0..4).map(|_| target("a")).collect();
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 1);
    lab.limit.node = 1;
    let to = ["b", "b", "c", "c"];
    let targets: Vec<(u32, Target)> = (0..4).zip(to.map(target)).collect();
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &targets));
    assert_eq!(
        copies(&mut lab),
        ["p0 b to copy from a (manual)", "p2 c to copy from a (manual)"]
    );
    lab.ok(lab.confirm("c"));
    assert_eq!(copies(&mut lab), ["p3 c to copy from a (manual)"]);
}

#[test]
fn all_nodes_together_copy_no_more_than_the_cluster_may() {
    let assignments: Vec<Target> = (0..6).map(|_| target("a")).collect();
    let mut lab = Lab::cluster(&["a", "b", "c"], &assignments, 1);
    (lab.limit.node, lab.limit.cluster) = (2, 3);
    let to = ["b", "b", "b", "c", "c", "c"];
    let targets: Vec<(u32, Target)> = (0..6).zip(to.map(target)).collect();
    lab.ok(lab.plan(RebalanceTrigger::Manual, "", &targets));
    assert_eq!(
        copies(&mut lab),
        [
            "p0 b to copy from a (manual)",
            "p1 b to copy from a (manual)",
            "p3 c to copy from a (manual)"
        ]
    );
    lab.ok(lab.confirm("c"));
    assert_eq!(copies(&mut lab), ["p4 c to copy from a (manual)"]);
    lab.ok(lab.confirm("b"));
    assert_eq!(
        copies(&mut lab),
        ["p2 b to copy from a (manual)", "p5 c to copy from a (manual)"]
    );
}

#[test]
fn a_copy_that_is_given_up_makes_room_for_the_next() {
    let mut lab = throttled();
    lab.told();
    let stale = lab.abandon_copies("b");
    assert_eq!(lab.ok(stale.clone()), Reply::Partitions(2));
    assert_eq!(
        lab.told(),
        [
            "p0 b drops (manual)",
            "p1 b drops (manual)",
            "p2 b to copy from a (manual)",
            "p3 b to copy from a (manual)",
        ]
    );
    assert_eq!(lab.partition(0), "a@1 a");
    assert_eq!(lab.ok(stale), Reply::Partitions(0), "they are given up already");
    // A copy that is planned again is another one: the earlier abandonment does not apply to it.
    let stale = lab.abandon_copies("b");
    lab.ok(lab.confirm("b"));
    assert_eq!(lab.ok(stale), Reply::Partitions(0), "they are there");
}

#[test]
fn a_node_that_goes_takes_what_waits_for_it_out_of_the_plan() {
    let mut lab = throttled();
    lab.told();
    lab.fail("b");
    let told = lab.told();
    assert!(
        told.iter().any(|line| line.starts_with("rebalance done")),
        "{told:?}"
    );
    assert!(!told.iter().any(|line| line.contains("to copy")), "{told:?}");
    assert_eq!(
        (lab.partition(0), lab.partition(5)),
        ("a@1 a b?".into(), "a@1 a".into())
    );
    let mut lab = throttled();
    lab.told();
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    let drops = lab.told().into_iter().filter(|line| line.contains("drops"));
    assert_eq!(drops.count(), 2, "only what it was told to copy");
}

#[test]
fn the_only_source_goes_and_nobody_is_told_to_copy_from_it() {
    let mut lab = throttled();
    lab.told();
    lab.fail("a");
    let told = lab.told();
    assert!(
        told.iter().any(|line| line.starts_with("rebalance done")),
        "{told:?}"
    );
    assert_eq!(
        lab.ok(lab.abandon_copies("b")),
        Reply::Partitions(0),
        "they wait for a source"
    );
    lab.restart("a");
    assert_eq!(
        copies(&mut lab),
        [
            "p0 b to copy from a (node_join)",
            "p1 b to copy from a (node_join)"
        ]
    );
}

#[test]
fn a_copy_that_a_returning_node_never_makes_is_given_up_too() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    lab.stop("b");
    assert_eq!(
        lab.ok(lab.abandon_copies("b")),
        Reply::Partitions(0),
        "it is away"
    );
    lab.restart("b");
    lab.told();
    assert_eq!(lab.ok(lab.abandon_copies("b")), Reply::Partitions(1));
    assert_eq!(lab.told(), ["p0 b drops (rebalance)"]);
}

#[test]
fn partitions_that_nobody_has_are_lost_until_a_holder_returns() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a"), target("b c")], 1);
    lab.fail("a");
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health critical: 2 of 3 well, not a, lost 0")
    );
    lab.fail("b");
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health critical: 1 of 3 well, not a+b, lost 0")
    );
    lab.restart("a");
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health degraded: 2 of 3 well, not b")
    );
    lab.fail("c");
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health critical: 1 of 3 well, not b+c, lost 1")
    );
    // b's copy is stale: it does not count, c's does.
    lab.restart("b");
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health critical: 2 of 3 well, not c, lost 1")
    );
    lab.restart("c");
    let told = lab.told();
    assert!(
        told.contains(&"health healthy: 3 of 3 well, not -".to_owned()),
        "{told:?}"
    );
    lab.ok(lab.remove("a", LeaveReason::RemovedByAdmin));
    assert_eq!(
        lab.told().last().map(String::as_str),
        Some("health critical: 2 of 2 well, not -, lost 0")
    );
}
