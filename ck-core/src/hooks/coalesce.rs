//! Which waiting event a newer one makes pointless.
//!
//! Coalescing only ever removes events that were not started; it moves and changes none, so the order of
//! those that stay is the log's. The one principle: *a gain that was taken back before it was told vanishes,
//! a loss is always told.* The queue cannot know what the application holds from before (an earlier run left
//! data on disk, an earlier gain was told), so a loss may be the only word on it; told once too often it
//! does no harm.

use crate::model::{EventKind, PartitionChangeEvent, RoleChange};

/// True when `new` makes `old` pointless: two changes of one partition on one node.
///
/// At most one of each kind of change is left waiting, so at most four per partition and node.
pub(super) fn change_replaces(new: &PartitionChangeEvent, old: &PartitionChangeEvent) -> bool {
    use RoleChange::{GainedPrimary, GainedReplica, LostCopy, LostPrimary};
    if new.number != old.number || new.node_id != old.node_id {
        return false;
    }
    match new.change {
        LostCopy => true,
        LostPrimary => matches!(old.change, GainedPrimary | LostPrimary),
        // A copy that begins anew is nobody's primary yet.
        GainedReplica => matches!(old.change, GainedReplica | GainedPrimary),
        // The role is told only after the copy that it rests on: a waiting GainedReplica stays.
        GainedPrimary => old.change == GainedPrimary,
    }
}

/// True when `new` makes `old` pointless in a queue above its high-water mark: events that are no partition
/// changes. `me` is this node's id.
///
/// Rebalance events go in pairs and are not judged here. A rejoin of this very node stays: its clean-up must
/// return before the copies that follow it.
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
