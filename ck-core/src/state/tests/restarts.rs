//! Members that stop, crash, restart and rejoin.

use super::harness::{Harness, spec, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, NodeStatus, RebalanceTrigger, Timestamp};
use crate::state::{Command, Expect, Proposal, Reply};

#[test]
fn the_rejoin_event_of_a_member_comes_before_its_copies() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    harness.stop("b");
    harness.now += 5000;
    harness.take_event_lines();
    harness.restart("b");
    assert_eq!(
        harness.take_event_lines(),
        [
            "rejoin b after 5002 ms, had 0+1",
            "p0 b to copy from a (node_join)",
            "p1 b to copy from a (node_join)",
            "health healthy: 2 of 2 well, not -",
        ]
    );
    assert_eq!(harness.partition(1), "a@2 a b?");
    harness.ok(harness.confirm("b"));
    assert_eq!(harness.partition(1), "a@2 a b");
}

#[test]
fn an_unnoticed_restart_hands_over_and_rejoins() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    let before = harness.node("b");
    harness.restart("b");
    assert_eq!(
        harness.take_event_lines(),
        [
            "p1 b yields [b>a] (node_leave)",
            "p1 a leads at 2 [b>a] (node_leave)",
            "health degraded: 1 of 2 well, not b",
            "rejoin b after 1 ms, had 0+1",
            "p0 b to copy from a (node_join)",
            "p1 b to copy from a (node_join)",
            "health healthy: 2 of 2 well, not -",
        ]
    );
    let after = harness.node("b");
    assert!(after.incarnation > before.incarnation);
    assert_eq!(
        (after.raft_id, after.joined_at),
        (before.raft_id, before.joined_at)
    );
}

#[test]
fn a_member_that_crashes_again_before_it_caught_up_was_away_since_the_first_time() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    harness.fail("b");
    let gone = harness.now;
    harness.now += 1000;
    let raft_id = Some(harness.node("b").raft_id);
    harness.ok(harness.join("b", 50, raft_id));
    harness.now += 1000;
    harness.take_event_lines();
    harness.fail("b");
    assert!(harness.take_event_lines().is_empty(), "that it went is known");
    harness.ok(harness.join("b", 51, raft_id));
    harness.now += 1000;
    harness.ok(harness.join("b", 52, raft_id));
    harness.ok(harness.activate("b"));
    let away = harness.now - gone;
    assert_eq!(
        harness.take_event_lines()[0],
        format!("rejoin b after {away} ms, had 0")
    );
}

#[test]
fn the_absence_of_a_member_begins_at_its_last_contact() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    let raft_id = Some(harness.node("b").raft_id);
    for (process, noticed) in [(50, true), (51, false)] {
        let heard = harness.now;
        // The harness's clock ticks with each command.
        let silent = |harness: &Harness| harness.now + 1 - heard;
        harness.now += 700;
        if noticed {
            let mut down = harness.mark_down("b", LeaveReason::HealthCheckFailure);
            if let Command::MarkDown { silent_ms, .. } = &mut down {
                *silent_ms = silent(&harness);
            }
            harness.ok(down);
            assert_eq!(harness.node("b").last_seen.as_millis(), heard);
        }
        harness.now += 100;
        let mut join = harness.join("b", process, raft_id);
        if let Command::Join { silent_ms, .. } = &mut join {
            *silent_ms = silent(&harness);
        }
        harness.ok(join);
        harness.take_event_lines();
        harness.ok(harness.activate("b"));
        let away = harness.now - heard;
        assert_eq!(
            harness.take_event_lines()[0],
            format!("rejoin b after {away} ms, had 0")
        );
    }
}

#[test]
fn a_newcomer_that_fails_before_it_caught_up_was_never_a_member() {
    let mut harness = Harness::cluster(&["a"], &[target("a")], 1);
    harness.ok(harness.join("b", 2, None));
    harness.fail("b");
    assert!(harness.take_event_lines().is_empty(), "nobody heard of it");
    assert_eq!(harness.state.health().map(|health| health.total_nodes), Some(1));
    let raft_id = Some(harness.node("b").raft_id);
    harness.start("b", 3, raft_id);
    assert_eq!(harness.take_event_lines(), ["join b, 2 members"]);

    harness.ok(harness.join("c", 2, None));
    harness.ok(harness.remove("c", LeaveReason::RemovedByAdmin));
    assert!(harness.take_event_lines().is_empty());
}

#[test]
fn a_member_that_is_removed_while_its_new_process_joins_emits_leave() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    let raft_id = Some(harness.node("b").raft_id);
    harness.ok(harness.join("b", 50, raft_id));
    harness.take_event_lines();
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(
        harness.take_event_lines(),
        [
            "leave b (removed_by_admin), led -, copies 0",
            "p0 b drops (node_leave)",
            "health healthy: 1 of 1 well, not -",
        ]
    );
}

#[test]
fn a_single_copy_comes_back_with_its_node() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a"), target("b")], 1);
    harness.fail("b");
    assert_eq!(harness.partition(1), "-@1 b", "the only copy counts on");
    harness.take_event_lines();
    harness.restart("b");
    assert_eq!(harness.partition(1), "b@2 b");
    assert_eq!(
        harness.take_event_lines()[..2],
        ["rejoin b after 2 ms, had 1", "p1 b leads at 2 [->b] (node_join)"]
    );
}

