//! Fuzz targets that take any bytes as a node's snapshot or as its pledge file.

use std::path::Path;
use std::sync::Arc;

use super::applied_state::{AppliedState, LogItem};
use super::election::pledge_file::PledgeFile;
use super::open::SnapshotPace;
use super::storage::snapshot_file;
use super::storage::state_machine::{SnapshotStore, StateMachine};
use super::storage::wal::Owner;
#[cfg(feature = "sim")]
use super::{
    codec::SnapshotHeader,
    raft_node::RaftNode,
    storage::wal::LogId,
    transport::wire::{RaftCall, RaftRequest},
    types::to_wal_id,
};
use crate::env::disk::{Disk, MemDisk};
use crate::fuzz::Input;
use crate::model::Timestamp;
use crate::rpc::decode;
#[cfg(any(test, feature = "sim"))]
use crate::rpc::encode;
use crate::state::{Command, Expect, Proposal, State};
use crate::{Error, ErrorCode};

const DIR: &str = "/data";
const SNAPSHOT: &str = "/data/snapshot";

const REPAIR: u8 = 0;

/// The input is a snapshot file, then encoded proposals as they are in log entries. Either the node starts from the
/// snapshot and applies whatever follows it, or the error says what is wrong with the file.
pub(crate) fn snapshot(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let mut file = input.part().to_vec();
    if flags.has(REPAIR) {
        snapshot_file::repair(&mut file);
    }
    let disk = disk_with(SNAPSHOT, &file);
    let applied = Arc::new(AppliedState::new("node-1".into(), 7));
    let store = SnapshotStore::new(disk, SNAPSHOT.into(), Owner::default());
    if let Err(error) = StateMachine::open(applied.clone(), store, Arc::default(), SnapshotPace::default()) {
        is_clear(&error, SNAPSHOT);
        return;
    }
    look_at(&applied);
    survives_a_round_trip(&applied);
    let mut index = applied.revision();
    let mut apply = |proposal: Proposal| {
        index = index.saturating_add(1);
        applied.apply(&[LogItem::Command(index, Box::new(proposal))]);
        look_at(&applied);
    };
    while !input.is_empty() {
        if let Ok(proposal) = decode(input.part(), "a proposal") {
            apply(proposal);
        }
    }
    apply(proposal(Command::SetData {
        key: "after".to_owned(),
        value: "it".into(),
        expect: Expect::Any,
    }));
    survives_a_round_trip(&applied);
}

/// Takes any bytes as `pledges.json`.
pub(crate) fn pledges(bytes: &[u8]) {
    let path = "/data/pledges.json";
    let file = PledgeFile::new(disk_with(path, bytes), Path::new(DIR));
    match file.load() {
        Ok(stretch) => {
            let stored = file.store(stretch).and_then(|()| file.load());
            assert!(
                stored.as_ref().is_ok_and(|stored| *stored == stretch),
                "{stored:?}"
            );
        }
        Err(error) => is_clear(&error, path),
    }
}

fn proposal(command: Command) -> Proposal {
    Proposal::without_session(command, Timestamp::default())
}

/// Runs the queries of lookups and status pages.
fn look_at(applied: &AppliedState) {
    let view = applied.view().load();
    let topology = view.topology();
    for key in [&b""[..], b"a", b"user:123"] {
        let partition = view.partition(key);
        assert_eq!(partition.is_some(), !topology.partitions.is_empty());
    }
    for number in [0, 1, u32::MAX] {
        let _ = view
            .partition_by_number(number)
            .map(|partition| partition.record());
    }
    let shown = serde_json::to_vec(&view.cluster(None));
    assert!(shown.is_ok(), "{shown:?}");
    let _ = (view.partition_stats(), view.my_node(), topology.active_count());
}

fn survives_a_round_trip(applied: &AppliedState) {
    let state = applied.state();
    let again = state.encode().and_then(|bytes| State::decode(&bytes));
    assert!(again.as_ref().is_ok_and(|again| *again == *state), "{again:?}");
}

fn disk_with(path: &str, content: &[u8]) -> Arc<dyn Disk> {
    let disk = MemDisk::new();
    let written = disk
        .create_dir_all(Path::new(DIR))
        .and_then(|()| disk.replace(Path::new(path), content));
    assert!(written.is_ok(), "{written:?}");
    Arc::new(disk)
}

/// The error is of the right kind and names the file.
fn is_clear(error: &Error, path: &str) {
    let is_clear = matches!(error.code(), ErrorCode::Corrupt | ErrorCode::Version);
    assert!(is_clear && error.message().contains(path), "{error}");
}

/// True for append entries with entries and for snapshots: both can change the membership.
#[cfg(feature = "sim")]
pub(crate) fn may_change_members(call: &[u8]) -> bool {
    let request = decode::<RaftRequest>(call, "a call");
    request.is_ok_and(|request| match request.call {
        RaftCall::Append(append) => append.ids().next().is_some(),
        RaftCall::Snapshot(_) => true,
        _ => false,
    })
}

/// Adapts an append or a snapshot to a log that ends at `tip`. A call that does not follow the log is refused before
/// anything else of it is checked.
#[cfg(feature = "sim")]
pub(crate) fn fit(call: &[u8], tip: LogId) -> Option<bytes::Bytes> {
    let mut request = decode::<RaftRequest>(call, "a call").ok()?;
    match &mut request.call {
        RaftCall::Append(append) => append.follow(tip),
        RaftCall::Snapshot(chunk) => {
            let mut head: SnapshotHeader = decode(&chunk.head, "a head").ok()?;
            let mut state = State::decode(&chunk.data).ok()?;
            state.advance(tip.index.checked_add(9)?);
            head.cover(state.revision());
            chunk.head = encode(&head).ok()?;
            chunk.data = state.encode().ok()?.into();
            chunk.offset = 0;
            chunk.total = chunk.data.len() as u64;
        }
        _ => {}
    }
    encode(&request).ok()
}

