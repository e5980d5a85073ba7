//! `cluster-state.json`: the present state, for people and tools. Nothing reads it back.
//!
//! It is what is left when a majority of the voters is lost, so it holds all that the node knows: members, partitions and
//! the replicated store.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Node;
use super::life::blocking;
use crate::env::{self, Instant};
use crate::error::Error;

/// Changes of members and partitions that come within this time of each other are written together.
const GATHER: Duration = Duration::from_millis(500);
/// Changes of data alone are written together for this long.
const GATHER_DATA: Duration = Duration::from_secs(1);
/// A file that took long to write is written that many times less often: data of 256 MiB must not keep a disk busy.
const SHARE: u32 = 10;

impl Node {
    /// Writes the file after changes, for as long as the node lives.
    pub(super) async fn keep_state_file(self: Arc<Self>) {
        if self.options.data_dir.is_empty() {
            return;
        }
        loop {
            let seen = self.replica.changed().count();
            let revision = self.replica.revision();
            let begun = Instant::now();
            self.write_state_file().await;
            let took = begun.elapsed();
            let changed = self.replica.changed().after(seen);
            tokio::select! {
                biased;
                _ = changed => env::sleep(GATHER.max(took * SHARE)).await,
                applied = self.replica.wait_for(revision + 1) => {
                    if applied.is_err() {
                        // The node stops, and writes the file for the last time.
                        return;
                    }
                    let changed = self.replica.changed().after(seen);
                    let pause = GATHER_DATA.max(took * SHARE);
                    // Members and partitions do not wait as long as data.
                    if env::timeout(pause, changed).await.is_ok() {
                        env::sleep(GATHER.max(took * SHARE).min(pause)).await;
                    }
                }
            }
        }
    }

    /// Replaces the file. A failure is logged: the node does not depend on it.
    pub(super) async fn write_state_file(self: &Arc<Self>) {
        if self.options.data_dir.is_empty() {
            return;
        }
        let node = self.clone();
        let disk = self.disk.clone();
        let path = self.dir.join("cluster-state.json");
        let written = blocking(move || {
            let _turn = node.state_file.lock().unwrap_or_else(PoisonError::into_inner);
            // Made here too: tens of thousands of partitions would keep heartbeats waiting on the runtime's thread.
            let cluster = node.cluster(true);
            let text = serde_json::to_vec_pretty(&cluster)
                .map_err(|error| Error::internal(format!("encode the state file: {error}")))?;
            disk.replace(&path, &text)
        });
        if let Err(error) = written.await {
            self.log
                .warn(format_args!("cluster-state.json cannot be written: {error}"));
        }
    }
}
