//! A primary is always a copy that holds the data; never an empty node while another has it.
//!
//! Two things are watched: what the state says (a primary is a synced copy), and what the application's own data says. An
//! application has data because it was told to lead a partition that was new, or because its copy hook found a source
//! that had it. A primary writes to all holders that it knows to be up. A node that others have copied from passes on to
//! them what it writes and what it is sent. No node acts as primary later that has missed a write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clusterkit::model::{EventKind, RoleChange, Topology};
use clusterkit::sim::Applied;

#[derive(Default)]
pub(crate) struct HeldData {
    /// Partition to the nodes whose application has the data.
    holders: BTreeMap<u32, BTreeSet<String>>,
    last: Option<Arc<Topology>>,
    newest: u64,
    /// The last incarnation of each node whose data is gone: what the log gives to it, it gives to a dead process.
    forgotten: BTreeMap<String, u64>,
    /// The last epoch in which somebody wrote to a partition.
    written: BTreeMap<u32, u64>,
    /// Up to which epoch a node has all that was written, where that is known.
    has: BTreeMap<(u32, String), u64>,
    /// Copies that are being made, and up to which epoch they were sent meanwhile what was written.
    being_made: BTreeMap<(u32, String), Option<u64>>,
    /// Who has copied from a node: it goes on sending what is written, also while its log does not name them yet.
    copied_from: BTreeMap<(u32, String), BTreeSet<String>>,
}

impl HeldData {
    /// A copy hook of a node begins: what is written from here on comes to it, too.
    pub(crate) fn begins_to_copy(&mut self, node: &str, number: u32) {
        self.being_made.insert((number, node.to_owned()), None);
    }

    /// The copy hook of a node: true when it gets the data.
    pub(crate) fn copies(&mut self, node: &str, number: u32, sources: &[&str]) -> bool {
        let holders = self.holders.entry(number).or_default();
        let has_source = sources.iter().any(|source| holders.contains(*source));
        // While nobody has anything there is nothing to copy, and the partition is new or lost.
        let found = has_source || holders.contains(node) || holders.is_empty() || sources.is_empty();
        if found {
            holders.insert(node.to_owned());
            for source in sources {
                let copied = self.copied_from.entry((number, (*source).to_owned()));
                copied.or_default().insert(node.to_owned());
            }
            let source = |source: &&str| self.has.get(&(number, (**source).to_owned())).copied();
            let sent = self.being_made.remove(&(number, node.to_owned())).flatten();
            // Where there is nothing to copy, nothing is overwritten: it has what it had.
            if sources.is_empty() {
                return found;
            }
            match sources.iter().filter_map(source).max().max(sent) {
                Some(epoch) => self.has.insert((number, node.to_owned()), epoch),
                // What it has now comes from nobody in particular.
                None => self.has.remove(&(number, node.to_owned())),
            };
        }
        found
    }

    /// A node answers that it is primary, and so writes.
    pub(crate) fn acts(&mut self, node: &str, number: u32, topology: &Topology) -> Result<(), String> {
        let Some(partition) = topology.partitions.get(number as usize) else {
            return Ok(());
        };
        let written = self.written.entry(number).or_default();
        let has = self.has.get(&(number, node.to_owned())).copied();
        // Its program has no hook yet, and was never asked: that is known, and ends when it has one.
        let unhooked = partition.copy(node).is_some_and(|copy| copy.unhooked);
        if !unhooked && has.is_some_and(|has| has < *written) {
            return Err(format!(
                "{node} acts on partition {number} with epoch {}, and has missed what was written with epoch {written}",
                partition.epoch
            ));
        }
        *written = partition.epoch.max(*written);
        let up = |holder: &&str| {
            let known = topology.nodes.get(*holder);
            known.is_some_and(|node| node.status.is_serving())
        };
        let holders = partition.copies.iter().map(|copy| &*copy.node).filter(up);
        let mut due: Vec<String> = holders.chain([node]).map(str::to_owned).collect();
        let mut sent_to = BTreeSet::new();
        while let Some(receiver) = due.pop() {
            if !sent_to.insert(receiver.clone()) {
                continue;
            }
            let key = (number, receiver);
            due.extend(self.copied_from.get(&key).into_iter().flatten().cloned());
            // What it writes itself while it copies is gone under what it copies.
            if key.1 != node
                && let Some(sent) = self.being_made.get_mut(&key)
            {
                *sent = Some(*written);
            }
            self.has.insert(key, *written);
        }
        Ok(())
    }

    /// True when the application on `node` lacks the data of a partition that another has.
    pub(crate) fn lacks(&self, node: &str, number: u32) -> bool {
        let holders = self.holders.get(&number);
        holders.is_some_and(|holders| !holders.is_empty() && !holders.contains(node))
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
        self.has.remove(&(number, node.to_owned()));
        self.lets_go(node, Some(number));
    }

    /// Nobody is sent anything any more that it copied from others, or that others copied from it.
    fn lets_go(&mut self, node: &str, number: Option<u32>) {
        let concerns = |n: u32| number.is_none_or(|number| number == n);
        self.being_made
            .retain(|(n, copier), _| !(concerns(*n) && copier == node));
        self.copied_from
            .retain(|(n, source), _| !(concerns(*n) && source == node));
        for ((n, _), copied) in &mut self.copied_from {
            if concerns(*n) {
                copied.remove(node);
            }
        }
    }

    /// A process of it has ended, and with it what it was sent and sent to others.
    pub(crate) fn ends(&mut self, node: &str) {
        self.lets_go(node, None);
    }

    /// All that its application had is gone.
    pub(crate) fn forgets(&mut self, node: &str) {
        for holders in self.holders.values_mut() {
            holders.remove(node);
        }
        self.has.retain(|(_, holder), _| holder != node);
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
            // Its program has no hook yet, and was never asked: that is known, and ends when it has one.
            if partition.copy(primary).is_some_and(|copy| copy.unhooked) {
                continue;
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
