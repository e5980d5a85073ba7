//! Gains of this node: which copies wait for which hooks, and when a failed one is called again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Event, PartitionChangeEvent, RoleChange};

use super::Schedule;
use crate::hooks::job::{Effect, RetryId};
use crate::hooks::queue::{Queued, change_of};
use crate::hooks::types::{FailureReason, HookId};

/// The delay before the first retry of a failed copy.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest retry delay; each delay is twice the previous one.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// The delay before the call that follows `attempt`.
pub(in crate::hooks) fn retry_delay(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    (RETRY_FIRST * (1 << doublings)).min(RETRY_LONGEST)
}

/// A partition that this node gained and has not confirmed.
#[derive(Debug)]
pub(super) struct Gain {
    /// Distinguishes it from earlier and later gains of the same partition.
    pub(super) id: u64,
    pub(super) event: Arc<Event>,
    /// The registrations that have not returned success yet.
    pub(super) waits_for: BTreeSet<HookId>,
    /// Cleared when a later event makes a retry wrong.
    pub(super) may_retry: bool,
}

#[derive(Debug)]
pub(super) struct Retry {
    pub(super) hook_id: HookId,
    pub(super) queued: Queued,
}

impl<H: Clone> Schedule<H> {
    pub(super) fn add_gain(&mut self, id: u64, event: Arc<Event>, waits_for: BTreeSet<HookId>) {
        let Some(number) = change_of(&event).map(|change| change.number) else {
            return;
        };
        if waits_for.is_empty() {
            self.effects.push(Effect::Unheard(event));
            return;
        }
        let gain = Gain {
            id,
            event,
            waits_for,
            may_retry: true,
        };
        self.gains.insert(number, gain);
    }

    /// Handles a newer event about this node and a partition that it has gained and not confirmed.
    pub(super) fn supersede_gain(&mut self, change: &PartitionChangeEvent) {
        let Some(gain) = self.gains.get_mut(&change.number) else {
            return;
        };
        // The role was gained before the copy was confirmed (no better copy is left), or was lost again: a retry would
        // copy old data over what the primary has written since. A first call continues.
        let id = gain.id;
        gain.may_retry = false;
        let failed_before = |queued: &Queued| queued.gain == Some(id) && queued.attempt > 1;
        let retrying = self.retries.values().any(|retry| failed_before(&retry.queued))
            || self
                .hooks
                .values()
                .any(|hook| hook.queue.waits_again(change.number, id));
        let over = matches!(change.change, RoleChange::LostCopy | RoleChange::GainedReplica);
        if over {
            self.end_gain(change.number);
        } else if retrying {
            self.abandon_gain(change.number);
        }
    }

    /// Ends a gain for which a hook has failed. The copy may count all the same, though no hook has confirmed it.
    fn abandon_gain(&mut self, number: u32) {
        if let Some(gain) = self.end_gain(number) {
            self.effects.push(Effect::Abandoned(gain.event));
        }
    }

    /// Forgets a gain: it will not be confirmed, and its retries are removed.
    pub(super) fn end_gain(&mut self, number: u32) -> Option<Gain> {
        let gain = self.gains.remove(&number)?;
        self.retries.retain(|_, retry| retry.queued.gain != Some(gain.id));
        for registration in self.hooks.values_mut() {
            registration.coalesced += registration
                .queue
                .forget_retries(number, gain.id, &mut self.fence);
        }
        Some(gain)
    }

    /// The gain that a call belongs to; `None` when it has been superseded.
    fn gain_of(&mut self, queued: &Queued) -> Option<(u32, &mut Gain)> {
        let (number, id) = (queued.change()?.number, queued.gain?);
        let gain = self.gains.get_mut(&number).filter(|gain| gain.id == id)?;
        Some((number, gain))
    }

    pub(super) fn copied(&mut self, hook_id: HookId, queued: &Queued) {
        let Some((number, gain)) = self.gain_of(queued) else {
            return;
        };
        gain.waits_for.remove(&hook_id);
        if gain.waits_for.is_empty()
            && let Some(gain) = self.gains.remove(&number)
        {
            self.effects.push(Effect::Copied(gain.event));
        }
    }

    pub(super) fn plan_retry(
        &mut self,
        hook_id: HookId,
        queued: Queued,
        reason: FailureReason,
    ) -> Option<Duration> {
        let registered = self.hooks.contains_key(&hook_id);
        let (number, gain) = self.gain_of(&queued)?;
        if !registered || reason == FailureReason::Cancelled {
            self.end_gain(number);
            return None;
        }
        if !gain.may_retry {
            self.abandon_gain(number);
            return None;
        }
        let delay = retry_delay(queued.attempt);
        let id = RetryId(self.next_id());
        let queued = Queued {
            attempt: queued.attempt.saturating_add(1),
            ..queued
        };
        self.retries.insert(id, Retry { hook_id, queued });
        self.effects.push(Effect::RetryAfter(id, delay));
        Some(delay)
    }

    /// The delay of a retry has passed: it joins the end of its registration's queue, like an event that is pushed now.
    /// Does nothing when the retry was removed meanwhile.
    pub fn retry_due(&mut self, id: RetryId) {
        let Some(Retry { hook_id, queued }) = self.retries.remove(&id) else {
            return;
        };
        let seq = self.next_id();
        if let Some(registration) = self.hooks.get_mut(&hook_id) {
            registration.retries += 1;
            registration.queue.insert(seq, queued, &mut self.fence);
        }
    }
}
