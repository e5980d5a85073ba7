//! The last holder of the data, and what a person may decide where no holder is left.

use super::lab::{Lab, target};
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

fn kept(lab: &Lab, id: &str) -> Command {
    let mut remove = lab.remove(id, LeaveReason::RemovedByAdmin);
    if let Command::Remove { keep_last, .. } = &mut remove {
        *keep_last = true;
    }
    remove
}

/// p0 is on b and c. b failed first and is back without the data; c has failed, too.
fn lost() -> Lab {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c"), target("a b")], 2);
    lab.fail("b");
    lab.fail("c");
    lab.restart("b");
    assert_eq!(lab.partition(0), "-@2 b? c");
    lab.told();
    lab
}

#[test]
fn the_last_holder_is_removed_only_by_force() {
    let mut lab = lost();
    let refused = lab.propose(kept(&lab, "c")).unwrap_err();
    assert_eq!(refused.0, ErrorCode::Refused);
    assert!(
        refused.1.contains("partition-0") && refused.1.contains("\"c\""),
        "{refused:?}"
    );
    assert_eq!(lab.partition(0), "-@2 b? c");
    lab.ok(lab.remove("c", LeaveReason::RemovedByAdmin));
    assert_eq!(lab.partition(0), "-@2 b?");
    assert_eq!(state(lab.state.topology(), 0), PartitionState::Lost);
}

#[test]
fn who_lives_and_alone_holds_the_data_is_removed_only_by_force() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("b"), target("a")], 1);
    assert_eq!(lab.refused(kept(&lab, "b")), ErrorCode::Refused);
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
}

#[test]
fn a_person_accepts_a_copy_and_everybody_hears_of_it() {
    let mut lab = lost();
    lab.ok(recover(0, "b", false));
    assert_eq!(
        lab.told(),
        [
            "p0 b leads at 3 [->b] (manual)",
            "health degraded: 2 of 3 well, not c",
        ]
    );
    assert_eq!(lab.partition(0), "b@3 b c?");
    lab.restart("c");
    assert_eq!(
        lab.partition(0),
        "b@3 b c?",
        "what c had is not the data any more"
    );
    assert_eq!(
        lab.ok(recover(0, "b", false)),
        Reply::Unchanged,
        "it is harmless twice"
    );
}

#[test]
fn where_the_data_is_there_is_nothing_to_recover() {
    let mut lab = lost();
    assert_eq!(lab.refused(recover(9, "b", false)), ErrorCode::NotFound);
    assert_eq!(lab.refused(recover(0, "x", false)), ErrorCode::NotFound);
    assert_eq!(
        lab.refused(recover(0, "c", true)),
        ErrorCode::Refused,
        "it is not up"
    );
    assert_eq!(
        lab.refused(recover(0, "a", false)),
        ErrorCode::Refused,
        "it has no copy"
    );
    assert_eq!(
        lab.refused(recover(1, "b", false)),
        ErrorCode::Refused,
        "a has the data"
    );
    lab.ok(recover(0, "a", true));
    assert_eq!(lab.partition(0), "a@3 a b? c?");
}

#[test]
fn who_may_act_is_waited_for_before_another_copy_leads() {
    let mut lab = lost();
    lab.ok(recover(1, "b", true));
    // a's role is released, and a copies from b; b leads when a is known to have stopped.
    assert_eq!(lab.partition(1), "-@1 a? b");
    assert_eq!(
        lab.told(),
        ["p1 a yields [a>-] (manual)", "p1 a to copy from b (manual)"]
    );
    lab.ok(lab.grant());
    assert_eq!(lab.partition(1), "b@2 a? b");
}

#[test]
fn copies_of_nodes_that_are_away_are_missing() {
    use PartitionState::{Lost, Moving, Ok, UnderReplicated};
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("a b c"), target("a")], 3);
    let states = |lab: &Lab| [0, 1].map(|number| state(lab.state.topology(), number));
    assert_eq!(states(&lab), [Ok, UnderReplicated]);
    lab.fail("c");
    assert_eq!(states(&lab)[0], UnderReplicated, "it counts as being copied");
    let trigger = crate::model::RebalanceTrigger::NodeLeave;
    lab.ok(lab.plan(trigger, "c", &[(0, target("a b"))]));
    assert_eq!(lab.partition(0), "a@1 a b");
    assert_eq!(
        states(&lab)[0],
        UnderReplicated,
        "2 of 3 are not enough, whoever is away"
    );
    lab.ok(lab.plan(trigger, "c", &[(0, target("a b d"))]));
    assert_eq!(states(&lab)[0], UnderReplicated, "d has not got it yet");
    lab.ok(lab.confirm("d"));
    assert_eq!(states(&lab)[0], Ok);
    lab.restart("c");
    lab.ok(lab.plan(trigger, "c", &[(0, target("a c d"))]));
    assert_eq!(
        states(&lab)[0],
        Moving,
        "three have it, and one of them is to be replaced"
    );
    for node in ["a", "b", "d"] {
        lab.fail(node);
    }
    assert_eq!(states(&lab), [Lost, Lost]);
}

#[test]
fn a_partition_whose_role_is_waited_for_is_lost_no_longer_when_its_holder_is_back() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    // a's role is released for b, which goes down before it leads: a serves on, and may act until it has applied that.
    lab.ok(recover(0, "b", true));
    lab.fail("b");
    assert_eq!(lab.partition(0), "-@1 a? b");
    assert!(lab.state.lost().contains(&0));
    lab.restart("b");
    assert!(lab.state.lost().is_empty(), "b has the data and is back");
    lab.ok(lab.grant());
    assert_eq!(lab.partition(0), "b@2 a? b");
}
