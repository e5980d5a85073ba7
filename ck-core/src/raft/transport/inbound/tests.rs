use bytes::Bytes;

use super::*;
use crate::raft::transport::wire::{AppendEntries, RequestVote, SnapshotChunk, Transfer};

const ME: u64 = 3;

fn known() -> LocalState {
    LocalState {
        term: 5,
        last_index: Some(100),
        committed: Some(id(5, 1, 90)),
    }
}

fn id(term: u64, node: u64, index: u64) -> wal::LogId {
    wal::LogId { term, node, index }
}

fn vote(term: u64, node: u64, committed: bool) -> wal::Vote {
    wal::Vote {
        term,
        node,
        committed,
    }
}

fn append(
    vote: wal::Vote,
    prev: Option<wal::LogId>,
    entries: &[wal::LogId],
    commit: Option<wal::LogId>,
) -> RaftCall {
    let entries = entries
        .iter()
        .map(|id| (id.term, id.node, id.index, 0, Bytes::new()))
        .collect();
    RaftCall::Append(AppendEntries::of_parts(vote, prev, entries, commit))
}

fn ballot(term: u64, last: Option<wal::LogId>) -> RaftCall {
    RaftCall::Vote(RequestVote::of_parts(vote(term, 1, false), last, true))
}

fn check(call: &RaftCall) -> Result<()> {
    known().check_call(1, call)
}

#[test]
fn what_nodes_say_is_believed() {
    let leads = vote(6, 1, true);
    let tip = Some(id(5, 2, 100));
    let calls = [
        append(leads, tip, &[], None),
        append(leads, tip, &[id(6, 1, 101), id(6, 1, 102)], Some(id(5, 1, 90))),
        append(leads, None, &[id(0, 0, 0), id(1, 2, 1)], None),
        // A committed entry is sent again because an answer was lost.
        append(leads, Some(id(4, 1, 80)), &[id(5, 1, 81)], Some(id(6, 1, 103))),
        ballot(6, Some(id(5, 7, 4000))),
        ballot(7, None),
        ballot(5 + TERM_STEP, None),
        RaftCall::Heartbeat(leads),
        RaftCall::Transfer(Transfer::of_parts(leads, ME, Some(id(6, 1, 101)))),
        RaftCall::Snapshot(SnapshotChunk {
            vote: leads,
            head: Bytes::new(),
            offset: 0,
            total: 0,
            data: Bytes::new(),
        }),
    ];
    for call in calls {
        check(&call).unwrap_or_else(|error| panic!("{call:?}: {error}"));
    }
}

#[test]
fn what_no_node_says_is_refused() {
    let leads = vote(6, 1, true);
    let tip = Some(id(5, 2, 100));
    let far = 5 + TERM_STEP + 1;
    let calls = [
        // Terms that leave no room for the next term, or are too far above the known one.
        ballot(u64::MAX, None),
        ballot(u64::MAX - 1, None),
        ballot(far, None),
        append(vote(u64::MAX, 1, true), tip, &[], None),
        append(vote(far, 1, true), tip, &[], None),
        RaftCall::Heartbeat(vote(far, 1, true)),
        RaftCall::Transfer(Transfer::of_parts(vote(far, 1, true), ME, None)),
        // The sender was not elected.
        append(vote(6, 1, false), tip, &[], None),
        RaftCall::Heartbeat(vote(6, 1, false)),
        RaftCall::Transfer(Transfer::of_parts(vote(6, 1, false), ME, None)),
        // In the name of another node.
        append(vote(6, 2, true), tip, &[], None),
        RaftCall::Heartbeat(vote(6, 2, true)),
        // Indexes at the end of the number range.
        append(leads, Some(id(6, 1, u64::MAX)), &[], None),
        append(leads, None, &[id(6, 1, u64::MAX)], None),
        append(leads, tip, &[], Some(id(6, 1, u64::MAX))),
        ballot(6, Some(id(6, 1, u64::MAX))),
        // Gaps, and entries out of order.
        append(leads, None, &[id(6, 1, 1)], None),
        append(leads, tip, &[id(6, 1, 105)], None),
        append(leads, tip, &[id(6, 1, 101), id(6, 1, 103)], None),
        append(leads, tip, &[id(6, 1, 102), id(6, 1, 101)], None),
        append(leads, tip, &[id(6, 1, 101), id(6, 1, 101)], None),
        // Entries of leaders later than the sender, and entries that follow those of a later leader.
        append(leads, tip, &[id(7, 1, 101)], None),
        append(leads, tip, &[id(6, 2, 101)], None),
        append(leads, Some(id(7, 1, 100)), &[], None),
        append(leads, tip, &[id(4, 1, 101)], None),
        append(leads, tip, &[], Some(id(7, 1, 100))),
        ballot(6, Some(id(7, 1, 100))),
        // Committed entries would change.
        append(leads, Some(id(6, 1, 90)), &[], None),
        append(leads, Some(id(5, 1, 80)), &[id(6, 1, 81)], None),
        append(leads, None, &[id(6, 1, 0)], None),
    ];
    for call in calls {
        let refused = check(&call).expect_err(&format!("{call:?}"));
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{call:?}");
    }
}

/// A cluster may be old when a node joins it for the first time.
#[test]
fn a_node_without_a_past_takes_the_term_that_there_is() {
    let new = LocalState {
        term: 0,
        last_index: None,
        committed: None,
    };
    assert!(new.check_call(1, &ballot(TERM_STEP + 1, None)).is_ok());
    assert!(new.check_call(1, &ballot(MAX_TERM + 1, None)).is_err());
    let far = Some(id(6, 1, INDEX_STEP * 2));
    assert!(
        new.check_call(1, &append(vote(6, 1, true), far, &[], None))
            .is_ok()
    );
    assert!(check(&append(vote(6, 1, true), far, &[], None)).is_err());
}

#[test]
fn an_answer_names_no_term_from_nowhere() {
    let voted = |term| RaftAnswer::Voted {
        vote: vote(term, 2, false),
        granted: false,
        last: None,
    };
    let higher = |term| RaftAnswer::Appended(Appended::HigherVote(vote(term, 2, false)));
    let snapshot = |term| RaftAnswer::Snapshot {
        vote: vote(term, 2, true),
    };
    for answer in [voted(9), higher(9), snapshot(9)] {
        assert!(check_answer(5, &answer).is_ok());
    }
    for term in [u64::MAX, MAX_TERM, 6 + TERM_STEP] {
        for answer in [voted(term), higher(term), snapshot(term)] {
            assert!(check_answer(5, &answer).is_err(), "{answer:?}");
        }
    }
}

#[test]
fn a_follower_takes_no_more_than_was_sent_to_it() {
    let (prev, last) = (Some(id(5, 1, 10)), Some(id(6, 1, 12)));
    for upto in [prev, Some(id(5, 1, 11)), last] {
        assert!(check_progress(upto, prev, last).is_ok());
    }
    for upto in [None, Some(id(5, 1, 9)), Some(id(6, 1, 13)), Some(id(7, 1, 12))] {
        assert!(check_progress(upto, prev, last).is_err(), "{upto:?}");
    }
}
