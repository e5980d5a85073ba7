//! The task driver: every call is a task of the runtime, every retry delay a sleep. Deterministic under the simulator.

use std::sync::Arc;
use std::time::Duration;

use crate::env;

use super::call::CallFuture;
use super::handle::HooksShared;
use super::job::{Job, RetryId};
use super::types::Hook;

/// Spawns a task for each call, in order.
pub(super) fn spawn_calls(shared: &Arc<HooksShared>, jobs: Vec<Job<Hook>>) {
    for job in jobs {
        env::spawn(CallFuture::new(shared, job));
    }
}

/// Reports the retry as due to the schedule after the delay, if the handle still exists.
pub(super) fn spawn_retry(shared: &Arc<HooksShared>, id: RetryId, delay: Duration) {
    let shared = Arc::downgrade(shared);
    env::spawn(async move {
        env::sleep(delay).await;
        if let Some(shared) = shared.upgrade() {
            let mut state = shared.lock();
            state.schedule.retry_due(id);
            shared.settle(state);
        }
    });
}
