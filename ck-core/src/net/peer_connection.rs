//! A served connection, as the handler of its requests sees it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// There is one of these for as long as its connection is served, or a request that came over it is being answered. State
/// that belongs to the connection can hold it weakly, and end with it.
///
/// It keeps the Raft id in whose name the first call came over it: one process makes a connection, and acts for one node.
/// That detects mistakes, and proves nothing.
#[derive(Debug, Default)]
pub struct PeerConnection {
    raft_id: OnceLock<u64>,
    proven: AtomicBool,
    became_proven: Notify,
}

impl PeerConnection {
    /// True unless an earlier call over this connection was made in the name of another Raft node.
    pub fn is_from(&self, raft_id: u64) -> bool {
        *self.raft_id.get_or_init(|| raft_id) == raft_id
    }

    /// Notes that a member has called over it: from now on it is not evicted, and has the limits of a peer.
    pub fn mark_proven(&self) {
        if !self.proven.swap(true, Ordering::AcqRel) {
            self.became_proven.notify_one();
        }
    }

    /// True once a member has called over it.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Returns once a member has called over it. To be awaited by one task only.
    pub(super) async fn wait_proven(&self) {
        while !self.is_proven() {
            self.became_proven.notified().await;
        }
    }
}
