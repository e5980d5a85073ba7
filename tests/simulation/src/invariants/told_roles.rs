//! Whoever gains or loses a copy or the role of primary is told so, by the log or by the net change after a snapshot
//! .

use std::collections::BTreeMap;
use std::sync::Arc;

use clusterkit::model::{EventKind, NodeId, RoleChange, Topology};
use clusterkit::sim::Applied;

/// What each member process saw last.
#[derive(Default)]
pub(crate) struct ToldRoles {
    last: BTreeMap<(String, u64), Arc<Topology>>,
}

impl ToldRoles {
    pub(crate) fn check(&mut self, applied: &Applied<'_>) -> Result<(), String> {
        let process = (applied.node.to_owned(), applied.process);
        // Before its admission it has nothing, and is told nothing.
        if applied.state.process_of(applied.node) != Some(applied.process) {
            self.last.remove(&process);
            return Ok(());
        }
        let now = applied.state.topology();
        let Some(before) = self.last.insert(process, now.clone()) else {
            return Ok(());
        };
        // A new incarnation of the same process begins anew.
        let incarnation = |topology: &Topology| topology.nodes.get(applied.node).map(|node| node.incarnation);
        if Arc::ptr_eq(&before, now) || incarnation(&before) != incarnation(now) {
            return Ok(());
        }
        for (old, new) in before.partitions.iter().zip(&now.partitions) {
            if Arc::ptr_eq(old, new) {
                continue;
            }
            let had = old.copy(applied.node).is_some();
            let has = new.copy(applied.node).is_some();
            let led = old.primary.as_deref() == Some(applied.node);
            let leads = new.primary.as_deref() == Some(applied.node);
            let told = |wanted: &[RoleChange]| {
                applied.events.iter().any(|event| match &event.kind {
                    EventKind::PartitionChange(change) => {
                        change.number == new.number
                            && *change.node_id == *applied.node
                            && wanted.contains(&change.change)
                    }
                    _ => false,
                })
            };
            let gains = [RoleChange::GainedReplica, RoleChange::GainedPrimary];
            let losses = [RoleChange::LostPrimary, RoleChange::LostCopy];
            // A copy that is still to be made is told of when its node serves and there is somebody to copy from.
            let serves = |id: &NodeId| now.nodes.get(id).is_some_and(|node| node.status.is_serving());
            let mut mine = new.pending().filter(|id| ***id == *applied.node);
            let waits = mine.any(|id| !serves(id) || !new.synced().any(serves));
            let missing = if has && !had && !waits && !told(&gains) {
                "that it gained a copy"
            } else if had && !has && !told(&[RoleChange::LostCopy]) {
                "that it lost its copy"
            } else if leads && !led && !told(&[RoleChange::GainedPrimary]) {
                "that it became primary"
            } else if led && !leads && !told(&losses) {
                "that it is primary no longer"
            } else {
                continue;
            };
            return Err(format!(
                "{} was not told {missing} of partition {} by revision {}",
                applied.node,
                new.number,
                applied.state.revision()
            ));
        }
        Ok(())
    }
}
