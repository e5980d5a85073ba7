//! The longest pledge that this node may have given, kept in its data directory. A node that restarts no longer knows
//! to whom it had pledged, and so keeps the longest pledge that it may have given.
//!
//! Invariant: a longer pledge is given only after the file allows it, and the file is lowered only after every longer
//! pledge has ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pledge::Pledges;
use crate::env;
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::raft::applied_state::AppliedState;
use crate::raft::storage::wal::{WHAT_TO_DO, too_long_is_damage};
use crate::state::MAX_ELECTION_STRETCH;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024;
const VERSION: u16 = 1;
/// The pause before a failed write is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u16,
    /// Pledges last at most this many times the longest election timeout.
    stretch: u32,
}

/// `pledges.json` in the data directory. If it is missing, no pledge was stretched.
pub(in crate::raft) struct PledgeFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl PledgeFile {
    pub(in crate::raft) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        PledgeFile {
            disk,
            path: dir.join("pledges.json"),
        }
    }

    /// Loads the stored stretch; 1 if there is no file.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when it cannot be read, [`ErrorCode::Version`] when it is newer than this build.
    pub(in crate::raft) fn load(&self) -> Result<u32> {
        let Some(bytes) = self
            .disk
            .read(&self.path, MAX_BYTES)
            .map_err(too_long_is_damage)?
        else {
            return Ok(1);
        };
        let corrupt = |why: String| {
            Error::new(
                ErrorCode::Corrupt,
                format!("{}: {why}; {WHAT_TO_DO}", self.path.display()),
            )
        };
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(format!("not about pledges: {error}")))?;
        if content.version > VERSION {
            let message = format!(
                "{}: version {}; this build knows {VERSION}",
                self.path.display(),
                content.version
            );
            return Err(Error::new(ErrorCode::Version, message));
        }
        if !(1..=MAX_ELECTION_STRETCH).contains(&content.stretch) {
            return Err(corrupt(format!(
                "a stretch of {}; 1 to {MAX_ELECTION_STRETCH} is right",
                content.stretch
            )));
        }
        Ok(content.stretch)
    }

    pub(in crate::raft) fn store(&self, stretch: u32) -> Result<()> {
        let content = Content {
            version: VERSION,
            stretch,
        };
        let bytes = serde_json::to_vec(&content)
            .map_err(|error| Error::internal(format!("encode what was pledged: {error}")))?;
        self.disk.replace(&self.path, &bytes)
    }
}

/// Stretches this node's pledges as the cluster agrees, until its task is aborted. `durable` is the stretch in the
/// file.
pub(in crate::raft) async fn stretch_pledges(
    file: Arc<PledgeFile>,
    pledges: Arc<Pledges>,
    applied: Arc<AppliedState>,
    lasts: Duration,
    mut durable: u32,
) {
    loop {
        let seen = applied.changed().count();
        let agreed = applied.topology().election_stretch().min(MAX_ELECTION_STRETCH);
        if agreed < durable {
            pledges.stretch_to(agreed);
            // The longer pledges that were given have ended by then.
            env::sleep(lasts * durable).await;
        }
        if agreed != durable {
            let storing = file.clone();
            match env::blocking(move || storing.store(agreed)).await {
                Ok(Ok(())) => {
                    durable = agreed;
                    pledges.stretch_to(agreed);
                }
                // The file still allows at least as much as is pledged, so this is safe. The write is retried.
                Ok(Err(_)) | Err(_) => env::sleep(RETRY_PAUSE).await,
            }
            continue;
        }
        applied.changed().after(seen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::MemDisk;

    #[test]
    fn what_was_stored_is_read_and_what_does_not_fit_is_corrupt() {
        let disk = Arc::new(MemDisk::new());
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = PledgeFile::new(disk.clone(), Path::new("/d"));
        assert_eq!(file.load().unwrap(), 1, "nothing was stretched");
        file.store(4).unwrap();
        assert_eq!(file.load().unwrap(), 4);
        for (content, code) in [
            ("", ErrorCode::Corrupt),
            (r#"{"version":1,"stretch":0}"#, ErrorCode::Corrupt),
            (r#"{"version":1,"stretch":9}"#, ErrorCode::Corrupt),
            (r#"{"version":2,"stretch":1}"#, ErrorCode::Version),
        ] {
            disk.replace(Path::new("/d/pledges.json"), content.as_bytes())
                .unwrap();
            let error = file.load().unwrap_err();
            assert_eq!(error.code(), code, "{content}: {error}");
            assert!(error.to_string().contains("pledges.json"), "{error}");
        }
    }
}
