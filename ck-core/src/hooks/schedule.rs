//! The scheduling core: decides which call may start. No threads, no clock, no I/O.
//!
//! The same calls in the same order always give the same answers. A driver pushes events, starts the jobs that
//! [`Schedule::next_ready`] returns, reports how each ended, carries out the [`Effect`]s, and calls
//! [`Schedule::retry_due`] when the delay of a retry has passed.

mod gains;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Event, NodeId, PartitionChangeEvent, RoleChange};

use gains::{Gain, Retry};

#[cfg(test)]
pub(super) use gains::retry_delay;

use super::job::{CallId, Effect, Job, RetryId};
use super::queue::{Fence, FenceRole, HookQueue, QueueLimits, Queued, change_of, is_own_gain};
use super::types::{EventFilter, EventType, FailureReason, HookFailure, HookId, HookStats, Outcome};

#[derive(Debug)]
struct Registration<H> {
    hook: H,
    filter: EventFilter,
    /// Whether its success confirms a copy.
    copies: bool,
    /// Whether it only observes: no other call waits for it, it has no part in the fence and does not count towards
    /// `concurrency`. Its calls are made one after the other, so that it takes no more than one thread.
    observes: bool,
    queue: HookQueue,
    /// A call for an event that is not a partition change is running; then it is the only call of this registration.
    barrier_running: bool,
    /// The partitions whose changes are being delivered.
    changes_running: Vec<u32>,
    calls: u64,
    failures: u64,
    panics: u64,
    retries: u64,
    coalesced: u64,
}

/// A running call. It may outlive its registration.
#[derive(Debug)]
struct Running {
    hook_id: HookId,
    observes: bool,
    seq: u64,
    queued: Queued,
}

/// Decides which hook is called with which event, and when. The documentation of [`super`] has the rules.
#[derive(Debug)]
pub struct Schedule<H> {
    me: NodeId,
    concurrency: usize,
    high_water: usize,
    hooks: BTreeMap<HookId, Registration<H>>,
    running: BTreeMap<CallId, Running>,
    /// Number of calls in `running` that are partition changes of registrations that do not observe; at most
    /// `concurrency`.
    changes_running: usize,
    /// Unconfirmed gains of this node, by partition number.
    gains: HashMap<u32, Gain>,
    retries: BTreeMap<RetryId, Retry>,
    fence: Fence,
    effects: Vec<Effect>,
    last_hook: u64,
    /// Counter for sequence numbers and for the ids of calls, gains and retries, which only have to be unique and
    /// increasing.
    last_id: u64,
}

