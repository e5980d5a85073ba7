//! Detects that the data directory was removed or became read-only while nothing is being written.
//!
//! Open files outlive their names: a log whose folder was removed continues without an error, and the node would
//! acknowledge entries that no later process finds. A folder that turned read-only shows only at the next write, which
//! on a quiet node may be hours away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::wal::Wal;
use crate::env;
use crate::env::disk::Disk;
use crate::error::Result;
use crate::raft::open::LOG_DIR;

/// The interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// After this many failed checks in a row the disk counts as failed. A single failure may be a shortage that passes.
const MAX_FAILED_CHECKS: u32 = 2;

/// Checks the disk until the directory or the log has failed: Raft has to be shut down then. Without this, a leader with
/// nothing to write would never notice the failure and would continue to lead.
pub(in crate::raft) async fn watch_disk(wal: Arc<Wal>, disk: Arc<dyn Disk>, dir: PathBuf) {
    let mut failures = 0;
    while wal.failure().is_none() {
        env::sleep(CHECK_INTERVAL).await;
        let (log, disk, dir) = (wal.clone(), disk.clone(), dir.clone());
        match env::blocking(move || look(&log, &*disk, &dir)).await {
            Ok(Err(error)) => {
                failures += 1;
                if failures == MAX_FAILED_CHECKS {
                    wal.fail(error.context("the data directory has failed"));
                }
            }
            // The directory is there, or the runtime is shutting down and ran no check.
            Ok(Ok(())) | Err(_) => failures = 0,
        }
    }
}

fn look(wal: &Wal, disk: &dyn Disk, dir: &Path) -> Result<()> {
    wal.check_disk()?;
    disk.check_dir(dir)?;
    disk.check_dir(&dir.join(LOG_DIR))
}
