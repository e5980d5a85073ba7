//! Sends crafted calls to a node that leads. Whatever it receives, it must be able to write afterwards, and after a
//! restart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{RaftNode, answer_of, leads, open_on};
use crate::env::disk::MemDisk;
use crate::env::{self, Runtime};
use crate::model::Timestamp;
use crate::raft::codec::{MembershipRecord, SnapshotHeader};
use crate::raft::storage::wal;
use crate::raft::transport::wire::{
    AppendEntries, RaftAnswer, RaftCall, RaftRequest, RequestVote, SnapshotChunk, Transfer, WireEntry,
};
use crate::rpc::{decode, encode};
use crate::state::{Command, Expect, Proposal, State};

const STRANGER: u64 = 77;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

fn id(term: u64, node: u64, index: u64) -> wal::LogId {
    wal::LogId { term, node, index }
}

fn vote(term: u64, committed: bool) -> wal::Vote {
    wal::Vote {
        term,
        node: STRANGER,
        committed,
    }
}

async fn tell(node: &RaftNode, call: RaftCall) -> RaftAnswer {
    let request = RaftRequest {
        cluster: "c".to_owned(),
        from: STRANGER,
        to: 1,
        call,
    };
    let answer = answer_of(node.server().clone(), &encode(&request).unwrap()).await;
    decode(&answer, "an answer").unwrap()
}

fn proposal(value: u64) -> Bytes {
    encode(&Proposal::without_session(
        Command::SetData {
            key: "k".to_owned(),
            value: value.to_string().into(),
            expect: Expect::Any,
        },
        Timestamp::default(),
    ))
    .unwrap()
}

/// Waits until the node leads, and writes.
async fn writes(node: &RaftNode, value: u64) {
    writes_after(node, value, "").await;
}

