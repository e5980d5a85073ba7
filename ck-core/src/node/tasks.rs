//! The background tasks of a node.

use futures_util::future::{AbortHandle, abortable};
use parking_lot::Mutex;

use crate::env;

/// Tasks that end when the node stops.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    /// Spawns a task that is aborted when the node stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (task, handle) = abortable(task);
        self.0.lock().push(handle);
        env::spawn(async move {
            // Being aborted is the normal end of these tasks.
            let _ = task.await;
        });
    }

    /// Aborts every task. A task that runs at this moment ends at its next await.
    pub(super) fn abort_all(&self) {
        for task in std::mem::take(&mut *self.0.lock()) {
            task.abort();
        }
    }
}
