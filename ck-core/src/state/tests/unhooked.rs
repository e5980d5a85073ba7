//! Copies that were confirmed before the application had registered its hook.

use super::harness::{Harness, target};
use crate::model::RebalanceTrigger;
use crate::state::{Command, Reply};

impl Harness {
    /// The node confirms all its pending copies, without a hook.
    fn confirm_unhooked(&mut self, id: &str) {
        let mut confirm = self.confirm(id);
        if let Command::Confirm { at_once, .. } = &mut confirm {
            *at_once = true;
        }
        self.ok(confirm);
    }
}

/// c has joined and got copies of p0 and p1, and the primary role of p0, and has copied nothing.
fn joined() -> Harness {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b"), target("b a")], 2);
    let targets = [(0, target("c b")), (1, target("b c"))];
    harness.ok(harness.plan(RebalanceTrigger::NodeJoin, "c", &targets));
    harness.confirm_unhooked("c");
    harness.ok(harness.release());
    harness.ok(harness.grant());
    assert_eq!(
        (harness.partition(0), harness.partition(1)),
        ("c@2 b c".into(), "b@1 b c".into())
    );
    harness.take_event_lines();
    harness
}

#[test]
fn a_late_hook_gets_every_copy_and_roles_go_to_holders_of_the_data() {
    let mut harness = joined();
    assert_eq!(harness.ok(harness.reconfirm("c", false)), Reply::Partitions(2));
    assert_eq!(
        harness.take_event_lines(),
        [
            "p0 c yields [c>-] (node_join)",
            "p0 c to copy from b (node_join)",
            "p1 c to copy from b (node_join)",
        ]
    );
    assert_eq!(
        (harness.partition(0), harness.partition(1)),
        ("-@2 b c?".into(), "b@1 b c?".into())
    );
    harness.ok(harness.grant());
    assert_eq!(harness.partition(0), "b@3 b c?");
    harness.ok(harness.confirm("c"));
    assert_eq!(harness.partition(1), "b@1 b c");
    assert_eq!(
        harness.ok(harness.reconfirm("c", false)),
        Reply::Partitions(0),
        "its hook has said so"
    );
}

#[test]
fn an_earlier_confirmation_does_not_count_after_a_reassignment() {
    let mut harness = joined();
    let Command::Reconfirm { partitions, .. } = harness.reconfirm("c", false) else {
        panic!("asked for");
    };
    harness.ok(harness.reconfirm("c", false));
    let late = Command::Confirm {
        node: "c".into(),
        incarnation: harness.node("c").incarnation,
        partitions,
        at_once: false,
    };
    assert_eq!(harness.ok(late), Reply::Partitions(0));
    assert_eq!(harness.partition(1), "b@1 b c?");
}

#[test]
fn a_copy_counts_as_long_as_there_is_no_better_one() {
    // All nodes register late, a node without the data first.
    let mut harness = joined();
    harness.fail("b");
    harness.take_event_lines();
    assert_eq!(harness.partition(0), "c@2 b? c");
    harness.ok(harness.reconfirm("c", false));
    assert_eq!(
        harness.take_event_lines(),
        ["p0 c to copy (node_join)", "p1 c to copy (node_join)"]
    );
    assert_eq!(harness.partition(0), "c@2 b? c");
    harness.ok(harness.confirm_synced("c"));
    assert!(!harness.state.topology.partitions[0].copy("c").unwrap().unhooked);
    assert_eq!(harness.partition(0), "c@2 b? c");
}

#[test]
fn when_all_register_late_the_best_copy_counts() {
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a")], 3);
        harness.ok(harness.plan(RebalanceTrigger::NodeJoin, "c", &[(0, target("c a b"))]));
        harness.confirm_unhooked("b");
        harness.confirm_unhooked("c");
        harness.ok(harness.release());
        harness.ok(harness.grant());
        assert_eq!(harness.partition(0), "c@2 a b c");
        for id in order {
            harness.ok(harness.reconfirm(id, false));
        }
        harness.ok(harness.grant());
        assert_eq!(
            harness.partition(0),
            "a@3 a b? c?",
            "a has had it from the beginning"
        );
        harness.ok(harness.confirm("b"));
        harness.ok(harness.confirm("c"));
        assert_eq!(harness.partition(0), "a@3 a b c");
    }
}

#[test]
fn a_copy_of_which_a_hook_is_told_twice_is_confirmed_once_more() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    harness.ok(harness.reconfirm("b", true));
    assert_eq!(
        (harness.partition(0), harness.partition(1)),
        ("a@1 a b?".into(), "-@1 a b?".into())
    );
    harness.ok(harness.grant());
    harness.ok(harness.confirm("b"));
    assert_eq!(
        (harness.partition(0), harness.partition(1)),
        ("a@1 a b".into(), "a@2 a b".into())
    );
}