/// The same, with a description of what came before for the message.
async fn writes_after(node: &RaftNode, value: u64, after: &str) {
    let written = async {
        loop {
            leads(node).await;
            let outcome = node.write(proposal(value)).await;
            if matches!(outcome, crate::raft::proposals::write::WriteOutcome::Applied(_)) {
                return;
            }
            env::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = env::timeout(Duration::from_secs(20), written).await;
    let stats = node.stats(|_| None);
    assert!(in_time.is_ok(), "it writes no more{after}: {stats:?}");
    let state = node.applied().state();
    let data = state.data().get("k").map(|entry| entry.value.clone());
    assert_eq!(data.as_deref(), Some(value.to_string().as_bytes()));
}

/// The id of the last entry of the node's log.
fn tip(node: &RaftNode) -> wal::LogId {
    let last = node.last_log_id().expect("it has founded");
    crate::raft::types::to_wal_id(last)
}

fn membership(configs: &[&[u64]]) -> Bytes {
    encode(&MembershipRecord::of_parts(configs)).unwrap()
}

fn append(
    term: u64,
    prev: Option<wal::LogId>,
    entries: Vec<WireEntry>,
    commit: Option<wal::LogId>,
) -> RaftCall {
    RaftCall::Append(AppendEntries::of_parts(vote(term, true), prev, entries, commit))
}

/// Calls that an attacker with knowledge of the protocol may send.
fn attacks(tip: wal::LogId) -> Vec<RaftCall> {
    let term = tip.term + 5;
    let next = tip.index + 1;
    let entry = |index, kind, payload: Bytes| (term, STRANGER, index, kind, payload);
    let committed = Some(id(term, STRANGER, next));
    let one = |kind, payload| append(term, Some(tip), vec![entry(next, kind, payload)], committed);
    let mut calls = vec![
        one(KIND_COMMAND, Bytes::from_static(b"\xc1garbage")),
        one(KIND_COMMAND, Bytes::new()),
        one(9, Bytes::from_static(b"x")),
        one(KIND_MEMBERSHIP, Bytes::from_static(b"\xc1")),
        one(KIND_MEMBERSHIP, membership(&[])),
        one(KIND_MEMBERSHIP, membership(&[&[]])),
        one(KIND_MEMBERSHIP, membership(&[&[1], &[1], &[1]])),
        append(term, None, vec![entry(0, 0, Bytes::new())], None),
        append(term, None, vec![entry(u64::MAX, 0, Bytes::new())], None),
        append(term, Some(tip), vec![entry(next + 4, 0, Bytes::new())], None),
        append(term, Some(id(term, STRANGER, u64::MAX)), Vec::new(), None),
        append(term, Some(tip), Vec::new(), Some(id(term, STRANGER, u64::MAX))),
        RaftCall::Transfer(Transfer::of_parts(vote(u64::MAX, true), 1, None)),
        RaftCall::Heartbeat(vote(term + 1000, true)),
    ];
    for term in [u64::MAX, u64::MAX - 1, 1 << 62, 1 << 40] {
        let last = Some(id(term, STRANGER, u64::MAX));
        calls.push(RaftCall::Vote(RequestVote::of_parts(
            vote(term, false),
            last,
            true,
        )));
        calls.push(RaftCall::Vote(RequestVote::of_parts(
            vote(term, false),
            None,
            true,
        )));
        calls.push(append(term, None, Vec::new(), None));
        calls.push(RaftCall::Heartbeat(vote(term, true)));
    }
    calls
}

fn snapshot(term: u64, last: wal::LogId, configs: &[&[u64]], data: Bytes) -> RaftCall {
    let head = encode(&SnapshotHeader::of_parts(Some(last), Some(last), configs)).unwrap();
    RaftCall::Snapshot(SnapshotChunk {
        vote: vote(term, true),
        head,
        offset: 0,
        total: data.len() as u64,
        data,
    })
}

#[test]
fn no_frame_of_a_stranger_bricks_a_node() {
    Runtime::run(async {
        let disk = Arc::new(MemDisk::new());
        let mut node = open_on(disk.clone()).await;
        node.initialize().await.unwrap();
        writes(&node, 0).await;
        let count = attacks(tip(&node)).len() + 4;
        for number in 0..count {
            let tip = tip(&node);
            let ahead = id(tip.term + 5, STRANGER, tip.index + 1000);
            let empty: Bytes = State::default().encode().unwrap().into();
            let mut calls = attacks(tip);
            calls.extend([
                snapshot(ahead.term, ahead, &[&[1]], Bytes::from_static(b"abcd")),
                snapshot(ahead.term, ahead, &[&[1]], empty.clone()),
                snapshot(ahead.term, ahead, &[], empty.clone()),
                snapshot(ahead.term, id(u64::MAX, STRANGER, u64::MAX), &[&[1]], empty),
            ]);
            let call = calls.swap_remove(number);
            let shown = format!("{call:?}");
            tell(&node, call).await;
            writes(&node, number as u64).await;
            node.close()
                .await
                .unwrap_or_else(|error| panic!("{shown}: {error}"));
            node = open_on(disk.clone()).await;
            writes(&node, number as u64 + 1).await;
        }
        node.close().await.unwrap();
    });
}

/// A random call, with numbers that are often close to the limits and to the end of the log.
fn any_call(random: &mut StdRng, tip: wal::LogId) -> RaftCall {
    let number = |random: &mut StdRng, near: u64| match random.random_range(0..6) {
        0 => u64::MAX - random.random_range(0..3),
        1 => random.random_range(0..3),
        2 => random.random(),
        _ => near.wrapping_add(random.random_range(0..7)).wrapping_sub(3),
    };
    let any_id = |random: &mut StdRng| {
        random.random_bool(0.8).then(|| {
            let (term, index) = (number(random, tip.term), number(random, tip.index));
            let node = if random.random() { STRANGER } else { tip.node };
            id(term, node, index)
        })
    };
    let said = |random: &mut StdRng| vote(number(random, tip.term + 3), random.random_bool(0.8));
    match random.random_range(0..6) {
        0 | 1 => {
            let prev = if random.random() {
                Some(tip)
            } else {
                any_id(random)
            };
            let entries = (0..random.random_range(0..4))
                .map(|place| {
                    let near = prev.map_or(0, |prev| prev.index.wrapping_add(1 + place));
                    let index = if random.random_bool(0.9) {
                        near
                    } else {
                        number(random, near)
                    };
                    let payload = match random.random_range(0..4) {
                        0 => proposal(random.random()),
                        // No other node is made a voter: a single valid entry of a leader can do that, and it is no
                        // defect.
                        1 => membership(&[&[1]]),
                        2 => membership(&[]),
                        _ => Bytes::from_static(b"\x81\xa1"),
                    };
                    let kind = random.random_range(0..4);
                    (number(random, tip.term + 3), STRANGER, index, kind, payload)
                })
                .collect();
            RaftCall::Append(AppendEntries::of_parts(
                said(random),
                prev,
                entries,
                any_id(random),
            ))
        }
        2 => RaftCall::Vote(RequestVote::of_parts(
            said(random),
            any_id(random),
            random.random(),
        )),
        3 => RaftCall::PreVote(RequestVote::of_parts(
            said(random),
            any_id(random),
            random.random(),
        )),
        4 => RaftCall::Heartbeat(said(random)),
        _ => RaftCall::Transfer(Transfer::of_parts(said(random), 1, any_id(random))),
    }
}

#[test]
fn no_sequence_of_frames_bricks_a_node() {
    let seed: u64 = rand::random();
    Runtime::run(async move {
        let mut random = StdRng::seed_from_u64(seed);
        let after = format!(" after seed {seed}");
        let disk = Arc::new(MemDisk::new());
        let mut node = open_on(disk.clone()).await;
        node.initialize().await.unwrap();
        writes(&node, 0).await;
        for round in 1..=10 {
            for _ in 0..100 {
                let call = any_call(&mut random, tip(&node));
                tell(&node, call).await;
            }
            writes_after(&node, round, &after).await;
            node.close().await.unwrap();
            node = open_on(disk.clone()).await;
            writes_after(&node, round, &after).await;
        }
        node.close().await.unwrap();
    });
}
