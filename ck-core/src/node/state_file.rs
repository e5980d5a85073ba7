//! `cluster-state.json`: the present state, for people and tools. Nothing reads it back.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::life::blocking;
use crate::env;
use crate::error::Error;

/// Changes that come within this time of each other are written together.
const GATHER: Duration = Duration::from_millis(500);

impl Node {
    /// Writes the file after changes, for as long as the node lives.
    pub(super) async fn keep_state_file(self: Arc<Self>) {
        if self.options.data_dir.is_empty() {
            return;
        }
        loop {
            let seen = self.replica.changed().count();
            self.write_state_file().await;
            self.replica.changed().after(seen).await;
            env::sleep(GATHER).await;
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
            // Made here too: tens of thousands of partitions would keep heartbeats waiting on the runtime's thread.
            let cluster = node.cluster();
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
