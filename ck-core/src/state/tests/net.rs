//! The net change leads from any state to any later one.

use std::sync::Arc;

use super::lab::Lab;
use super::random::has_nothing_pending;
use super::shadow::Shadow;
use crate::model::{CopyState, NodeId, Timestamp, Topology};
use crate::state::net_events;

/// Checks it for each of the topologies that a log went through, as each node sees it.
pub(super) fn net_changes_lead_from_any_to_any(seen: &[Arc<Topology>], lab: &Lab) {
    let last = lab.state.topology();
    let at = Timestamp::from_millis(1);
    for old in seen {
        let everybody = last.nodes.keys().cloned().chain([NodeId::from("nobody")]);
        for me in everybody {
            let mut shadow = Shadow::of(old);
            for event in net_events(old, last, &me, 9, at) {
                assert_eq!((event.revision, event.timestamp), (9, at));
                shadow.hear(&event);
            }
            let mut wanted = Shadow::of(last);
            forget_untold(&mut wanted, old, last, &me);
            assert_eq!(shadow.settled(last), wanted.settled(last), "as {me} sees it");
        }
    }
    for me in last.nodes.keys() {
        let again = net_events(last, last, me, 9, at);
        if has_nothing_pending(lab, me) {
            assert!(again.is_empty(), "{again:?}");
        }
    }
}

/// A copy that `me` is to make is told when it can be made, and not before.
fn forget_untold(wanted: &mut Shadow, old: &Topology, new: &Topology, me: &NodeId) {
    let serves = |id: &NodeId| new.nodes.get(id).is_some_and(|node| node.status.is_serving());
    for partition in &new.partitions {
        let pending = partition
            .copy(me)
            .is_some_and(|copy| copy.state == CopyState::Pending);
        let held = old
            .partitions
            .get(partition.number as usize)
            .is_some_and(|p| p.copy(me).is_some());
        let possible = serves(me) && partition.synced().any(serves);
        if pending
            && !held
            && !possible
            && let Some(known) = wanted.partitions.get_mut(&partition.number)
        {
            known.holders.remove(me);
        }
    }
}
