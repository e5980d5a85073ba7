//! Holders that cannot be removed without loss of data, and recovery by an administrator where no holder is left.
//!
//! Invariant: a copy that was not confirmed counts only because an administrator accepted it, and its node is primary
//! under a new epoch.

use super::primaries::{make_pending, up_to_date_holders};
use super::{ApplyContext, CommandResult, Reply, State, refuse};
use crate::error::{Error, ErrorCode};
use crate::model::{ChangeReason, CopyState, NodeId, PartitionCopy, RoleChange, partition_id};

/// How many partitions an error names.
const MAX_NAMED_PARTITIONS: usize = 8;

impl State {
    /// The partitions whose data is counted as held only by `id`, whether it is up or away: without it the data is lost.
    pub(crate) fn held_only_by(&self, id: &str) -> Vec<u32> {
        let sole = self.topology.partitions.iter().filter(|partition| {
            let mut holders = partition.synced().chain(up_to_date_holders(partition));
            holders.next().is_some_and(|first| &**first == id) && holders.next().is_none()
        });
        sole.map(|partition| partition.number).collect()
    }

    /// Refuses if `id` is the last holder of a partition's data.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`], which names the partitions.
    pub(crate) fn check_not_last(&self, id: &str) -> Result<(), Error> {
        let sole = self.held_only_by(id);
        if sole.is_empty() || planted!("remove-the-last") {
            return Ok(());
        }
        let mut names: Vec<String> = sole
            .iter()
            .take(MAX_NAMED_PARTITIONS)
            .map(|n| partition_id(*n))
            .collect();
        if sole.len() > MAX_NAMED_PARTITIONS {
            names.push(format!("{} more", sole.len() - MAX_NAMED_PARTITIONS));
        }
        Err(Error::new(
            ErrorCode::Refused,
            format!(
                "no other node counts as holding the data of {}: without node {id:?} it is lost. Have it \
                 leave, wait until it is copied, accept another copy (recover), or force the removal",
                names.join(", ")
            ),
        ))
    }

    /// Accepts the copy of `from` as the partition's data.
    pub(super) fn recover(
        &mut self,
        number: u32,
        from: &NodeId,
        force: bool,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        let name = partition_id(number);
        let Some(partition) = self.topology.partitions.get(number as usize).cloned() else {
            return refuse(ErrorCode::NotFound, format!("there is no {name}"));
        };
        let status = self.node(from)?.status;
        if !status.is_serving() {
            return refuse(
                ErrorCode::Refused,
                format!(
                    "node {from:?} is {}; only the data of a node that is up can be accepted as {name}",
                    status.as_str()
                ),
            );
        }
        let better = partition.synced().find(|node| self.is_serving(node));
        let sole = partition.synced().eq([from]);
        if partition.primary.as_ref() == Some(from) || (sole && partition.released.is_some()) {
            return Ok(Reply::Unchanged);
        }
        if let Some(better) = better.filter(|_| !force) {
            return refuse(
                ErrorCode::Refused,
                format!("node {better:?} is up and holds the data of {name}: there is nothing to recover"),
            );
        }
        if partition.copy(from).is_none() && !force {
            return refuse(
                ErrorCode::Refused,
                format!("node {from:?} holds no copy of {name}; use force to accept the data that it has"),
            );
        }
        self.accept(number, from, context);
        Ok(Reply::Partitions(1))
    }

    fn accept(&mut self, number: u32, from: &NodeId, context: &mut ApplyContext<'_>) {
        let reason = ChangeReason::Manual;
        let index = context.index;
        let Some(partition) = self.partition_mut(number, context) else {
            return;
        };
        partition.target = None;
        let is_new = partition.copy(from).is_none();
        if is_new {
            // Revision 0: the copy was never assigned.
            partition
                .copies
                .push(PartitionCopy::new(from.clone(), CopyState::Pending, 0));
            partition.copies.sort_by(|a, b| a.node.cmp(&b.node));
        }
        let behind: Vec<NodeId> = partition.synced().filter(|node| *node != from).cloned().collect();
        for node in &behind {
            make_pending(partition, node, index);
        }
        for copy in partition.copies.iter_mut().filter(|copy| copy.node == *from) {
            copy.state = CopyState::Synced;
            copy.stale_since = 0;
        }
        let primary = partition.primary.clone();
        if is_new {
            // There is no source: the node starts with the data that it has.
            let notified = std::slice::from_ref(from);
            self.emit_changes(number, notified, RoleChange::GainedReplica, reason, None, context);
        }
        if let Some(holder) = &primary {
            // The holder may act as primary until it has applied this entry, and its successor waits for that.
            if let Some(partition) = self.partition_mut(number, context) {
                partition.primary = None;
                partition.released = Some((holder.clone(), index));
            }
            let notified = std::slice::from_ref(holder);
            self.emit_changes(
                number,
                notified,
                RoleChange::LostPrimary,
                reason,
                Some(holder),
                context,
            );
        }
        let vacant = self.topology.partitions.get(number as usize);
        if vacant.is_some_and(|p| p.primary.is_none() && p.released.is_none()) {
            self.change_primary(number, Some(from), reason, context);
        }
        self.start_waiting_copies(number, from, reason, context);
    }
}
