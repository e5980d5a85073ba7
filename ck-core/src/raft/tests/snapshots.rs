//! Tests that a snapshot is installed completely or not at all, and is durable before it is visible.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use openraft_rt::AsyncRuntime;

use crate::env::Runtime;
use crate::env::disk::{Disk, Faults, MemDisk};
use crate::error::ErrorCode;
use crate::model::Timestamp;
use crate::raft::SnapshotPace;
use crate::raft::applied_state::AppliedState;
use crate::raft::codec::SnapshotHeader;
use crate::raft::storage::snapshot_file;
use crate::raft::storage::state_machine::{SnapshotStore, StateMachine};
use crate::raft::storage::wal::{self, Owner};
use crate::raft::types::{SnapshotMeta, StoredMembership, from_wal_id};
use crate::state::{Command, Expect, Proposal, State};

fn applied() -> Arc<AppliedState> {
    Arc::new(AppliedState::new("node-1".into(), 1))
}

fn machine(disk: &Arc<MemDisk>, applied: &Arc<AppliedState>) -> StateMachine {
    let store = SnapshotStore::new(disk.clone(), "/node/snapshot".into(), Owner::default());
    StateMachine::open(applied.clone(), store, Arc::default(), SnapshotPace::default()).unwrap()
}

/// A snapshot of a state in which entry `index` wrote a key.
fn snapshot(index: u64) -> (SnapshotMeta, Bytes) {
    let mut state = State::default();
    let command = Command::SetData {
        key: "k".to_owned(),
        value: index.to_string().into(),
        expect: Expect::Any,
    };
    let proposal = Proposal::without_session(command, Timestamp::default());
    state.apply(index, &proposal, &mut Vec::new()).result.unwrap();
    let meta = SnapshotMeta {
        last_log_id: Some(from_wal_id(wal::LogId {
            term: 1,
            node: 1,
            index,
        })),
        last_membership: StoredMembership::default(),
    };
    (meta, state.encode().unwrap().into())
}

fn value(applied: &AppliedState) -> Option<Bytes> {
    Some(applied.state().data().get("k")?.value.clone())
}

#[test]
fn a_snapshot_is_durable_before_it_is_visible() {
    Runtime::run(async {
        let disk = Arc::new(MemDisk::new());
        disk.create_dir_all(Path::new("/node")).unwrap();
        let seen = applied();
        let mut tested = machine(&disk, &seen);
        let (meta, bytes) = snapshot(10);
        tested.install_snapshot(&meta, bytes).await.unwrap();
        assert_eq!(value(&seen).unwrap(), "10");

        // The disk fails: nothing of the newer snapshot shows, neither now nor after a power loss.
        let (newer, bytes) = snapshot(20);
        disk.set_faults(Faults {
            fail_sync: Some(0),
            ..Faults::default()
        });
        assert!(tested.install_snapshot(&newer, bytes.clone()).await.is_err());
        assert_eq!(value(&seen).unwrap(), "10");
        assert_eq!(tested.applied_state().await.unwrap().0, meta.last_log_id);
        // A snapshot that cannot be decoded is refused as a whole.
        let cut = bytes.slice(..bytes.len() / 2);
        assert!(tested.install_snapshot(&newer, cut).await.is_err());
        assert_eq!(value(&seen).unwrap(), "10");
        disk.crash(1);
        let after = applied();
        let mut reopened = machine(&disk, &after);
        assert_eq!(value(&after).unwrap(), "10");
        assert_eq!(reopened.applied_state().await.unwrap().0, meta.last_log_id);

        // An installed snapshot survives a power loss right after it.
        let (meta, bytes) = snapshot(30);
        reopened.install_snapshot(&meta, bytes).await.unwrap();
        disk.crash(2);
        let after = applied();
        let mut reopened = machine(&disk, &after);
        assert_eq!(value(&after).unwrap(), "30");
        assert_eq!(reopened.applied_state().await.unwrap().0, meta.last_log_id);
    });
}

/// Seed 109 of the simulation: a node stalled while it built a snapshot. Meanwhile a newer snapshot was installed and
/// the log before it was purged. Then the older snapshot was finished and replaced the newer one, and the node could
/// never start again.
#[test]
fn a_snapshot_that_took_long_to_build_does_not_replace_a_newer_one() {
    Runtime::run(async {
        let disk = Arc::new(MemDisk::new());
        disk.create_dir_all(Path::new("/node")).unwrap();
        let mut tested = machine(&disk, &applied());
        let (meta, bytes) = snapshot(10);
        tested.install_snapshot(&meta, bytes).await.unwrap();
        let mut slow = tested.get_snapshot_builder().await;
        let (newer, bytes) = snapshot(20);
        tested.install_snapshot(&newer, bytes).await.unwrap();
        slow.build_snapshot().await.unwrap();
        let after = applied();
        let mut reopened = machine(&disk, &after);
        assert_eq!(reopened.applied_state().await.unwrap().0, newer.last_log_id);
        assert_eq!(value(&after).unwrap(), "20");
    });
}

/// Found by fuzzing: the error said what was wrong, but neither in which file nor what to do.
#[test]
fn a_stored_snapshot_of_which_nothing_can_be_made_is_named() {
    let path = Path::new("/node/snapshot");
    let newer = [&b"\x81\xa7version"[..], b"\xcd\x7f\xff"].concat();
    let head = crate::rpc::encode(&SnapshotHeader::default()).unwrap();
    for (head, state, code) in [
        (&b"no head"[..], &b""[..], ErrorCode::Corrupt),
        (&head, b"no state", ErrorCode::Corrupt),
        (&head, &newer, ErrorCode::Version),
    ] {
        let disk = Arc::new(MemDisk::new());
        disk.create_dir_all(Path::new("/node")).unwrap();
        snapshot_file::write(&*disk, path, Owner::default(), head, state).unwrap();
        let store = SnapshotStore::new(disk, path.into(), Owner::default());
        let error = StateMachine::open(applied(), store, Arc::default(), SnapshotPace::default())
            .err()
            .unwrap();
        assert_eq!(error.code(), code, "{error}");
        let what_to_do = match code {
            ErrorCode::Version => "start the version that wrote it",
            _ => "restore the whole data_dir",
        };
        for part in ["/node/snapshot: ", what_to_do] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}
