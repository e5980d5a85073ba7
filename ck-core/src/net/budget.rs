//! One budget for the bytes of all long requests that are in memory, whatever the number of connections.
//!
//! A connection may have so much under way; a thousand of them may not have a thousand times as much. Who has not shown yet
//! that it is a peer shares a small part with everybody else who has not. Short requests are not counted: a lease that is
//! renewed must not wait behind a snapshot, and what shows that somebody is a peer not behind strangers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::NetLimits;

/// The longest body of a short frame.
pub(super) const SHORT: u32 = 64 << 10;

/// The bytes that requests may take. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    peers: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    most: [u32; 2],
}

/// Bytes that are taken, for as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Taken {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new(limits: &NetLimits) -> Self {
        let most = [limits.max_buffered, limits.max_buffered_unproven];
        let [peers, strangers] = most.map(|most| Arc::new(Semaphore::new(most as usize)));
        Budget {
            peers,
            strangers,
            most,
        }
    }

    /// Waits for room for a request of so many bytes. One that is larger than everything waits for all of it.
    pub(super) async fn take(&self, bytes: u32, proven: bool) -> Taken {
        let (bytes_left, most) = match proven {
            true => (&self.peers, self.most[0]),
            false => (&self.strangers, self.most[1]),
        };
        // Never closed.
        Taken {
            _permit: bytes_left.clone().acquire_many_owned(bytes.min(most)).await.ok(),
        }
    }

    /// The bytes that may still be taken, by peers and by others.
    #[cfg(test)]
    pub(super) fn left(&self) -> [usize; 2] {
        [&self.peers, &self.strangers].map(|left| left.available_permits())
    }
}
