//! The last holder of the data, and what a person may decide where no holder is left.

use super::harness::{Harness, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, PartitionState, Topology};
use crate::state::{Command, Reply};

fn state(topology: &Topology, number: usize) -> PartitionState {
    let rf = topology.config.replication_factor;
    topology.partitions[number].state(rf, |node| topology.is_serving(node))
}

fn recover(number: u32, from: &str, force: bool) -> Command {
    let from = from.into();
    Command::Recover { number, from, force }
}

fn kept(harness: &Harness, id: &str) -> Command {
    let mut remove = harness.remove(id, LeaveReason::RemovedByAdmin);
    if let Command::Remove { keep_last, .. } = &mut remove {
        *keep_last = true;
    }
    remove
}

/// p0 is on b and c. b failed first and is back without the data; c has failed, too.
fn lost() -> Harness {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c"), target("a b")], 2);
    harness.fail("b");
    harness.fail("c");
    harness.restart("b");
    assert_eq!(harness.partition(0), "-@2 b? c");
    harness.take_event_lines();
    harness
}

#[test]
fn the_last_holder_is_removed_only_by_force() {
    let mut harness = lost();
    let refused = harness.propose(kept(&harness, "c")).unwrap_err();
    assert_eq!(refused.0, ErrorCode::Refused);
    assert!(
        refused.1.contains("partition-0") && refused.1.contains("\"c\""),
        "{refused:?}"
    );
    assert_eq!(harness.partition(0), "-@2 b? c");
    harness.ok(harness.remove("c", LeaveReason::RemovedByAdmin));
    assert_eq!(harness.partition(0), "-@2 b?");
    assert_eq!(state(harness.state.topology(), 0), PartitionState::Lost);
}

#[test]
fn a_serving_sole_holder_is_removed_only_by_force() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("b"), target("a")], 1);
    assert_eq!(harness.refused(kept(&harness, "b")), ErrorCode::Refused);
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
}

#[test]
fn an_accepted_copy_is_reported_to_all_nodes() {
    let mut harness = lost();
    harness.ok(recover(0, "b", false));
    assert_eq!(
        harness.take_event_lines(),
        [
            "p0 b leads at 3 [->b] (manual)",
            "health degraded: 2 of 3 well, not c",
        ]
    );
    assert_eq!(harness.partition(0), "b@3 b c?");
    harness.restart("c");
    assert_eq!(
        harness.partition(0),
        "b@3 b c?",
        "what c had is not the data any more"
    );
    assert_eq!(
        harness.ok(recover(0, "b", false)),
        Reply::Unchanged,
        "it is harmless twice"
    );
}

#[test]
fn a_partition_with_data_needs_no_recovery() {
    let mut harness = lost();
    assert_eq!(harness.refused(recover(9, "b", false)), ErrorCode::NotFound);
    assert_eq!(harness.refused(recover(0, "x", false)), ErrorCode::NotFound);
    assert_eq!(
        harness.refused(recover(0, "c", true)),
        ErrorCode::Refused,
        "it is not up"
    );
    assert_eq!(
        harness.refused(recover(0, "a", false)),
        ErrorCode::Refused,
        "it has no copy"
    );
    assert_eq!(
        harness.refused(recover(1, "b", false)),
        ErrorCode::Refused,
        "a has the data"
    );
    harness.ok(recover(0, "a", true));
    assert_eq!(harness.partition(0), "a@3 a b? c?");
}

#[test]
fn another_copy_becomes_primary_only_when_the_old_holder_cannot_act() {
    let mut harness = lost();
    harness.ok(recover(1, "b", true));
    // a's role is released, and a copies from b; b leads when a is known to have stopped.
    assert_eq!(harness.partition(1), "-@1 a? b");
    assert_eq!(
        harness.take_event_lines(),
        ["p1 a yields [a>-] (manual)", "p1 a to copy from b (manual)"]
    );
    harness.ok(harness.grant());
    assert_eq!(harness.partition(1), "b@2 a? b");
}

#[test]
fn copies_of_nodes_that_are_away_are_missing() {
    use PartitionState::{Lost, Moving, Ok, UnderReplicated};
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("a b c"), target("a")], 3);
    let states = |harness: &Harness| [0, 1].map(|number| state(harness.state.topology(), number));
    assert_eq!(states(&harness), [Ok, UnderReplicated]);
    harness.fail("c");
    assert_eq!(states(&harness)[0], UnderReplicated, "it counts as being copied");
    let trigger = crate::model::RebalanceTrigger::NodeLeave;
    harness.ok(harness.plan(trigger, "c", &[(0, target("a b"))]));
    assert_eq!(harness.partition(0), "a@1 a b");
    assert_eq!(
        states(&harness)[0],
        UnderReplicated,
        "2 of 3 are not enough, whoever is away"
    );
    harness.ok(harness.plan(trigger, "c", &[(0, target("a b d"))]));
    assert_eq!(states(&harness)[0], UnderReplicated, "d has not got it yet");
    harness.ok(harness.confirm("d"));
    assert_eq!(states(&harness)[0], Ok);
    harness.restart("c");
    harness.ok(harness.plan(trigger, "c", &[(0, target("a c d"))]));
    assert_eq!(
        states(&harness)[0],
        Moving,
        "three have it, and one of them is to be replaced"
    );
    for node in ["a", "b", "d"] {
        harness.fail(node);
    }
    assert_eq!(states(&harness), [Lost, Lost]);
}

#[test]
fn a_partition_with_a_pending_release_is_not_lost_once_its_holder_is_back() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    // a's role is released for b, which goes down before it leads: a serves on, and may act until it has applied that.
    harness.ok(recover(0, "b", true));
    harness.fail("b");
    assert_eq!(harness.partition(0), "-@1 a? b");
    assert!(harness.state.lost().contains(&0));
    harness.restart("b");
    assert!(harness.state.lost().is_empty(), "b has the data and is back");
    harness.ok(harness.grant());
    assert_eq!(harness.partition(0), "b@2 a? b");
}
