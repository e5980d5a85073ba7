//! One budget for the bytes of all long requests that are in memory, whatever the number of connections.
//!
//! Each connection has a limit of its own, but a thousand connections must not take a thousand times as much. All unproven
//! connections together share a small part of the budget. Short requests take nothing of it: the renewal of a lease must not
//! wait behind a snapshot, nor the request that proves a connection behind those of unproven ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::NetLimits;

/// The longest body that takes nothing of the budget, in bytes.
pub(super) const MAX_UNCOUNTED_BODY: u32 = 64 << 10;

/// The bytes that requests may take. Clones share the budget.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget {
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    proven_capacity: u32,
    unproven_capacity: u32,
}

/// Bytes taken of the budget, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct BudgetPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    pub(super) fn new(limits: &NetLimits) -> Self {
        let semaphore = |capacity: u32| Arc::new(Semaphore::new(capacity as usize));
        ByteBudget {
            proven: semaphore(limits.max_buffered),
            unproven: semaphore(limits.max_buffered_unproven),
            proven_capacity: limits.max_buffered,
            unproven_capacity: limits.max_buffered_unproven,
        }
    }

    /// Waits for room for a request of so many bytes. A request that is larger than the budget waits for all of it.
    pub(super) async fn acquire(&self, bytes: u32, is_proven: bool) -> BudgetPermit {
        let (semaphore, capacity) = match is_proven {
            true => (&self.proven, self.proven_capacity),
            false => (&self.unproven, self.unproven_capacity),
        };
        // The semaphore is never closed.
        BudgetPermit {
            _permit: semaphore
                .clone()
                .acquire_many_owned(bytes.min(capacity))
                .await
                .ok(),
        }
    }

    /// The bytes that may still be taken, by proven connections and by unproven ones.
    #[cfg(test)]
    pub(super) fn available(&self) -> [usize; 2] {
        [&self.proven, &self.unproven].map(|semaphore| semaphore.available_permits())
    }
}
