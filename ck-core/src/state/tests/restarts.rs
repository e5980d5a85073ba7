//! Members that stop, crash, restart and rejoin.

use super::lab::{Lab, spec, target};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, NodeStatus, RebalanceTrigger, Timestamp};
use crate::state::{Command, Expect, Proposal, Reply};

#[test]
fn a_member_that_was_away_rejoins_before_it_is_told_to_copy() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    lab.stop("b");
    lab.now += 5000;
    lab.told();
    lab.restart("b");
    assert_eq!(
        lab.told(),
        [
            "rejoin b after 5002 ms, had 0+1",
            "p0 b to copy from a (node_join)",
            "p1 b to copy from a (node_join)",
            "health healthy: 2 of 2 well, not -",
        ]
    );
    assert_eq!(lab.partition(1), "a@2 a b?");
    lab.ok(lab.confirm("b"));
    assert_eq!(lab.partition(1), "a@2 a b");
}

#[test]
fn a_restart_that_nobody_noticed_hands_over_and_rejoins() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b"), target("b a")], 2);
    let before = lab.node("b");
    lab.restart("b");
    assert_eq!(
        lab.told(),
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
    let after = lab.node("b");
    assert!(after.incarnation > before.incarnation);
    assert_eq!(
        (after.raft_id, after.joined_at),
        (before.raft_id, before.joined_at)
    );
}

#[test]
fn a_member_that_crashes_again_before_it_caught_up_was_away_since_the_first_time() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    lab.fail("b");
    let gone = lab.now;
    lab.now += 1000;
    let raft_id = Some(lab.node("b").raft_id);
    lab.ok(lab.join("b", 50, raft_id));
    lab.now += 1000;
    lab.told();
    lab.fail("b");
    assert!(lab.told().is_empty(), "that it went is known");
    lab.ok(lab.join("b", 51, raft_id));
    lab.now += 1000;
    lab.ok(lab.join("b", 52, raft_id));
    lab.ok(lab.activate("b"));
    let away = lab.now - gone;
    assert_eq!(lab.told()[0], format!("rejoin b after {away} ms, had 0"));
}

#[test]
fn a_member_was_away_since_it_was_last_heard_of() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    let raft_id = Some(lab.node("b").raft_id);
    for (process, noticed) in [(50, true), (51, false)] {
        let heard = lab.now;
        // The lab's clock ticks with each command.
        let silent = |lab: &Lab| lab.now + 1 - heard;
        lab.now += 700;
        if noticed {
            let mut down = lab.mark_down("b", LeaveReason::HealthCheckFailure);
            if let Command::MarkDown { silent_ms, .. } = &mut down {
                *silent_ms = silent(&lab);
            }
            lab.ok(down);
            assert_eq!(lab.node("b").last_seen.as_millis(), heard);
        }
        lab.now += 100;
        let mut join = lab.join("b", process, raft_id);
        if let Command::Join { silent_ms, .. } = &mut join {
            *silent_ms = silent(&lab);
        }
        lab.ok(join);
        lab.told();
        lab.ok(lab.activate("b"));
        let away = lab.now - heard;
        assert_eq!(lab.told()[0], format!("rejoin b after {away} ms, had 0"));
    }
}

#[test]
fn a_newcomer_that_fails_before_it_caught_up_was_never_a_member() {
    let mut lab = Lab::cluster(&["a"], &[target("a")], 1);
    lab.ok(lab.join("b", 2, None));
    lab.fail("b");
    assert!(lab.told().is_empty(), "nobody heard of it");
    assert_eq!(lab.state.health().map(|health| health.total_nodes), Some(1));
    let raft_id = Some(lab.node("b").raft_id);
    lab.start("b", 3, raft_id);
    assert_eq!(lab.told(), ["join b, 2 members"]);

    lab.ok(lab.join("c", 2, None));
    lab.ok(lab.remove("c", LeaveReason::RemovedByAdmin));
    assert!(lab.told().is_empty());
}

#[test]
fn a_member_that_is_removed_while_its_new_process_joins_is_told_to_have_left() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    let raft_id = Some(lab.node("b").raft_id);
    lab.ok(lab.join("b", 50, raft_id));
    lab.told();
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    assert_eq!(
        lab.told(),
        [
            "leave b (removed_by_admin), led -, copies 0",
            "p0 b drops (node_leave)",
            "health healthy: 1 of 1 well, not -",
        ]
    );
}

#[test]
fn a_single_copy_comes_back_with_its_node() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a"), target("b")], 1);
    lab.fail("b");
    assert_eq!(lab.partition(1), "-@1 b", "the only copy counts on");
    lab.told();
    lab.restart("b");
    assert_eq!(lab.partition(1), "b@2 b");
    assert_eq!(
        lab.told()[..2],
        ["rejoin b after 2 ms, had 1", "p1 b leads at 2 [->b] (node_join)"]
    );
}

