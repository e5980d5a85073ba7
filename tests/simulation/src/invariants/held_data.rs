//! A primary is always a copy that holds the data; never an empty node while another has it (DESIGN 5 and 6).
//!
//! Two things are watched: what the state says (a primary is a synced copy), and what the application's own data says. An
//! application has data because it was told to lead a partition that was new, or because its copy hook found a source
//! that had it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ck_core::model::{EventKind, RoleChange, Topology};
use ck_core::sim::Applied;

#[derive(Default)]
pub(crate) struct HeldData {
    /// Partition to the nodes whose application has the data.
    holders: BTreeMap<u32, BTreeSet<String>>,
    last: Option<Arc<Topology>>,
    newest: u64,
    /// The last incarnation of each node whose data is gone: what the log gives to it, it gives to a dead process.
    forgotten: BTreeMap<String, u64>,
}

impl HeldData {
    /// The copy hook of a node: true when it gets the data.
    pub(crate) fn copies(&mut self, node: &str, number: u32, sources: &[&str]) -> bool {
        let holders = self.holders.entry(number).or_default();
        let has_source = sources.iter().any(|source| holders.contains(*source));
        // While nobody has anything there is nothing to copy, and the partition is new or lost.
        let found = has_source || holders.contains(node) || holders.is_empty() || sources.is_empty();
        if found {
            holders.insert(node.to_owned());
        }
        found
    }

    /// Who is told to lead has the data, also where that is taken back before a hook hears of it.
    pub(crate) fn told(&mut self, applied: &Applied<'_>) {
        for event in applied.events {
            if let EventKind::PartitionChange(change) = &event.kind
                && change.change == RoleChange::GainedPrimary
                && *change.node_id == *applied.node
            {
                self.leads(applied.node, change.number);
            }
        }
    }

    fn leads(&mut self, node: &str, number: u32) {
        self.holders.entry(number).or_default().insert(node.to_owned());
    }

    /// It was told that it may delete the data.
    pub(crate) fn drops(&mut self, node: &str, number: u32) {
        self.holders.entry(number).or_default().remove(node);
    }

    /// All that its application had is gone.
    pub(crate) fn forgets(&mut self, node: &str) {
        for holders in self.holders.values_mut() {
            holders.remove(node);
        }
        let known = self.last.as_ref().and_then(|last| last.nodes.get(node));
        self.forgotten
            .insert(node.to_owned(), known.map_or(0, |node| node.incarnation));
    }

    /// True when no application has the data of a partition any more: it is lost, and nobody is to blame but whoever
    /// emptied the disks.
    pub(crate) fn is_lost(&self, number: u32) -> bool {
        self.holders.get(&number).is_none_or(BTreeSet::is_empty)
    }

    pub(crate) fn check(&mut self, revision: u64, now: &Arc<Topology>) -> Result<(), String> {
        // Whoever lags applies what was true once: the data has gone elsewhere since.
        if revision <= self.newest {
            return Ok(());
        }
        self.newest = revision;
        let before = self.last.replace(now.clone());
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, now)) {
            return Ok(());
        }
        for (i, partition) in now.partitions.iter().enumerate() {
            let old = before.as_ref().and_then(|before| before.partitions.get(i));
            if old.is_some_and(|old| Arc::ptr_eq(old, partition)) {
                continue;
            }
            let Some(primary) = &partition.primary else {
                continue;
            };
            if !partition.is_synced(primary) {
                return Err(format!(
                    "{primary} is primary of partition {i}, and has no synced copy"
                ));
            }
            let grew = old.is_none_or(|old| old.epoch < partition.epoch);
            let Some(holders) = self.holders.get(&partition.number).filter(|_| grew) else {
                continue;
            };
            let better = partition.synced().find(|node| {
                *node != primary
                    && holders.contains(&***node)
                    && now.nodes.get(*node).is_some_and(|node| node.status.is_serving())
            });
            let incarnation = now.nodes.get(primary).map_or(0, |node| node.incarnation);
            if self
                .forgotten
                .get(&**primary)
                .is_some_and(|dead| incarnation <= *dead)
            {
                continue;
            }
            if let Some(better) = better
                && !holders.contains(&**primary)
            {
                return Err(format!(
                    "{primary} became primary of partition {i} with epoch {} and has no data, {better} has",
                    partition.epoch
                ));
            }
        }
        Ok(())
    }
}
