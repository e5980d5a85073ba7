//! Tests of several proposals forwarded in one call: each has an outcome of its own.

use std::sync::Arc;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;

use super::{answer_of, found, open, peers};
use crate::env::Runtime;
use crate::error::{Error, ErrorCode};
use crate::model::{LeaveReason, RebalanceTrigger, Timestamp};
use crate::raft::proposals::forward::{
    ForwardAnswer, ForwardCall, ForwardRequest, ForwardServer, MAX_FORWARDED,
};
use crate::raft::proposals::write::WriteOutcome;
use crate::raft::{AppliedState, RaftNode};
use crate::rpc::{decode, encode};
use crate::state::{Command, CopyLimit, Expect, Proposal};

fn proposal(seq: u64, expect: Expect) -> Bytes {
    let set = Command::SetData {
        key: "k".to_owned(),
        value: seq.to_string().into(),
        expect,
    };
    forwarded(set, None, (seq, 0))
}

fn forwarded(command: Command, epoch: Option<u64>, (seq, low): (u64, u64)) -> Bytes {
    encode(&Proposal {
        seq,
        low,
        epoch,
        // No node has joined here, so there is no session.
        ..Proposal::without_session(command, Timestamp::default())
    })
    .unwrap()
}

async fn ask(node: &Arc<RaftNode>, proposals: Vec<Bytes>) -> ForwardAnswer {
    let request = ForwardRequest {
        cluster: "c".to_owned(),
        from: None,
        call: ForwardCall::ProposeMany(proposals),
    };
    let body = encode(&request).unwrap();
    let server = Arc::new(ForwardServer::new(
        node.clone(),
        peers(),
        Arc::new(AppliedState::new("node-1".into(), 1)),
    ));
    let answer = answer_of(server, &body).await;
    decode(&answer, "an answer").unwrap()
}

fn written(answer: ForwardAnswer) -> Vec<WriteOutcome> {
    match answer {
        ForwardAnswer::WrittenMany(written) => written,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_that_does_not_lead_appends_none_and_says_so_for_each() {
    Runtime::run(async {
        let node = open().await;
        let proposals = vec![proposal(1, Expect::Any), proposal(2, Expect::Any)];
        let outcomes = written(ask(&node, proposals).await);
        assert_eq!(
            outcomes,
            [WriteOutcome::NotLeader(None), WriteOutcome::NotLeader(None)]
        );
        assert_eq!(node.last_index(), 0);
        node.close().await.unwrap();
    });
}

#[test]
fn one_proposal_that_fails_does_not_keep_the_others() {
    Runtime::run(async {
        let node = found().await;
        let proposals = vec![
            proposal(1, Expect::Any),
            Bytes::from_static(b"nothing"),
            proposal(2, Expect::Absent),
            proposal(3, Expect::Any),
        ];
        let outcomes = written(ask(&node, proposals).await);
        let responses: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                WriteOutcome::Applied(response) => response,
                other => panic!("{other:?}"),
            })
            .collect();
        let code = |n: usize| responses[n].result.as_ref().err().map(Error::code);
        let codes: Vec<_> = (0..responses.len()).map(code).collect();
        let expected = [None, Some(ErrorCode::Corrupt), Some(ErrorCode::Conflict), None];
        assert_eq!(codes, expected);
        assert_eq!(node.applied().state().data().get("k").unwrap().value, "3");
        node.close().await.unwrap();
    });
}

#[test]
fn too_many_at_once_are_refused_before_any_is_appended() {
    Runtime::run(async {
        let node = open().await;
        let answer = ask(&node, vec![Bytes::new(); MAX_FORWARDED + 1]).await;
        assert!(matches!(answer, ForwardAnswer::Refused(error) if error.code() == ErrorCode::Corrupt));
        node.close().await.unwrap();
    });
}

/// Commands that only the leader may propose are refused when another node forwards them.
#[test]
fn what_only_a_leader_decides_is_not_taken_from_another_node() {
    let node = || crate::model::NodeId::from("node-1");
    let set = |value: usize| Command::SetData {
        key: "k".to_owned(),
        value: vec![0; value].into(),
        expect: Expect::Any,
    };
    let leaders = [
        Command::LeaderElected {
            node: node(),
            term: u64::MAX,
        },
        Command::Activate {
            node: node(),
            incarnation: 1,
        },
        Command::MarkDown {
            node: node(),
            incarnation: 1,
            reason: LeaveReason::HealthCheckFailure,
            promotions: Vec::new(),
            planned_on: 0,
            silent_ms: 0,
            unleased_from: None,
        },
        Command::Plan {
            trigger: RebalanceTrigger::Manual,
            trigger_node: node(),
            targets: Vec::new(),
            planned_on: 0,
            limit: CopyLimit::default(),
        },
        Command::Grant { grants: Vec::new() },
        Command::Maintenance { reason: None },
        Command::Stretch { factor: 8 },
        Command::Recover {
            number: 0,
            from: node(),
            force: true,
        },
    ];
    let mut refused: Vec<(Bytes, ErrorCode)> = leaders
        .into_iter()
        .map(|command| (forwarded(command, None, (1, 0)), ErrorCode::NotLeader))
        .collect();
    refused.push((forwarded(set(1), Some(1), (1, 0)), ErrorCode::NotLeader));
    refused.push((forwarded(set(1), None, (1, 2)), ErrorCode::InvalidArgument));
    refused.push((forwarded(set(3 << 20), None, (1, 0)), ErrorCode::TooLarge));
    Runtime::run(async {
        let node = found().await;
        let last = node.last_index();
        for (proposal, code) in refused {
            let outcomes = written(ask(&node, vec![proposal]).await);
            match outcomes.as_slice() {
                [WriteOutcome::Applied(response)] => {
                    assert_eq!(response.result.as_ref().map_err(Error::code), Err(code));
                    assert!(!response.settles);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(node.last_index(), last, "nothing of it came as far as the log");
        let outcomes = written(ask(&node, vec![forwarded(set(1), None, (1, 0))]).await);
        assert!(matches!(outcomes.as_slice(), [WriteOutcome::Applied(response)] if response.result.is_ok()));
        node.close().await.unwrap();
    });
}
