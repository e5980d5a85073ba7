//! One registration's queue of waiting events, and the fence shared by all registrations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Event, EventKind, PartitionChangeEvent, RoleChange};

use super::coalesce::{change_replaces, event_replaces};
use super::types::{EventFilter, EventType};

/// An event that waits for its hook call.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: Arc<Event>,
    /// Number of the call for this event, from 1. Above 1 the call is a retry.
    pub(super) attempt: u32,
    /// Id of the gain that the call belongs to; set when the call copies a partition that this node gained.
    pub(super) gain: Option<u64>,
}

impl Queued {
    pub(super) fn change(&self) -> Option<&PartitionChangeEvent> {
        change_of(&self.event)
    }
}

pub(super) fn change_of(event: &Event) -> Option<&PartitionChangeEvent> {
    match &event.kind {
        EventKind::PartitionChange(change) => Some(change),
        _ => None,
    }
}

/// True when the event gives node `me` a copy that it has to confirm.
pub(super) fn is_own_gain(event: &Event, me: &str) -> bool {
    matches!(&event.kind, EventKind::PartitionChange(change)
        if change.change == RoleChange::GainedReplica && &*change.node_id == me)
}

/// An event's role in the movement fence; see *Fence* in the documentation of [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FenceRole {
    /// Waits for earlier partition changes, and no later partition change starts before it has returned.
    Opens,
    /// Waits for earlier partition changes; no other call waits for it.
    Ends,
    /// A partition change: waits for earlier opening events.
    Moves,
    /// Not part of the fence.
    None,
}

impl FenceRole {
    pub(super) fn of(kind: &EventKind) -> Self {
        match EventType::of(kind) {
            EventType::NodeRejoin | EventType::RebalanceStart => FenceRole::Opens,
            EventType::RebalanceComplete => FenceRole::Ends,
            EventType::PartitionChange => FenceRole::Moves,
            _ => FenceRole::None,
        }
    }
}

/// Numbers of waiting and running calls that other calls wait for, over all registrations, by sequence number.
#[derive(Debug, Default)]
pub(super) struct Fence {
    opening: BTreeMap<u64, usize>,
    moving: BTreeMap<u64, usize>,
}

impl Fence {
    fn side(&mut self, role: FenceRole) -> Option<&mut BTreeMap<u64, usize>> {
        match role {
            FenceRole::Opens => Some(&mut self.opening),
            FenceRole::Moves => Some(&mut self.moving),
            FenceRole::Ends | FenceRole::None => None,
        }
    }

    pub(super) fn add(&mut self, role: FenceRole, seq: u64) {
        if let Some(side) = self.side(role) {
            *side.entry(seq).or_default() += 1;
        }
    }

    /// One call with this sequence number has returned or will not happen.
    pub(super) fn remove(&mut self, role: FenceRole, seq: u64) {
        if let Some(side) = self.side(role)
            && let Some(count) = side.get_mut(&seq)
        {
            *count -= 1;
            if *count == 0 {
                side.remove(&seq);
            }
        }
    }

    /// True when no earlier call holds back a call with this role at `seq`.
    pub(super) fn lets_pass(&self, role: FenceRole, seq: u64) -> bool {
        let waits_for = match role {
            FenceRole::Moves => &self.opening,
            FenceRole::Opens | FenceRole::Ends => &self.moving,
            FenceRole::None => return true,
        };
        waits_for.first_key_value().is_none_or(|(&first, _)| first >= seq)
    }
}

/// A registration's waiting events in order, indexed by sequence number and by partition, with the barriers among them.
#[derive(Debug)]
pub(super) struct HookQueue {
    /// Whether the events of this queue take part in the fence.
    fenced: bool,
    waiting: BTreeMap<u64, Queued>,
    /// Sequence numbers of the events that are not partition changes.
    barriers: BTreeSet<u64>,
    /// Sequence numbers of the waiting changes of each partition; no entry is empty.
    partitions: HashMap<u32, Vec<u64>>,
}