#[test]
fn after_a_stop_of_the_whole_cluster_the_last_to_go_has_the_data() {
    let mut harness = Harness::cluster(&["a", "b", "c"], &[target("a b c"), target("c a b")], 3);
    for node in ["a", "b", "c"] {
        harness.stop(node);
    }
    assert_eq!(harness.partition(0), "-@3 a? b? c");
    harness.take_event_lines();
    // No serving node has the data: a is back, and waits for a source.
    harness.restart("a");
    assert_eq!(
        harness.take_event_lines(),
        [
            "rejoin a after 4 ms, had 0+1",
            "health critical: 1 of 3 well, not b+c, lost 0+1"
        ]
    );
    let plan = harness.plan(RebalanceTrigger::Manual, "", &[(0, target("a"))]);
    assert_eq!(harness.ok(plan), Reply::Unchanged);
    harness.restart("c");
    assert_eq!(
        harness.take_event_lines(),
        [
            "rejoin c after 5 ms, had 0+1",
            "p0 c leads at 4 [->c] (node_join)",
            "p0 a to copy from c (node_join)",
            "p1 c leads at 2 [->c] (node_join)",
            "p1 a to copy from c (node_join)",
            "health degraded: 2 of 3 well, not b",
        ]
    );
    harness.restart("b");
    harness.ok(harness.confirm("a"));
    harness.ok(harness.confirm("b"));
    assert_eq!(harness.partition(0), "c@4 a b c");
}

#[test]
fn the_first_node_with_the_data_makes_an_absent_holder_stale() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    harness.restart("b");
    harness.fail("a");
    assert_eq!(harness.partition(0), "-@1 a b?");
    // b finished its copy before a went down.
    harness.ok(harness.confirm("b"));
    harness.ok(harness.grant());
    assert_eq!(harness.partition(0), "b@2 a? b");
    harness.restart("a");
    assert_eq!(harness.partition(0), "b@2 a? b", "a missed what b wrote");
}

#[test]
fn a_leaving_member_that_restarts_is_an_active_one_again() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    harness.ok(Command::Leave {
        node: "b".into(),
        incarnation: harness.node("b").incarnation,
    });
    harness.restart("b");
    assert_eq!(
        harness.node("b").status,
        NodeStatus::Active,
        "a drain ends with its process"
    );
}

#[test]
fn the_same_process_joins_once_and_another_takes_its_place() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a b")], 2);
    let first = harness.node("b");
    let process = harness.state.process_of("b").unwrap();
    let mut node = spec("b", process, Some(first.raft_id));
    let again = |node| Command::Join {
        node,
        promotions: Vec::new(),
        planned_on: 0,
        silent_ms: 0,
        unleased_from: None,
    };
    let joined = Reply::Joined {
        raft_id: first.raft_id,
        incarnation: first.incarnation,
        retired_raft_id: None,
    };
    assert_eq!(harness.ok(again(node.clone())), joined);
    assert_eq!(harness.node("b"), first);
    node.peer_addr = "elsewhere:1".to_owned();
    assert_eq!(harness.ok(again(node)), joined);
    assert_eq!(harness.node("b").peer_addr, "elsewhere:1");

    // A new process without the log gets a new incarnation and a new Raft id.
    let reply = harness.ok(harness.join("b", process + 1, None));
    let second = harness.node("b");
    assert_eq!(
        reply,
        Reply::Joined {
            raft_id: second.raft_id,
            incarnation: second.incarnation,
            retired_raft_id: Some(first.raft_id),
        }
    );
    assert!(second.raft_id > first.raft_id && second.incarnation > first.incarnation);

    let write = |session| Proposal {
        session,
        seq: 1,
        low: 0,
        epoch: None,
        at: Timestamp::from_millis(9),
        command: Command::SetData {
            key: "k".to_owned(),
            value: vec![1].into(),
            expect: Expect::Any,
        },
    };
    let late = harness.apply(write(first.incarnation)).result;
    assert_eq!(late.map_err(|error| error.code()), Err(ErrorCode::DuplicateNode));
    assert_eq!(harness.apply(write(second.incarnation)).result, Ok(Reply::Done));
}

#[test]
fn a_removed_node_comes_back_only_without_its_log() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let raft_id = harness.node("b").raft_id;
    harness.ok(harness.remove("b", LeaveReason::RemovedByAdmin));
    assert!(harness.state.removed_at("b").is_some());
    assert_eq!(
        harness.refused(harness.join("b", 9, Some(raft_id))),
        ErrorCode::Removed
    );
    assert_eq!(
        harness.refused(harness.join("x", 9, Some(raft_id))),
        ErrorCode::WrongCluster
    );
    harness.take_event_lines();
    harness.start("b", 9, None);
    assert_eq!(harness.take_event_lines(), ["join b, 2 members"]);
    assert!(harness.node("b").raft_id > raft_id);
    assert_eq!(harness.state.removed_at("b"), None);
    assert_eq!(
        harness.refused(harness.join("b", 10, Some(raft_id))),
        ErrorCode::WrongCluster
    );
}

#[test]
fn a_removed_node_gets_its_last_answer_again() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let proposal = Proposal {
        session: harness.node("b").incarnation,
        seq: 4,
        low: 4,
        epoch: None,
        at: Timestamp::from_millis(9),
        command: harness.remove("b", LeaveReason::GracefulShutdown),
    };
    let first = harness.apply(proposal.clone());
    assert_eq!(first.result, Ok(Reply::Done));
    assert_eq!(
        harness.apply(proposal),
        first,
        "its answer was lost, and it asked again"
    );
}
