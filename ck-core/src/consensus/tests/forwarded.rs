//! Forwarded proposals, many in one call: each has an outcome of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft_rt::AsyncRuntime;

use crate::consensus::forward::{
    ForwardAnswer, ForwardCall, ForwardRequest, MAX_FORWARDED, handle_forwarded,
};
use crate::consensus::network::Addresses;
use crate::consensus::replica::Replica;
use crate::consensus::types::RaftId;
use crate::consensus::write::Written;
use crate::consensus::{Consensus, ConsensusConfig, SnapshotPace, decode, encode};
use crate::env::disk::MemDisk;
use crate::env::{self, Runtime};
use crate::error::{Error, ErrorCode, Result};
use crate::model::Timestamp;
use crate::net::{Lane, Transport};
use crate::options::TimingProfile;
use crate::state::{Command, Expect, Proposal};

#[derive(Debug)]
struct Nobody;

impl Transport for Nobody {
    fn call(&self, _: &str, _: Lane, _: Bytes, _: Duration) -> BoxFuture<'_, Result<Bytes>> {
        std::future::ready(Err(Error::new(ErrorCode::Unreachable, "nobody"))).boxed()
    }

    fn close(&self) {}
}

impl Addresses for Nobody {
    fn address_of(&self, _: RaftId) -> Option<String> {
        None
    }

    fn cluster_id(&self) -> String {
        "c".to_owned()
    }
}

async fn open() -> Arc<Consensus> {
    let replica = Arc::new(Replica::new("node-1".into(), 1, Box::new(|_| {})));
    let config = ConsensusConfig {
        raft_id: 1,
        cluster_name: "c".to_owned(),
        timing: TimingProfile::Lan.values(),
        disk: Arc::new(MemDisk::new()),
        dir: "/node".into(),
        transport: Arc::new(Nobody),
        addresses: Arc::new(Nobody),
        replica,
        snapshots: SnapshotPace::default(),
    };
    Consensus::open(config).await.unwrap()
}

fn proposal(seq: u64, expect: Expect) -> Bytes {
    encode(&Proposal {
        // Nobody was admitted here who could have a session.
        session: 0,
        seq,
        low: 0,
        epoch: None,
        at: Timestamp::default(),
        command: Command::SetData {
            key: "k".to_owned(),
            value: seq.to_string().into(),
            expect,
        },
    })
    .unwrap()
}

async fn ask(node: &Consensus, proposals: Vec<Bytes>) -> ForwardAnswer {
    let request = ForwardRequest {
        cluster: "c".to_owned(),
        call: ForwardCall::ProposeMany(proposals),
    };
    let answer = handle_forwarded(node, "c", &encode(&request).unwrap()).await;
    decode(&answer, "an answer").unwrap()
}

fn written(answer: ForwardAnswer) -> Vec<Written> {
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
        assert_eq!(outcomes, [Written::NotHere(None), Written::NotHere(None)]);
        assert_eq!(node.last_index(), 0);
        node.close().await.unwrap();
    });
}

#[test]
fn one_proposal_that_fails_does_not_keep_the_others() {
    Runtime::run(async {
        let node = open().await;
        node.initialize().await.unwrap();
        while node.leader() != Some(1) {
            env::sleep(Duration::from_millis(5)).await;
        }
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
                Written::Done(response) => response,
                other => panic!("{other:?}"),
            })
            .collect();
        let code = |n: usize| responses[n].result.as_ref().err().map(Error::code);
        let codes: Vec<_> = (0..responses.len()).map(code).collect();
        let expected = [None, Some(ErrorCode::Corrupt), Some(ErrorCode::Conflict), None];
        assert_eq!(codes, expected);
        assert_eq!(node.replica().state().data().get("k").unwrap().value, "3");
        node.close().await.unwrap();
    });
}

#[test]
fn too_many_at_once_are_refused_before_any_is_appended() {
    Runtime::run(async {
        let node = open().await;
        let answer = ask(&node, vec![Bytes::new(); MAX_FORWARDED + 1]).await;
        assert!(matches!(answer, ForwardAnswer::Refused(error) if error.code() == ErrorCode::TooLarge));
        node.close().await.unwrap();
    });
}