#[test]
fn after_a_stop_of_the_whole_cluster_the_last_to_go_has_the_data() {
    let mut lab = Lab::cluster(&["a", "b", "c"], &[target("a b c"), target("c a b")], 3);
    for node in ["a", "b", "c"] {
        lab.stop(node);
    }
    assert_eq!(lab.partition(0), "-@3 a? b? c");
    lab.told();
    // No serving node has the data: a is back, and waits for a source.
    lab.restart("a");
    assert_eq!(
        lab.told(),
        [
            "rejoin a after 4 ms, had 0+1",
            "health critical: 1 of 3 well, not b+c, lost 0+1"
        ]
    );
    let plan = lab.plan(RebalanceTrigger::Manual, "", &[(0, target("a"))]);
    assert_eq!(lab.ok(plan), Reply::Unchanged);
    lab.restart("c");
    assert_eq!(
        lab.told(),
        [
            "rejoin c after 5 ms, had 0+1",
            "p0 c leads at 4 [->c] (node_join)",
            "p0 a to copy from c (node_join)",
            "p1 c leads at 2 [->c] (node_join)",
            "p1 a to copy from c (node_join)",
            "health degraded: 2 of 3 well, not b",
        ]
    );
    lab.restart("b");
    lab.ok(lab.confirm("a"));
    lab.ok(lab.confirm("b"));
    assert_eq!(lab.partition(0), "c@4 a b c");
}

#[test]
fn whoever_has_the_data_first_makes_the_one_that_is_away_stale() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    lab.restart("b");
    lab.fail("a");
    assert_eq!(lab.partition(0), "-@1 a b?");
    // b finished its copy before a went down.
    lab.ok(lab.confirm("b"));
    lab.ok(lab.grant());
    assert_eq!(lab.partition(0), "b@2 a? b");
    lab.restart("a");
    assert_eq!(lab.partition(0), "b@2 a? b", "a missed what b wrote");
}

#[test]
fn a_leaving_member_that_restarts_is_an_active_one_again() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    lab.ok(Command::Leave {
        node: "b".into(),
        incarnation: lab.node("b").incarnation,
    });
    lab.restart("b");
    assert_eq!(
        lab.node("b").status,
        NodeStatus::Active,
        "a drain ends with its process"
    );
}

#[test]
fn the_same_process_joins_once_and_another_takes_its_place() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a b")], 2);
    let first = lab.node("b");
    let process = lab.state.process_of("b").unwrap();
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
    assert_eq!(lab.ok(again(node.clone())), joined);
    assert_eq!(lab.node("b"), first);
    node.peer_addr = "elsewhere:1".to_owned();
    assert_eq!(lab.ok(again(node)), joined);
    assert_eq!(lab.node("b").peer_addr, "elsewhere:1");

    // A new process without the log gets a new incarnation and a new Raft id.
    let reply = lab.ok(lab.join("b", process + 1, None));
    let second = lab.node("b");
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
    let late = lab.apply(write(first.incarnation)).result;
    assert_eq!(late.map_err(|error| error.code()), Err(ErrorCode::DuplicateNode));
    assert_eq!(lab.apply(write(second.incarnation)).result, Ok(Reply::Done));
}

#[test]
fn a_removed_node_comes_back_only_without_its_log() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let raft_id = lab.node("b").raft_id;
    lab.ok(lab.remove("b", LeaveReason::RemovedByAdmin));
    assert!(lab.state.removed_at("b").is_some());
    assert_eq!(lab.refused(lab.join("b", 9, Some(raft_id))), ErrorCode::Removed);
    assert_eq!(
        lab.refused(lab.join("x", 9, Some(raft_id))),
        ErrorCode::WrongCluster
    );
    lab.told();
    lab.start("b", 9, None);
    assert_eq!(lab.told(), ["join b, 2 members"]);
    assert!(lab.node("b").raft_id > raft_id);
    assert_eq!(lab.state.removed_at("b"), None);
    assert_eq!(
        lab.refused(lab.join("b", 10, Some(raft_id))),
        ErrorCode::WrongCluster
    );
}

#[test]
fn whoever_leaves_for_good_hears_its_last_answer_again() {
    let mut lab = Lab::cluster(&["a", "b"], &[target("a")], 1);
    let proposal = Proposal {
        session: lab.node("b").incarnation,
        seq: 4,
        low: 4,
        epoch: None,
        at: Timestamp::from_millis(9),
        command: lab.remove("b", LeaveReason::GracefulShutdown),
    };
    let first = lab.apply(proposal.clone());
    assert_eq!(first.result, Ok(Reply::Done));
    assert_eq!(
        lab.apply(proposal),
        first,
        "its answer was lost, and it asked again"
    );
}