impl<H: Clone> Schedule<H> {
    /// A schedule without hooks for node `me`. At most `concurrency` (at least 1) partition changes run at a time. A
    /// registration with `high_water` or more waiting events that are not partition changes coalesces them.
    pub fn new(me: NodeId, concurrency: usize, high_water: usize) -> Self {
        Schedule {
            me,
            concurrency: concurrency.max(1),
            high_water,
            hooks: BTreeMap::new(),
            running: BTreeMap::new(),
            changes_running: 0,
            gains: HashMap::new(),
            retries: BTreeMap::new(),
            fence: Fence::default(),
            effects: Vec::new(),
            last_hook: 0,
            last_id: 0,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds a hook. It is called with events that are pushed from now on. If its filter accepts partition changes, it
    /// copies.
    pub fn register(&mut self, filter: EventFilter, hook: H) -> HookId {
        self.add(filter, false, hook)
    }

    /// Adds a hook that observes: no other call waits for it.
    pub fn observe(&mut self, filter: EventFilter, hook: H) -> HookId {
        self.add(filter, true, hook)
    }

    fn add(&mut self, filter: EventFilter, observes: bool, hook: H) -> HookId {
        self.last_hook += 1;
        let id = HookId(self.last_hook);
        let registration = Registration {
            hook,
            filter,
            copies: !observes && filter.accepts(EventType::PartitionChange),
            observes,
            queue: HookQueue::new(!observes),
            barrier_running: false,
            changes_running: Vec::new(),
            calls: 0,
            failures: 0,
            panics: 0,
            retries: 0,
            coalesced: 0,
        };
        self.hooks.insert(id, registration);
        id
    }

    /// Removes a hook: no further call of it starts. `None` when there is no such hook.
    ///
    /// A gain that waits for it is given up, unless a call of it for that gain is running and succeeds: that no hook is
    /// left to copy does not mean that the data is there.
    pub fn unregister(&mut self, id: HookId) -> Option<H> {
        let mut registration = self.hooks.remove(&id)?;
        registration.queue.clear(&mut self.fence);
        self.retries.retain(|_, retry| retry.hook_id != id);
        let copying: BTreeSet<u64> = self.calls(id).filter_map(|call| call.queued.gain).collect();
        let waits = |gain: &Gain| gain.waits_for.contains(&id) && !copying.contains(&gain.id);
        let mut given_up: Vec<u32> = Vec::new();
        given_up.extend(
            self.gains
                .iter()
                .filter(|(_, gain)| waits(gain))
                .map(|(number, _)| number),
        );
        given_up.sort_unstable();
        for number in given_up {
            if let Some(gain) = self.end_gain(number) {
                self.effects.push(Effect::Failed(HookFailure {
                    hook: id,
                    event: gain.event,
                    attempt: 1,
                    reason: FailureReason::Unregistered,
                    message: "the hook was removed before it had copied the partition".into(),
                    retry_in: None,
                }));
            }
        }
        Some(registration.hook)
    }

    /// Removes every hook and forgets every gain; returns the hooks, for the caller to drop.
    pub fn clear(&mut self) -> Vec<H> {
        self.gains.clear();
        self.retries.clear();
        let fence = &mut self.fence;
        let removed = std::mem::take(&mut self.hooks).into_values();
        let hooks = removed.map(|mut registration| {
            registration.queue.clear(fence);
            registration.hook
        });
        hooks.collect()
    }

    /// True when events have to be pushed: there is a hook, or a gain that an event could supersede. Otherwise an event
    /// has no effect, except for a gain of this node, which is confirmed at once.
    pub fn is_concerned(&self) -> bool {
        !self.hooks.is_empty() || !self.gains.is_empty()
    }

    /// True when a hook is registered whose success confirms copies.
    pub fn has_copier(&self) -> bool {
        self.hooks.values().any(|registration| registration.copies)
    }

    /// Delivers events from before its registration to one hook only. Its copies are retried until they succeed, except
    /// for a partition that has an unconfirmed gain already.
    pub fn tell(&mut self, id: HookId, events: impl IntoIterator<Item = Arc<Event>>) {
        for event in events {
            let seq = self.next_id();
            let number = is_own_gain(&event, &self.me)
                .then(|| change_of(&event).map(|change| change.number))
                .flatten()
                .filter(|number| !self.gains.contains_key(number));
            let Some(registration) = self.hooks.get_mut(&id) else {
                return;
            };
            let number = number.filter(|_| registration.copies);
            let queued = Queued {
                event: Arc::clone(&event),
                attempt: 1,
                gain: number.map(|_| seq),
            };
            registration.queue.insert(seq, queued, &mut self.fence);
            if number.is_some() {
                self.add_gain(seq, event, BTreeSet::from([id]));
            }
        }
    }

    /// Number of running calls of a hook, which may have been removed.
    pub fn calls_of(&self, id: HookId) -> usize {
        self.calls(id).count()
    }

    fn calls(&self, id: HookId) -> impl Iterator<Item = &Running> {
        self.running.values().filter(move |call| call.hook_id == id)
    }

    /// Number of running calls.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The running calls in words, at most `limit` of them: which hook, and with what it was called.
    pub fn running_calls(&self, limit: usize) -> String {
        let named = self.running.values().take(limit).map(|call| {
            let (hook, event) = (call.hook_id, call.queued.event.kind.name());
            match call.queued.change() {
                Some(change) => format!("{hook} ({event} of {})", change.partition_id),
                None => format!("{hook} ({event})"),
            }
        });
        named.collect::<Vec<_>>().join(", ")
    }

    /// The running calls.
    #[cfg(feature = "testing")]
    pub(super) fn running_ids(&self) -> impl Iterator<Item = CallId> {
        self.running.keys().copied()
    }

    /// Statistics of each registration, in the order of registration.
    pub fn stats(&self) -> Vec<HookStats> {
        let stats = self.hooks.iter().map(|(&hook, registration)| HookStats {
            hook,
            filter: registration.filter,
            calls: registration.calls,
            failures: registration.failures,
            panics: registration.panics,
            retries: registration.retries,
            coalesced: registration.coalesced,
            queued: registration.queue.len(),
            running: registration.changes_running.len() + usize::from(registration.barrier_running),
        });
        stats.collect()
    }

    /// Adds the next event of the log.
    pub fn push(&mut self, event: Arc<Event>) {
        let seq = self.next_id();
        let own = change_of(&event).filter(|change| change.node_id == self.me);
        let own_gain = own.is_some_and(|change| change.change == RoleChange::GainedReplica);
        if let Some(change) = own {
            self.supersede_gain(change);
        }
        let event_type = EventType::of(&event.kind);
        let limits = QueueLimits {
            me: &self.me,
            high_water: self.high_water,
        };
        let mut told = BTreeSet::new();
        for (id, registration) in &mut self.hooks {
            if !registration.filter.accepts(event_type) {
                continue;
            }
            let filter = registration.filter;
            let fence = &mut self.fence;
            registration.coalesced += registration.queue.coalesce(&event, filter, limits, fence);
            let queued = Queued {
                event: Arc::clone(&event),
                attempt: 1,
                gain: (own_gain && registration.copies).then_some(seq),
            };
            registration.queue.insert(seq, queued, fence);
            if registration.copies {
                told.insert(*id);
            }
        }
        if own_gain {
            self.add_gain(seq, event, told);
        }
    }

    /// The calls that may start now, at most `limit`, in the order in which they should start. Each counts as running
    /// from here on.
    pub fn next_ready(&mut self, limit: usize) -> Vec<Job<H>> {
        let mut jobs = Vec::new();
        while jobs.len() < limit {
            let Some(job) = self.find_ready().and_then(|(id, seq)| self.start(id, seq)) else {
                break;
            };
            jobs.push(job);
        }
        jobs
    }

    /// True when [`Schedule::next_ready`] would return a job.
    pub fn has_ready(&self) -> bool {
        self.find_ready().is_some()
    }

    fn find_ready(&self) -> Option<(HookId, u64)> {
        let takes_changes = |hook: &&Registration<H>| hook.copies;
        let others = self
            .hooks
            .values()
            .filter(takes_changes)
            .count()
            .saturating_sub(1);
        // One place is kept for each other registration that copies, so that a registration whose calls hang does not
        // stop the others.
        let share = self.concurrency.saturating_sub(others).max(1);
        let ready = |(id, hook): (&HookId, &Registration<H>)| Some((*id, self.ready_of(hook, share)?));
        self.hooks.iter().find_map(ready)
    }

    fn ready_of(&self, hook: &Registration<H>, share: usize) -> Option<u64> {
        if hook.barrier_running {
            return None;
        }
        let (first, queued) = hook.queue.first()?;
        if hook.observes {
            return hook.changes_running.is_empty().then_some(first);
        }
        if queued.change().is_none() {
            let part = FenceRole::of(&queued.event.kind);
            let alone = hook.changes_running.is_empty();
            return (alone && self.fence.lets_pass(part, first)).then_some(first);
        }
        if self.changes_running >= self.concurrency || hook.changes_running.len() >= share {
            return None;
        }
        // Changes of one partition are delivered one after the other.
        let free = |change: &PartitionChangeEvent| !hook.changes_running.contains(&change.number);
        let mut passing = hook
            .queue
            .batch()
            .take_while(|(seq, _)| self.fence.lets_pass(FenceRole::Moves, *seq));
        passing.find(|(_, change)| free(change)).map(|(seq, _)| seq)
    }

    fn start(&mut self, hook_id: HookId, seq: u64) -> Option<Job<H>> {
        let call_id = CallId(self.next_id());
        let registration = self.hooks.get_mut(&hook_id)?;
        let queued = registration.queue.take(seq)?;
        match queued.change() {
            Some(change) => {
                registration.changes_running.push(change.number);
                self.changes_running += usize::from(!registration.observes);
            }
            None => registration.barrier_running = true,
        }
        let job = Job {
            call_id,
            hook_id,
            hook: registration.hook.clone(),
            event: Arc::clone(&queued.event),
            attempt: queued.attempt,
        };
        let running = Running {
            hook_id,
            observes: registration.observes,
            seq,
            queued,
        };
        self.running.insert(call_id, running);
        Some(job)
    }

    /// Records that a call has ended. A `call_id` that is not running is ignored.
    pub fn finished(&mut self, call_id: CallId, outcome: Outcome) {
        let Some(Running {
            hook_id,
            observes,
            seq,
            queued,
        }) = self.running.remove(&call_id)
        else {
            return;
        };
        let number = queued.change().map(|change| change.number);
        if !observes {
            self.fence.remove(FenceRole::of(&queued.event.kind), seq);
            self.changes_running -= usize::from(number.is_some());
        }
        if let Some(registration) = self.hooks.get_mut(&hook_id) {
            match number {
                Some(number) => registration.changes_running.retain(|running| *running != number),
                None => registration.barrier_running = false,
            }
            registration.calls += 1;
            registration.failures += u64::from(outcome != Outcome::Done);
            registration.panics += u64::from(matches!(outcome, Outcome::Panicked(_)));
        }
        let (reason, message) = match outcome {
            Outcome::Failed(_) if planted!("confirm-failed-copy") => {
                return self.copied(hook_id, &queued);
            }
            Outcome::Done => return self.copied(hook_id, &queued),
            Outcome::Failed(message) => (FailureReason::Error, message),
            Outcome::Panicked(message) => (FailureReason::Panic, message),
            Outcome::Cancelled => (FailureReason::Cancelled, "the runtime shut down".into()),
        };
        let (event, attempt) = (Arc::clone(&queued.event), queued.attempt);
        let retry_in = self.plan_retry(hook_id, queued, reason);
        self.effects.push(Effect::Failed(HookFailure {
            hook: hook_id,
            event,
            attempt,
            reason,
            message,
            retry_in,
        }));
    }

    /// Takes the effects that were added since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
