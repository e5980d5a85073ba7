//! Runs openraft's own storage suite on ClusterKit's log and state machine.

use std::path::Path;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft_rt::AsyncRuntime;

use crate::env::Runtime;
use crate::env::disk::MemDisk;
use crate::raft::SnapshotPace;
use crate::raft::applied_state::AppliedState;
use crate::raft::storage::log_store::LogStore;
use crate::raft::storage::state_machine::{SnapshotStore, StateMachine};
use crate::raft::storage::wal::{Owner, Wal, WalOptions, WalThread};
use crate::raft::types::Types;

struct Builder;

/// Keeps the log's writer running until a test of the suite is over.
struct Guard {
    wal: Arc<Wal>,
    writer: Option<WalThread>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.wal.close(Box::new(|closed| closed.unwrap()));
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}

impl StoreBuilder<Types, LogStore, StateMachine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<Types>> {
        let disk = Arc::new(MemDisk::new());
        let options = WalOptions {
            // Small segments, so that purging and truncating cross segment boundaries.
            segment_bytes: 16 << 10,
            cache_bytes: 1 << 10,
            ..WalOptions::default()
        };
        let (wal, writer) = Wal::open(disk.clone(), Path::new("/node/wal.log"), &options).unwrap();
        let wal = Arc::new(wal);
        let guard = Guard {
            wal: wal.clone(),
            writer: Some(writer.spawn().unwrap()),
        };
        let applied = Arc::new(AppliedState::new("node-1".into(), 1));
        let store = SnapshotStore::new(disk, "/node/snapshot".into(), Owner::default());
        let machine = StateMachine::open(applied, store, Arc::default(), SnapshotPace::default()).unwrap();
        Ok((guard, LogStore::new(wal), machine))
    }
}

#[test]
fn openrafts_storage_suite_passes() {
    Runtime::run(Suite::test_all(Builder)).unwrap();
}
