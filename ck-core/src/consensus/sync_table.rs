//! What the leader has heard of the members: that they are there, and how far they have applied the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::env::{Instant, Signal};
use crate::model::NodeId;

/// What the leader has heard, by its own clock. Not replicated: a new leader starts anew.
#[derive(Default)]
pub(crate) struct SyncTable {
    heard: Mutex<BTreeMap<NodeId, Heard>>,
    changed: Signal,
}

/// The last that was heard of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) incarnation: u64,
    pub(crate) revision: u64,
}

impl SyncTable {
    fn heard(&self) -> MutexGuard<'_, BTreeMap<NodeId, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a report.
    pub(crate) fn note(&self, node: &NodeId, incarnation: u64, revision: u64) {
        let now = Heard {
            at: Instant::now(),
            incarnation,
            revision,
        };
        let before = self.heard().insert(node.clone(), now);
        // Only progress wakes who waits for it: routine syncs of an idle cluster wake nobody.
        if before.is_none_or(|b| b.revision != now.revision || b.incarnation != now.incarnation) {
            self.changed.notify();
        }
    }

    /// What was last heard of `node`.
    pub(crate) fn get(&self, node: &str) -> Option<Heard> {
        self.heard().get(node).copied()
    }

    /// How far `incarnation` of `node` is known to have applied the log.
    pub(crate) fn applied(&self, node: &str, incarnation: u64) -> Option<u64> {
        self.get(node)
            .filter(|heard| heard.incarnation == incarnation)
            .map(|heard| heard.revision)
    }

    /// Told when a member has made progress.
    pub(crate) fn changed(&self) -> &Signal {
        &self.changed
    }

    /// Forgets everything: leadership ended or began.
    pub(crate) fn clear(&self) {
        self.heard().clear();
    }
}
