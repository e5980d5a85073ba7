//! The health that a node reports of itself.

use parking_lot::Mutex;

use super::context::NodeContext;
use crate::env::ChangeNotifier;
use crate::model::NodeHealthState;
use crate::state::MAX_REASON_CHARS;

/// The health that the application reports, and the reason.
#[derive(Debug, Default)]
pub(super) struct OwnHealth {
    reported: Mutex<(NodeHealthState, String)>,
    changed: ChangeNotifier,
}

impl OwnHealth {
    /// Notified when the reported health changes, and when the disk hangs or answers again.
    pub(super) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }

    /// Records the health that the application reports. The leader learns it at once, by a heartbeat, and every other
    /// member one commit later.
    pub(super) fn report(&self, health: NodeHealthState, reason: &str) {
        // Cut to the length that is replicated, or every heartbeat would report a change.
        let reason = match health {
            NodeHealthState::Healthy => String::new(),
            _ => reason.chars().take(MAX_REASON_CHARS).collect(),
        };
        *self.reported.lock() = (health, reason);
        self.changed.notify();
    }

    /// The health that this node reports: that of its application, but no better than degraded while the disk hangs.
    pub(super) fn present(&self, context: &NodeContext) -> (NodeHealthState, String) {
        let reported = self.reported.lock().clone();
        match reported.0 {
            // The reason does not say for how long, because every heartbeat would then report a change.
            NodeHealthState::Healthy if context.disk_silence().is_some() => (
                NodeHealthState::Degraded,
                "the disk of its data_dir does not answer".to_owned(),
            ),
            _ => reported,
        }
    }
}
