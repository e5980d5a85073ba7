//! Bounds, invalid input, and the stored form of the state.

use std::collections::BTreeMap;

use super::harness::{Harness, bootstrap, target};
use crate::error::ErrorCode;
use crate::state::{Command, Expect, MAX_DATA_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, Reply, State};

fn set(key: &str, bytes: usize, expect: Expect) -> Command {
    Command::SetData {
        key: key.to_owned(),
        value: vec![7; bytes].into(),
        expect,
    }
}

#[test]
fn a_bootstrap_is_checked() {
    let mut harness = Harness::default();
    let mut nameless = bootstrap("a", 4, 1);
    let mut huge = bootstrap("a", 4, 1);
    if let Command::Bootstrap { cluster_id, .. } = &mut nameless {
        cluster_id.clear();
    }
    if let Command::Bootstrap { node, .. } = &mut huge {
        node.raft_id = Some(u64::MAX);
    }
    for wrong in [
        nameless,
        huge,
        bootstrap("", 4, 1),
        bootstrap("a", 0, 1),
        bootstrap("a", 65_537, 1),
        bootstrap("a", 4, 0),
    ] {
        assert_eq!(harness.refused(wrong), ErrorCode::InvalidArgument);
    }
    assert_eq!(harness.refused(harness.join("b", 1, None)), ErrorCode::NotStarted);
    harness.ok(bootstrap("a", 4, 1));
    assert!(
        harness.node("a").voter,
        "the first member votes from the beginning"
    );
    assert_eq!(harness.refused(bootstrap("a", 4, 1)), ErrorCode::AlreadyExists);
    assert_eq!(
        harness.refused(harness.join("", 1, None)),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn a_leadership_is_counted_once_and_never_an_older_one() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let elected = |node: &str, term| Command::LeaderElected {
        node: node.into(),
        term,
    };
    assert_eq!(harness.ok(elected("a", 3)), Reply::Done);
    assert_eq!(harness.ok(elected("a", 3)), Reply::Unchanged);
    assert_eq!(harness.refused(elected("b", 2)), ErrorCode::Conflict);
    assert_eq!(harness.refused(elected("x", 4)), ErrorCode::NotFound);
    // Two nodes may lead in one term, one after the other: that is why the term is no fencing token.
    assert_eq!(harness.ok(elected("b", 3)), Reply::Done);
    assert_eq!(harness.ok(elected("b", 4)), Reply::Done);
    assert_eq!(
        harness.take_event_lines(),
        ["leader a, epoch 1", "leader b, epoch 2", "leader b, epoch 3"]
    );
}

#[test]
fn votes_are_recorded() {
    let mut harness = Harness::cluster(&["a", "b"], &[target("a")], 1);
    let raft_id = harness.node("b").raft_id;
    assert!(!harness.node("b").voter);
    harness.vote(vec![1, raft_id]);
    assert!(harness.node("a").voter && harness.node("b").voter);
    harness.restart("b");
    assert!(harness.node("b").voter, "it came back with its log");
    harness.start("b", 99, None);
    assert!(!harness.node("b").voter, "its vote went with its log");
}

#[test]
fn keys_and_values_have_bounds_and_the_sum_is_exact() {
    let mut harness = Harness::default();
    let longest = "k".repeat(MAX_KEY_BYTES);
    harness.ok(set(&longest, MAX_VALUE_BYTES, Expect::Absent));
    assert_eq!(harness.state.data().bytes(), MAX_KEY_BYTES + MAX_VALUE_BYTES);
    assert_eq!(
        harness.refused(set("", 1, Expect::Any)),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        harness.refused(set(&format!("{longest}k"), 1, Expect::Any)),
        ErrorCode::TooLarge
    );
    assert_eq!(
        harness.refused(set("k", MAX_VALUE_BYTES + 1, Expect::Any)),
        ErrorCode::TooLarge
    );
    let written = harness.state.data().get(&longest).unwrap().revision;
    assert_eq!(
        harness.refused(set(&longest, 1, Expect::Absent)),
        ErrorCode::Conflict
    );
    assert_eq!(
        harness.refused(set(&longest, 1, Expect::Revision(written + 1))),
        ErrorCode::Conflict
    );
    assert_eq!(
        harness.refused(set("k", 1, Expect::Revision(1))),
        ErrorCode::Conflict
    );
    harness.ok(set(&longest, 1, Expect::Revision(written)));
    assert_eq!(harness.state.data().bytes(), MAX_KEY_BYTES + 1);
    let delete = |expect| Command::DeleteData {
        key: "k".repeat(MAX_KEY_BYTES),
        expect,
    };
    assert_eq!(
        harness.refused(delete(Expect::Revision(written))),
        ErrorCode::Conflict
    );
    assert_eq!(harness.ok(delete(Expect::Any)), Reply::Deleted(true));
    assert_eq!(harness.ok(delete(Expect::Any)), Reply::Deleted(false));
    assert_eq!(harness.state.data().bytes(), 0);
}

#[test]
fn the_store_has_a_maximum_size() {
    let mut state = State::default();
    let value = bytes::Bytes::from(vec![0; MAX_VALUE_BYTES]);
    let fits = MAX_DATA_BYTES / (MAX_VALUE_BYTES + 3);
    let mut set = |number: usize| {
        let key = format!("{number:03}");
        state
            .data
            .set(&key, &value, Expect::Any, 1)
            .map_err(|error| error.code())
    };
    for number in 0..fits {
        assert_eq!(set(number), Ok(Reply::Done));
    }
    assert_eq!(set(fits), Err(ErrorCode::TooLarge));
    assert_eq!(set(0), Ok(Reply::Done), "what is there can be replaced");
}

#[test]
fn a_state_of_a_newer_build_and_no_state_at_all_are_refused() {
    let newer = State {
        version: crate::state::STATE_VERSION + 1,
        ..State::default()
    };
    let code = |bytes: &[u8]| State::decode(bytes).map_err(|error| error.code());
    assert_eq!(code(&newer.encode().unwrap()), Err(ErrorCode::Version));
    // A state with other fields than this build knows.
    let other = rmp_serde::to_vec_named(&BTreeMap::from([("version", crate::state::STATE_VERSION + 1)]));
    assert_eq!(code(&other.unwrap()), Err(ErrorCode::Version));
    let bytes = State::default().encode().unwrap();
    assert_eq!(code(&bytes), Ok(State::default()));
    for cut in 0..bytes.len() {
        assert_eq!(code(&bytes[..cut]), Err(ErrorCode::Corrupt), "cut at {cut}");
    }
}

#[test]
fn a_staged_value_is_written_whole_once_and_dropped() {
    let mut harness = Harness::default();
    harness.ok(bootstrap("a", 4, 1));
    let session = harness.node("a").incarnation;
    let mut seq = 100;
    let mut propose = |harness: &mut Harness, low: u64, command: Command| {
        seq += 1;
        let proposal = crate::state::Proposal {
            session,
            seq,
            low,
            at: crate::model::Timestamp::default(),
            epoch: None,
            command,
        };
        harness.apply(proposal).result
    };
    let stage = |of: u64, offset: u64, bytes: &'static [u8]| Command::Stage {
        of,
        offset,
        bytes: bytes.into(),
    };
    let write = |length| Command::SetStaged {
        key: "k".to_owned(),
        length,
        expect: Expect::Absent,
    };
    // The first proposal has number 101; number 104 writes the value. Pieces may arrive in any order.
    for (offset, bytes) in [(3, &b"def"[..]), (0, b"abc"), (6, b"g")] {
        assert_eq!(
            propose(&mut harness, 101, stage(104, offset, bytes)),
            Ok(Reply::Done)
        );
    }
    assert_eq!(propose(&mut harness, 101, write(7)), Ok(Reply::Done));
    assert_eq!(
        harness.state.data().get("k").map(|entry| &entry.value[..]),
        Some(&b"abcdefg"[..])
    );
    // The written value's pieces are dropped, and pieces with a gap are no value.
    let code = |result: Result<Reply, crate::Error>| result.map_err(|error| error.code());
    assert_eq!(
        code(propose(&mut harness, 105, write(7))),
        Err(ErrorCode::InvalidArgument)
    );
    assert_eq!(propose(&mut harness, 105, stage(107, 1, b"b")), Ok(Reply::Done));
    assert_eq!(
        code(propose(&mut harness, 105, write(1))),
        Err(ErrorCode::InvalidArgument)
    );
    // Pieces of an abandoned value are dropped when its number is settled; until then they count for the bound.
    let before = harness.state.clone();
    let large = Command::Stage {
        of: 200,
        offset: 0,
        bytes: vec![0; 4 * MAX_VALUE_BYTES].into(),
    };
    assert_eq!(
        code(propose(&mut harness, 105, large.clone())),
        Err(ErrorCode::Busy)
    );
    assert_eq!(harness.state.data(), before.data());
    assert_eq!(
        propose(&mut harness, 110, large),
        Ok(Reply::Done),
        "what was staged for 107 is settled"
    );
}
