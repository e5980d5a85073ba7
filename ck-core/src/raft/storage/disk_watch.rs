//! Notices that the data directory is gone, or cannot be written any more, while nothing is being written.
//!
//! Files that are open outlive their names: a log whose folder was removed goes on without an error, and the node would
//! acknowledge what no later process finds. A folder that turned read-only shows with the next write, which on a quiet
//! node may be hours away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::state_machine::Raft;
use super::wal::Wal;
use crate::env;
use crate::env::disk::Disk;
use crate::error::Result;
use crate::raft::open::LOG_DIR;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A disk that cannot be looked at once may be short of something that passes; twice in a row it has failed.
const FAILURES: u32 = 2;

/// Looks until the directory or the log has failed, and then ends Raft: a leader that has nothing to write would never
/// find out by itself, and would lead on.
pub(in crate::raft) async fn watch_disk(wal: Arc<Wal>, raft: Raft, disk: Arc<dyn Disk>, dir: PathBuf) {
    let mut failures = 0;
    while wal.failure().is_none() {
        env::sleep(LOOK_EVERY).await;
        let (log, disk, dir) = (wal.clone(), disk.clone(), dir.clone());
        match env::blocking(move || look(&log, &*disk, &dir)).await {
            Ok(Err(error)) => {
                failures += 1;
                if failures == FAILURES {
                    wal.fail(error.context("the data directory has failed"));
                }
            }
            // It is there, or the runtime is ending, which has no time to look.
            Ok(Ok(())) | Err(_) => failures = 0,
        }
    }
    // How it ends matters to nobody: it is over.
    drop(raft.shutdown().await);
}

fn look(wal: &Wal, disk: &dyn Disk, dir: &Path) -> Result<()> {
    wal.check_disk()?;
    disk.check_dir(dir)?;
    disk.check_dir(&dir.join(LOG_DIR))
}