impl HookQueue {
    pub(super) fn new(fenced: bool) -> Self {
        HookQueue {
            fenced,
            waiting: BTreeMap::new(),
            barriers: BTreeSet::new(),
            partitions: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn first(&self) -> Option<(u64, &Queued)> {
        self.waiting.first_key_value().map(|(&seq, queued)| (seq, queued))
    }

    /// The partition changes before the first barrier.
    pub(super) fn batch(&self) -> impl Iterator<Item = (u64, &PartitionChangeEvent)> {
        let end = self.barriers.first().copied().unwrap_or(u64::MAX);
        self.waiting
            .range(..end)
            .filter_map(|(&seq, queued)| Some((seq, queued.change()?)))
    }

    pub(super) fn insert(&mut self, seq: u64, queued: Queued, fence: &mut Fence) {
        if self.fenced {
            fence.add(FenceRole::of(&queued.event.kind), seq);
        }
        match queued.change() {
            Some(change) => self.partitions.entry(change.number).or_default().push(seq),
            None => {
                self.barriers.insert(seq);
            }
        }
        self.waiting.insert(seq, queued);
    }

    /// Removes an event from the queue because its call starts. The event stays in the fence until the call has
    /// returned.
    pub(super) fn take(&mut self, seq: u64) -> Option<Queued> {
        let queued = self.waiting.remove(&seq)?;
        self.barriers.remove(&seq);
        if let Some(number) = queued.change().map(|change| change.number)
            && let Some(places) = self.partitions.get_mut(&number)
        {
            places.retain(|place| *place != seq);
            if places.is_empty() {
                self.partitions.remove(&number);
            }
        }
        Some(queued)
    }

    fn remove(&mut self, seq: u64, fence: &mut Fence) {
        if let Some(queued) = self.take(seq)
            && self.fenced
        {
            fence.remove(FenceRole::of(&queued.event.kind), seq);
        }
    }

    fn retries_of(&self, number: u32, gain: u64) -> impl Iterator<Item = u64> {
        let places = self.partitions.get(&number).into_iter().flatten().copied();
        places.filter(move |seq| {
            let waiting = self.waiting.get(seq);
            waiting.is_some_and(|queued| queued.gain == Some(gain) && queued.attempt > 1)
        })
    }

    /// True when a call for this gain has failed and its retry waits in this queue.
    pub(super) fn waits_again(&self, number: u32, gain: u64) -> bool {
        self.retries_of(number, gain).next().is_some()
    }

    /// Removes the queued retries for this gain and returns how many there were. A first call stays, because it
    /// delivers the event.
    pub(super) fn forget_retries(&mut self, number: u32, gain: u64, fence: &mut Fence) -> u64 {
        let places: Vec<u64> = self.retries_of(number, gain).collect();
        for seq in &places {
            self.remove(*seq, fence);
        }
        places.len() as u64
    }

    /// Removes all events, from the fence as well.
    pub(super) fn clear(&mut self, fence: &mut Fence) {
        for (seq, queued) in std::mem::replace(self, HookQueue::new(self.fenced)).waiting {
            if self.fenced {
                fence.remove(FenceRole::of(&queued.event.kind), seq);
            }
        }
    }

    /// Removes the events that `new` makes obsolete and returns how many there were.
    pub(super) fn coalesce(
        &mut self,
        new: &Event,
        filter: EventFilter,
        limits: QueueLimits<'_>,
        fence: &mut Fence,
    ) -> u64 {
        let pointless: Vec<u64> = match &new.kind {
            EventKind::PartitionChange(change) => self.replaced_changes(change),
            _ if self.barriers.len() < limits.high_water => Vec::new(),
            EventKind::RebalanceComplete(_) if filter.accepts(EventType::RebalanceStart) => self.inner_pair(),
            kind => self.replaced_events(kind, limits.me),
        };
        for seq in &pointless {
            self.remove(*seq, fence);
        }
        pointless.len() as u64
    }

    fn replaced_changes(&self, new: &PartitionChangeEvent) -> Vec<u64> {
        let places = self.partitions.get(&new.number).into_iter().flatten();
        let replaced = |seq: &&u64| {
            let old = self.waiting.get(seq).and_then(Queued::change);
            old.is_some_and(|old| change_replaces(new, old))
        };
        places.filter(replaced).copied().collect()
    }

    fn replaced_events(&self, new: &EventKind, me: &str) -> Vec<u64> {
        let replaced = |seq: &&u64| {
            let old = self.waiting.get(seq);
            old.is_some_and(|old| event_replaces(new, &old.event.kind, me))
        };
        self.barriers.iter().filter(replaced).copied().collect()
    }

    /// Where the queue ends with start, *complete, start* and `new` is a complete: the two in the middle. What remains
    /// is one longer rebalance that still has a start before its copies and a complete after them.
    fn inner_pair(&self) -> Vec<u64> {
        let mut ends = self.barriers.iter().rev().filter_map(|seq| {
            let kind = EventType::of(&self.waiting.get(seq)?.event.kind);
            matches!(kind, EventType::RebalanceStart | EventType::RebalanceComplete).then_some((*seq, kind))
        });
        match (ends.next(), ends.next()) {
            (Some((start, EventType::RebalanceStart)), Some((complete, EventType::RebalanceComplete))) => {
                vec![complete, start]
            }
            _ => Vec::new(),
        }
    }
}

/// Parameters of coalescing.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits<'a> {
    /// This node's id.
    pub(super) me: &'a str,
    /// Number of waiting barriers from which on they are coalesced.
    pub(super) high_water: usize,
}
