//! A bell: tells waiters that something changed, without saying what.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts changes and wakes whoever waits for the next one. A change is never missed, and several may be seen
/// as one. Waiters wake in the order in which they came, so it is deterministic under simulation.
#[derive(Debug, Default)]
pub struct ChangeNotifier {
    count: AtomicU64,
    notify: Notify,
}

impl ChangeNotifier {
    /// Tells everybody.
    pub fn notify(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// How often it has been told.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until it has been told more often than `seen`, and returns how often.
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
