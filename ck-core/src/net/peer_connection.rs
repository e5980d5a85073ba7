//! A served connection, as the handler of its requests sees it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// There is one for as long as its connection is served, or a request that came over it is being answered: what is kept
/// for a connection can hold it weakly, and go with it.
///
/// It remembers in whose name the first call was made that came over it: one process makes a connection, and speaks for
/// one node. That is no proof, only a slip that shows.
#[derive(Debug, Default)]
pub struct PeerConnection {
    speaker: OnceLock<u64>,
    proven: AtomicBool,
    proved: Notify,
}

impl PeerConnection {
    /// True unless an earlier call over this connection was made by another Raft node.
    pub fn is_of(&self, raft_id: u64) -> bool {
        *self.speaker.get_or_init(|| raft_id) == raft_id
    }

    /// A member has called over it: from now on it keeps its place, and may send as much as peers do.
    pub fn prove(&self) {
        if !self.proven.swap(true, Ordering::AcqRel) {
            self.proved.notify_one();
        }
    }

    /// True once a member has called over it.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Returns once a member has called over it. To be awaited by one task.
    pub(super) async fn proved(&self) {
        while !self.is_proven() {
            self.proved.notified().await;
        }
    }
}
