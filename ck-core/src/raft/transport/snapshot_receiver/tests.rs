use std::collections::BTreeMap;

use super::*;
use crate::model::{ClusterConfig, Timestamp};
use crate::rpc::encode;
use crate::state::{Command, Expect, NodeSpec, Proposal};

const LEADER: wal::Vote = wal::Vote {
    term: 2,
    node: 1,
    committed: true,
};

fn piece(vote: wal::Vote, offset: u64, total: u64, data: &'static [u8]) -> SnapshotChunk {
    SnapshotChunk {
        vote,
        head: encode(&SnapshotHeader::default()).unwrap(),
        offset,
        total,
        data: Bytes::from_static(data),
    }
}

/// How many bytes of the chunks are kept.
fn kept(receiver: &SnapshotReceiver) -> usize {
    receiver
        .incoming()
        .as_ref()
        .map_or(0, |incoming| incoming.data.len())
}

fn code<T>(result: Result<T>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

#[test]
fn pieces_come_together_in_their_order_and_once() {
    let (receiver, over) = (SnapshotReceiver::default(), Arc::default());
    let take = |offset, data| receiver.take(piece(LEADER, offset, 6, data), &over).unwrap();
    // Each chunk is sent twice, as if its answer had been lost.
    for (offset, data) in [(0, b"ab"), (0, b"ab"), (2, b"cd"), (2, b"cd")] {
        assert!(take(offset, data).is_none());
    }
    let whole = take(4, b"ef");
    assert_eq!(whole.unwrap().1, "abcdef");
    assert_eq!(kept(&receiver), 0);
}

#[test]
fn pieces_that_fit_nothing_are_refused() {
    let (receiver, over) = (SnapshotReceiver::default(), Arc::default());
    let out_of_order = Some(ErrorCode::Conflict);
    assert_eq!(
        code(receiver.take(piece(LEADER, 2, 6, b"cd"), &over)),
        out_of_order
    );
    receiver.take(piece(LEADER, 0, 6, b"ab"), &over).unwrap();
    let other = wal::Vote { term: 3, ..LEADER };
    assert_eq!(
        code(receiver.take(piece(other, 2, 6, b"cd"), &over)),
        out_of_order
    );
    assert_eq!(
        code(receiver.take(piece(LEADER, 3, 6, b"d"), &over)),
        out_of_order
    );
    receiver.take(piece(LEADER, 0, 6, b"ab"), &over).unwrap();
    let corrupt = Some(ErrorCode::Corrupt);
    assert_eq!(code(receiver.take(piece(LEADER, 2, 3, b"cd"), &over)), corrupt);
    assert_eq!(
        code(receiver.take(piece(LEADER, u64::MAX, 3, b"cd"), &over)),
        corrupt
    );
    let huge = piece(LEADER, 0, u64::MAX, b"ab");
    assert_eq!(code(receiver.take(huge, &over)), Some(ErrorCode::TooLarge));
}

/// Half a snapshot from a stranger once kept a gigabyte for the lifetime of the process.
#[test]
fn what_came_over_a_connection_that_is_gone_is_let_go() {
    let (receiver, over) = (SnapshotReceiver::default(), Arc::default());
    receiver.take(piece(LEADER, 0, 6, b"ab"), &over).unwrap();
    receiver.let_go();
    assert_eq!(kept(&receiver), 2, "it may still come to something");
    // The sender continues over another connection.
    let another = Arc::default();
    receiver.take(piece(LEADER, 2, 6, b"cd"), &another).unwrap();
    drop(over);
    receiver.let_go();
    assert_eq!(kept(&receiver), 4);
    drop(another);
    receiver.let_go();
    assert_eq!(kept(&receiver), 0);
}

/// The encoded state after one command, which was entry `index`.
fn state_after(index: u64, command: Command) -> Bytes {
    let mut state = State::default();
    let proposal = Proposal::without_session(command, Timestamp::default());
    state.apply(index, &proposal, &mut Vec::new()).result.unwrap();
    state.encode().unwrap().into()
}

fn state(index: u64) -> Bytes {
    let set = Command::SetData {
        key: "k".to_owned(),
        value: Bytes::from_static(b"v"),
        expect: Expect::Any,
    };
    state_after(index, set)
}

fn head(last: u64, configs: &[&[u64]]) -> SnapshotHeader {
    let id = |index| wal::LogId {
        term: 2,
        node: 1,
        index,
    };
    SnapshotHeader::of_parts(Some(id(last)), Some(id(last.min(1))), configs)
}

#[test]
fn a_snapshot_fits_itself_and_the_node_or_is_refused() {
    let known = LocalState {
        term: 2,
        last_index: Some(5),
        committed: None,
    };
    let check = |head, data| checked(known, LEADER, "cluster", head, data);
    check(head(9, &[&[1, 2]]), state(9)).unwrap();
    let refused = [
        (head(10, &[&[1, 2]]), state(9)),
        (head(9, &[]), state(9)),
        (head(9, &[&[]]), state(9)),
        (head(9, &[&[1], &[2], &[1, 2]]), state(9)),
        (head(1 << 50, &[&[1, 2]]), state(1 << 50)),
        (head(9, &[&[1, 2]]), Bytes::from_static(b"abcd")),
    ];
    for (head, data) in refused {
        let shown = format!("{head:?}");
        assert!(check(head, data).is_err(), "{shown}");
    }
    let of_another = state_of_cluster("other");
    let refused = check(head(1, &[&[1]]), of_another);
    assert_eq!(code(refused), Some(ErrorCode::WrongCluster));
    check(head(1, &[&[1]]), state_of_cluster("cluster")).unwrap();
}

fn state_of_cluster(id: &str) -> Bytes {
    let bootstrap = Command::Bootstrap {
        cluster_id: id.to_owned(),
        config: ClusterConfig {
            cluster_name: "test".to_owned(),
            partition_count: 1,
            replication_factor: 1,
            ..ClusterConfig::default()
        },
        node: NodeSpec {
            id: "node-1".into(),
            name: "node-1".to_owned(),
            ip: "node-1:1".to_owned(),
            port: 1,
            peer_addr: "node-1:1".to_owned(),
            services: BTreeMap::new(),
            zone: None,
            weight: 100,
            labels: BTreeMap::new(),
            process: 1,
            raft_id: Some(1),
        },
    };
    state_after(1, bootstrap)
}
