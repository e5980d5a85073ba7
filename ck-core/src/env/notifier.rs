//! A notification that something has changed, which does not say what.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts changes and wakes the tasks that wait for the next one. No change is missed, and several may be seen as one.
/// Waiters wake in the order in which they began to wait, which is deterministic in a simulation.
#[derive(Debug, Default)]
pub struct ChangeNotifier {
    count: AtomicU64,
    notify: Notify,
}

impl ChangeNotifier {
    /// Counts a change and wakes all waiters.
    pub fn notify(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Number of changes so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until the number of changes differs from `seen`, and returns it.
    pub async fn after(&self, seen: u64) -> u64 {
        loop {
            let notified = self.notify.notified();
            tokio::pin!(notified);
            // Registered before the check, so that a change in between is not missed.
            notified.as_mut().enable();
            let count = self.count();
            if count != seen {
                return count;
            }
            notified.await;
        }
    }
}
