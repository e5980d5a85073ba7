//! Roles that were given to processes that never acted in them.

use super::harness::{Harness, target};
use crate::model::{EventKind, LeaveReason, RoleChange};
use crate::state::Command;

impl Harness {
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
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    harness.fail_unleased("c", granted);
    assert_eq!(
        harness.partition(0),
        "-@2 b c",
        "both have all that was ever written"
    );
    harness.restart("b");
    assert_eq!(
        harness.partition(0),
        "b@3 b c?",
        "b writes from here on, and c misses it"
    );
}

#[test]
fn a_primary_that_may_have_acted_alone_has_the_data() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let later = harness.granted(0) + 1;
    harness.fail_unleased("c", later);
    assert_eq!(harness.partition(0), "-@2 b? c");
    harness.restart("b");
    assert_eq!(harness.partition(0), "-@2 b? c", "c may have written");
}

#[test]
fn a_returned_node_counts_when_its_successor_never_acted() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    harness.restart("b");
    assert_eq!(harness.partition(0), "c@2 b? c", "it copies from c");
    assert_eq!(harness.last_gain("b"), ["c"]);
    harness.fail_unleased("c", granted);
    assert_eq!(
        harness.partition(0),
        "-@2 b? c",
        "it may still copy over what it has"
    );
    assert!(harness.last_gain("b").is_empty(), "there is nothing to copy");
    harness.ok(harness.confirm("b"));
    assert_eq!(harness.partition(0), "-@2 b c?");
    harness.ok(harness.grant());
    assert_eq!(harness.partition(0), "b@3 b c?");
}

#[test]
fn a_copy_made_before_the_successor_was_found_dead_is_not_confirmed() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    harness.restart("b");
    let late = harness.confirm("b");
    harness.fail_unleased("c", granted);
    harness.ok(late);
    assert_eq!(harness.partition(0), "-@2 b? c");
}

#[test]
fn a_node_that_fails_again_before_it_has_confirmed_counts_nevertheless() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    harness.restart("b");
    harness.fail_unleased("c", granted);
    harness.fail("b");
    assert_eq!(harness.partition(0), "-@2 b c");
    harness.restart("b");
    assert_eq!(harness.partition(0), "b@3 b c?");
}

#[test]
fn the_last_holder_may_fail_before_the_returned_node_has_confirmed() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    harness.restart("b");
    harness.fail_unleased("c", granted);
    assert!(harness.state.held_only_by("c").is_empty(), "b has the data, too");
    harness.ok(harness.remove("c", LeaveReason::RemovedByAdmin));
    harness.ok(harness.confirm("b"));
    harness.ok(harness.grant());
    assert_eq!(harness.partition(0), "b@3 b");
}

#[test]
fn a_chain_of_dead_successors_leads_back_to_the_last_writer() {
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    harness.fail("b");
    let first = harness.granted(0);
    harness.fail_unleased("c", first);
    assert_eq!(harness.partition(0), "d@3 b? c? d", "d holds the data and leads");
    harness.fail_unleased("d", first);
    assert_eq!(harness.partition(0), "-@3 b c d");
    harness.restart("c");
    let again = harness.granted(0);
    assert_eq!(harness.partition(0), "c@4 b? c d?");
    harness.fail_unleased("c", again);
    assert_eq!(harness.partition(0), "-@4 b c d", "c did not write either");
    harness.restart("b");
    harness.fail("b");
    assert_eq!(harness.partition(0), "-@5 b c? d?", "b did");
}

#[test]
fn a_chain_leads_back_only_to_the_last_primary_that_acted() {
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    harness.fail("b");
    harness.fail("c");
    let last = harness.granted(0);
    harness.fail_unleased("d", last);
    // c acted after b had gone down, and d had all of c's writes.
    assert_eq!(harness.partition(0), "-@3 b? c d");
}

#[test]
fn a_replica_that_missed_writes_does_not_count_again() {
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    harness.fail("d");
    harness.fail("b");
    let granted = harness.granted(0);
    harness.fail_unleased("c", granted);
    assert_eq!(harness.partition(0), "-@2 b c d?", "d had gone while b wrote");
}

#[test]
fn a_dead_successor_that_is_removed_or_restarts_never_acted_either() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c"), target("b c")], 2);
    harness.fail("b");
    let granted = harness.granted(0);
    let mut removed = Harness::cluster(&["a", "b", "c"], &[target("b c"), target("b c")], 2);
    removed.fail("b");
    let mut remove = removed.remove("c", LeaveReason::RemovedByAdmin);
    if let Command::Remove { unleased_from, .. } = &mut remove {
        *unleased_from = Some(granted);
    }
    removed.ok(remove);
    assert_eq!(removed.partition(0), "-@2 b");
    let raft_id = Some(harness.node("c").raft_id);
    let mut join = harness.join("c", 99, raft_id);
    if let Command::Join { unleased_from, .. } = &mut join {
        *unleased_from = Some(granted);
    }
    harness.ok(join);
    assert_eq!(harness.partition(0), "-@2 b c");
    harness.ok(harness.activate("c"));
    assert_eq!(harness.partition(0), "c@3 b? c");
}

#[test]
fn a_released_primary_that_failed_counts_when_its_successor_never_acted() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("b c")], 2);
    harness.ok(harness.plan(crate::model::RebalanceTrigger::Manual, "", &[(0, target("c b"))]));
    harness.ok(harness.release());
    harness.fail("b");
    harness.ok(harness.grant());
    let granted = harness.granted(0);
    assert_eq!(harness.partition(0), "c@2 b? c");
    harness.fail_unleased("c", granted);
    assert_eq!(harness.partition(0), "-@2 b c");
}

#[test]
fn a_node_with_all_data_counts_when_the_last_holder_is_removed() {
    let mut harness = Harness::cluster(&["a", "b", "c", "d"], &[target("b c d")], 3);
    let mut vacant = harness.mark_down("b", LeaveReason::HealthCheckFailure);
    if let Command::MarkDown { promotions, .. } = &mut vacant {
        promotions.clear();
    }
    harness.ok(vacant);
    harness.fail("c");
    assert_eq!(
        harness.partition(0),
        "-@1 b? c? d",
        "nobody has acted since c went"
    );
    assert!(harness.state.held_only_by("d").is_empty());
    harness.ok(harness.remove("d", LeaveReason::RemovedByAdmin));
    assert_eq!(harness.partition(0), "-@1 b c");
    harness.restart("c");
    assert_eq!(harness.partition(0), "c@2 b? c");
}