/// The id of the last entry of the node's log.
#[cfg(feature = "sim")]
pub(crate) fn tip(node: &RaftNode) -> Option<LogId> {
    node.last_log_id().map(to_wal_id)
}

/// The calls that a node forwards to the leader.
#[cfg(all(test, feature = "sim"))]
pub(crate) fn forwarded_calls(cluster: &str, proposals: &[bytes::Bytes]) -> Vec<bytes::Bytes> {
    use super::proposals::forward::{ForwardCall, ForwardRequest};
    use crate::rpc::Service;

    let calls = [
        ForwardCall::Propose(proposals[0].clone()),
        ForwardCall::ProposeMany(proposals.to_vec()),
        ForwardCall::ReadIndex,
    ];
    let call = |call| {
        let request = ForwardRequest {
            cluster: cluster.to_owned(),
            from: Some(1),
            call,
        };
        Service::Forward.envelope(&encode(&request).unwrap())
    };
    calls.map(call).to_vec()
}

/// Calls of a node that leads a later term, or is a candidate in it, grouped by topic.
#[cfg(all(test, feature = "sim"))]
pub(crate) fn raft_calls(cluster: &str, proposal: &bytes::Bytes) -> Vec<(&'static str, Vec<bytes::Bytes>)> {
    use super::codec::MembershipRecord;
    use super::storage::wal::Vote;
    use super::transport::wire::{AppendEntries, RequestVote, SnapshotChunk, Transfer};
    use crate::rpc::Service;

    let id = |term, index| LogId {
        term,
        node: 77,
        index,
    };
    let vote = |committed| Vote {
        term: 6,
        node: 77,
        committed,
    };
    let call = |call| {
        let request = RaftRequest {
            cluster: cluster.to_owned(),
            from: 77,
            to: 1,
            call,
        };
        Service::Raft.envelope(&encode(&request).unwrap())
    };
    let members = encode(&MembershipRecord::of_parts(&[&[1]])).unwrap();
    let append = |prev, entries, commit| {
        call(RaftCall::Append(AppendEntries::of_parts(
            vote(true),
            prev,
            entries,
            commit,
        )))
    };
    let vote_call = |transfer| RequestVote::of_parts(vote(false), Some(id(5, 9)), transfer);
    let snapshot = |state: &State| {
        let head = SnapshotHeader::of_parts(Some(id(5, 9)), Some(id(5, 9)), &[&[1]]);
        let data: bytes::Bytes = state.encode().unwrap().into();
        call(RaftCall::Snapshot(SnapshotChunk {
            vote: vote(true),
            head: encode(&head).unwrap(),
            offset: 0,
            total: data.len() as u64,
            data,
        }))
    };
    let entries = vec![
        (6, 77, 1, 0, bytes::Bytes::new()),
        (6, 77, 2, 1, proposal.clone()),
        (6, 77, 3, 2, members),
    ];
    let [state, _] = crate::state::examples().0;
    vec![
        (
            "heartbeat",
            vec![
                call(RaftCall::Heartbeat(vote(true))),
                append(None, Vec::new(), None),
            ],
        ),
        (
            "ballots",
            vec![
                call(RaftCall::PreVote(vote_call(false))),
                call(RaftCall::Vote(vote_call(false))),
                call(RaftCall::Vote(vote_call(true))),
            ],
        ),
        ("append", vec![append(Some(id(1, 0)), entries, Some(id(6, 3)))]),
        (
            "transfer",
            vec![call(RaftCall::Transfer(Transfer::of_parts(vote(true), 1, None)))],
        ),
        ("snapshot", vec![snapshot(&state)]),
    ]
}

/// Examples: a snapshot of a cluster in use, the same with the repair flag set, an empty one, one in the old format;
/// and proposals behind them.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    #[cfg(not(feature = "sim"))]
    use super::{codec::SnapshotHeader, storage::wal::LogId};
    use crate::fuzz::put_part;

    let (states, proposals) = crate::state::examples();
    let file = |state: &State| {
        let id = LogId {
            term: 1,
            node: 1,
            index: state.revision(),
        };
        let disk = disk_with("/data/other", b"");
        let head = SnapshotHeader::of_parts(Some(id), Some(id), &[&[1]]);
        let head = encode(&head).unwrap();
        let state = state.encode().unwrap();
        snapshot_file::write(&*disk, Path::new(SNAPSHOT), Owner::default(), &head, &state).unwrap();
        disk.read(Path::new(SNAPSHOT), u64::MAX).unwrap().unwrap()
    };
    let input = |flags: u8, file: &[u8], proposals: &[Proposal]| {
        let mut input = vec![flags];
        put_part(&mut input, file);
        for proposal in proposals {
            put_part(&mut input, &encode(proposal).unwrap());
        }
        input
    };
    let whole = file(&states[1]);
    let mut old = file(&State::default());
    // Version 1 of the format names no owner.
    old[7] = b'1';
    old.drain(24..24 + Owner::LENGTH);
    snapshot_file::repair(&mut old);
    vec![
        ("empty", vec![0]),
        ("fresh", input(0, &file(&State::default()), &proposals)),
        ("version-1", input(0, &old, &[])),
        ("used", input(0, &whole, &proposals)),
        ("used-repaired", input(1, &whole, &proposals)),
        ("small-repaired", input(1, &file(&states[0]), &proposals)),
    ]
}
