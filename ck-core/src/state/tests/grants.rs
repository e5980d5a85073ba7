//! Roles that were given to processes that never acted in them.

use super::lab::{Lab, target};
use crate::model::{EventKind, LeaveReason, RoleChange};
use crate::state::Command;

impl Lab {
    /// Fails the node, whose process had no lease that named revision `from` or a later one.
    fn fail_unleased(&mut self, id: &str, from: u64) {
        let mut down = self.mark_down(id, LeaveReason::HealthCheckFailure);
        if let Command::MarkDown { unleased_from, .. } = &mut down {
            *unleased_from = Some(from);
        }
        self.ok(down);
    }

    fn granted(&self, number: usize) -> u64 {
        self.state.topology.partitions[number].granted
    }

    /// The sources of the copy that was assigned to the node last.
    fn last_gain(&self, id: &str) -> Vec<&str> {
        let mut gains = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::PartitionChange(change) => Some(change),
            _ => None,
        });
        let last = gains.rfind(|gain| *gain.node_id == *id && gain.change == RoleChange::GainedReplica);
        let sources = &last.unwrap().copy_from_nodes;
        sources.iter().map(|node| &*node.id).collect()
    }
}

#[test]
fn a_grant_to_a_dead_process_never_took_effect() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    lab.fail_unleased("c", granted);
    assert_eq!(lab.partition(0), "-@2 b c", "both have all that was ever written");
    lab.restart("b");
    assert_eq!(
        lab.partition(0),
        "b@3 b c?",
        "b writes from here on, and c misses it"
    );
}

#[test]
fn who_may_have_acted_alone_has_the_data() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let later = lab.granted(0) + 1;
    lab.fail_unleased("c", later);
    assert_eq!(lab.partition(0), "-@2 b? c");
    lab.restart("b");
    assert_eq!(lab.partition(0), "-@2 b? c", "c may have written");
}

#[test]
fn who_is_back_already_counts_when_its_successor_turns_out_dead() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    lab.restart("b");
    assert_eq!(lab.partition(0), "c@2 b? c", "it copies from c");
    assert_eq!(lab.last_gain("b"), ["c"]);
    lab.fail_unleased("c", granted);
    assert_eq!(lab.partition(0), "-@2 b? c", "it may still copy over what it has");
    assert!(lab.last_gain("b").is_empty(), "there is nothing to copy");
    lab.ok(lab.confirm("b"));
    assert_eq!(lab.partition(0), "-@2 b c?");
    lab.ok(lab.grant());
    assert_eq!(lab.partition(0), "b@3 b c?");
}

#[test]
fn what_was_copied_before_the_successor_turned_out_dead_confirms_nothing() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    lab.restart("b");
    let late = lab.confirm("b");
    lab.fail_unleased("c", granted);
    lab.ok(late);
    assert_eq!(lab.partition(0), "-@2 b? c");
}

#[test]
fn who_goes_again_before_it_has_confirmed_counts_all_the_same() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    lab.restart("b");
    lab.fail_unleased("c", granted);
    lab.fail("b");
    assert_eq!(lab.partition(0), "-@2 b c");
    lab.restart("b");
    assert_eq!(lab.partition(0), "b@3 b c?");
}

#[test]
fn while_who_is_back_has_not_confirmed_the_last_that_counts_may_go() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    lab.restart("b");
    lab.fail_unleased("c", granted);
    assert!(lab.state.held_by_alone("c").is_empty(), "b has the data, too");
    lab.ok(lab.remove("c", LeaveReason::RemovedByAdmin));
    lab.ok(lab.confirm("b"));
    lab.ok(lab.grant());
    assert_eq!(lab.partition(0), "b@3 b");
}

#[test]
fn a_chain_of_dead_heirs_leads_back_to_who_wrote_last() {
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    lab.fail("b");
    let first = lab.granted(0);
    lab.fail_unleased("c", first);
    assert_eq!(lab.partition(0), "d@3 b? c? d", "d holds the data and leads");
    lab.fail_unleased("d", first);
    assert_eq!(lab.partition(0), "-@3 b c d");
    lab.restart("c");
    let again = lab.granted(0);
    assert_eq!(lab.partition(0), "c@4 b? c d?");
    lab.fail_unleased("c", again);
    assert_eq!(lab.partition(0), "-@4 b c d", "c did not write either");
    lab.restart("b");
    lab.fail("b");
    assert_eq!(lab.partition(0), "-@5 b c? d?", "b did");
}

#[test]
fn a_chain_that_somebody_acted_in_leads_back_no_further() {
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    lab.fail("b");
    lab.fail("c");
    let last = lab.granted(0);
    lab.fail_unleased("d", last);
    // c acted after b had gone down, and d had all of c's writes.
    assert_eq!(lab.partition(0), "-@3 b? c d");
}

#[test]
fn a_replica_that_missed_writes_does_not_count_again() {
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    lab.fail("d");
    lab.fail("b");
    let granted = lab.granted(0);
    lab.fail_unleased("c", granted);
    assert_eq!(lab.partition(0), "-@2 b c d?", "d had gone while b wrote");
}

#[test]
fn a_dead_heir_that_is_removed_or_restarts_never_acted_either() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c"), target("b c")], 2);
    lab.fail("b");
    let granted = lab.granted(0);
    let mut removed = Lab::cluster(&["a", "b", "c"], &[target("b c"), target("b c")], 2);
    removed.fail("b");
    let mut remove = removed.remove("c", LeaveReason::RemovedByAdmin);
    if let Command::Remove { unleased_from, .. } = &mut remove {
        *unleased_from = Some(granted);
    }
    removed.ok(remove);
    assert_eq!(removed.partition(0), "-@2 b");
    let raft_id = Some(lab.node("c").raft_id);
    let mut join = lab.join("c", 99, raft_id);
    if let Command::Join { unleased_from, .. } = &mut join {
        *unleased_from = Some(granted);
    }
    lab.ok(join);
    assert_eq!(lab.partition(0), "-@2 b c");
    lab.ok(lab.activate("c"));
    assert_eq!(lab.partition(0), "c@3 b? c");
}

#[test]
fn who_was_asked_to_yield_and_went_counts_when_its_heir_never_acted() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("b c")], 2);
    lab.ok(lab.plan(crate::model::RebalanceTrigger::Manual, "", &[(0, target("c b"))]));
    lab.ok(lab.release());
    lab.fail("b");
    lab.ok(lab.grant());
    let granted = lab.granted(0);
    assert_eq!(lab.partition(0), "c@2 b? c");
    lab.fail_unleased("c", granted);
    assert_eq!(lab.partition(0), "-@2 b c");
}

#[test]
fn who_has_all_of_it_counts_when_the_last_that_counted_is_removed() {
    let mut lab = Lab::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    let mut vacant = lab.mark_down("b", LeaveReason::HealthCheckFailure);
    if let Command::MarkDown { promotions, .. } = &mut vacant {
        promotions.clear();
    }
    lab.ok(vacant);
    lab.fail("c");
    assert_eq!(lab.partition(0), "-@1 b? c? d", "nobody has acted since c went");
    assert!(lab.state.held_by_alone("d").is_empty());
    lab.ok(lab.remove("d", LeaveReason::RemovedByAdmin));
    assert_eq!(lab.partition(0), "-@1 b c");
    lab.restart("c");
    assert_eq!(lab.partition(0), "c@2 b? c");
}
