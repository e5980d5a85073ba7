//! Copies that were confirmed before the application had registered its hook.

use super::lab::{Lab, target};
use crate::model::RebalanceTrigger;
use crate::state::{Command, Reply};

impl Lab {
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
fn joined() -> Lab {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b"), target("b a")], 2);
    let targets = [(0, target("c b")), (1, target("b c"))];
    lab.ok(lab.plan(RebalanceTrigger::NodeJoin, "c", &targets));
    lab.confirm_unhooked("c");
    lab.ok(lab.release());
    lab.ok(lab.grant());
    assert_eq!(
        (lab.partition(0), lab.partition(1)),
        ("c@2 b c".into(), "b@1 b c".into())
    );
    lab.told();
    lab
}

#[test]
fn a_hook_that_comes_late_is_told_of_every_copy_and_roles_go_to_who_has_the_data() {
    let mut lab = joined();
    assert_eq!(lab.ok(lab.reconfirm("c", false)), Reply::Partitions(2));
    assert_eq!(
        lab.told(),
        [
            "p0 c yields [c>-] (node_join)",
            "p0 c to copy from b (node_join)",
            "p1 c to copy from b (node_join)",
        ]
    );
    assert_eq!(
        (lab.partition(0), lab.partition(1)),
        ("-@2 b c?".into(), "b@1 b c?".into())
    );
    lab.ok(lab.grant());
    assert_eq!(lab.partition(0), "b@3 b c?");
    lab.ok(lab.confirm("c"));
    assert_eq!(lab.partition(1), "b@1 b c");
    assert_eq!(
        lab.ok(lab.reconfirm("c", false)),
        Reply::Partitions(0),
        "its hook has said so"
    );
}

#[test]
fn what_was_confirmed_before_does_not_count_for_what_is_asked_anew() {
    let mut lab = joined();
    let Command::Reconfirm { partitions, .. } = lab.reconfirm("c", false) else {
        panic!("asked for");
    };
    lab.ok(lab.reconfirm("c", false));
    let late = Command::Confirm {
        node: "c".into(),
        incarnation: lab.node("c").incarnation,
        partitions,
        at_once: false,
    };
    assert_eq!(lab.ok(late), Reply::Partitions(0));
    assert_eq!(lab.partition(1), "b@1 b c?");
}

#[test]
fn where_nobody_has_better_a_copy_goes_on_counting() {
    // All nodes register late, a node without the data first.
    let mut lab = joined();
    lab.fail("b");
    lab.told();
    assert_eq!(lab.partition(0), "c@2 b? c");
    lab.ok(lab.reconfirm("c", false));
    assert_eq!(
        lab.told(),
        ["p0 c to copy (node_join)", "p1 c to copy (node_join)"]
    );
    assert_eq!(lab.partition(0), "c@2 b? c");
    lab.ok(lab.confirm_synced("c"));
    assert!(!lab.state.topology.partitions[0].copy("c").unwrap().unhooked);
    assert_eq!(lab.partition(0), "c@2 b? c");
}

#[test]
fn when_all_register_late_the_best_copy_counts() {
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a")], 3);
        lab.ok(lab.plan(RebalanceTrigger::NodeJoin, "c", &[(0, target("c a b"))]));
        lab.confirm_unhooked("b");
        lab.confirm_unhooked("c");
        lab.ok(lab.release());
        lab.ok(lab.grant());
        assert_eq!(lab.partition(0), "c@2 a b c");
        for id in order {
            lab.ok(lab.reconfirm(id, false));
        }
        lab.ok(lab.grant());
        assert_eq!(lab.partition(0), "a@3 a b? c?", "a has had it from the beginning");
        lab.ok(lab.confirm("b"));
        lab.ok(lab.confirm("c"));
        assert_eq!(lab.partition(0), "a@3 a b c");
    }
}

#[test]
fn a_copy_of_which_a_hook_is_told_twice_is_confirmed_once_more() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    lab.ok(lab.reconfirm("b", true));
    assert_eq!(
        (lab.partition(0), lab.partition(1)),
        ("a@1 a b?".into(), "-@1 a b?".into())
    );
    lab.ok(lab.grant());
    lab.ok(lab.confirm("b"));
    assert_eq!(
        (lab.partition(0), lab.partition(1)),
        ("a@1 a b".into(), "a@2 a b".into())
    );
}
