//! Coalescing: which queued event a newer event makes obsolete.
//!
//! Coalescing only removes events whose call has not started. It neither moves nor changes events, so the remaining
//! events keep the order of the log. The principle: *a gain that was revoked before it was delivered vanishes, a loss
//! is always delivered.* The queue cannot know what the application already holds (data left on disk by an earlier run,
//! or an earlier gain that was delivered), so a loss may be the only information about it. Delivering a loss once too
//! often is harmless.

use crate::model::{EventKind, PartitionChangeEvent, RoleChange};

/// True when `new` makes `old` obsolete; both must be changes of the same partition on the same node.
///
/// At most one event of each kind of change stays queued, so at most four per partition and node.
pub(super) fn change_replaces(new: &PartitionChangeEvent, old: &PartitionChangeEvent) -> bool {
    use RoleChange::{GainedPrimary, GainedReplica, LostCopy, LostPrimary};
    if new.number != old.number || new.node_id != old.node_id {
        return false;
    }
    match new.change {
        LostCopy => true,
        LostPrimary => matches!(old.change, GainedPrimary | LostPrimary),
        // A copy that starts over cannot be primary yet, so an older GainedPrimary is obsolete too.
        GainedReplica => matches!(old.change, GainedReplica | GainedPrimary),
        // The role requires the copy, which is delivered first: a queued GainedReplica stays.
        GainedPrimary => old.change == GainedPrimary,
    }
}

/// True when `new` makes `old` obsolete in a queue above its high-water mark; both are events other than partition
/// changes. `me` is this node's id.
///
/// Rebalance events come in pairs and are handled by the queue itself. A rejoin of this node is never removed: its
/// clean-up must return before the copies that follow it start.
pub(super) fn event_replaces(new: &EventKind, old: &EventKind, me: &str) -> bool {
    match (new, old) {
        (EventKind::NodeLeave(new), EventKind::NodeLeave(old)) => new.node.id == old.node.id,
        (EventKind::NodeLeave(new), EventKind::NodeJoin(old)) => new.node.id == old.node.id,
        (EventKind::NodeLeave(new), EventKind::NodeRejoin(old)) => {
            new.node.id == old.node.id && &*old.node.id != me
        }
        (EventKind::NodeJoin(new), EventKind::NodeJoin(old)) => new.node.id == old.node.id,
        (EventKind::NodeRejoin(new), EventKind::NodeRejoin(old)) => {
            new.node.id == old.node.id && &*old.node.id != me
        }
        (EventKind::LoseLeadership(_), EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_))
        | (EventKind::BecomeLeader(_), EventKind::BecomeLeader(_))
        | (EventKind::LeaderChange(_), EventKind::LeaderChange(_))
        | (EventKind::ClusterHealthChange(_), EventKind::ClusterHealthChange(_)) => true,
        _ => false,
    }
}
