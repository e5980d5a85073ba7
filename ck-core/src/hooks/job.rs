//! Messages between the scheduling core and its drivers.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Event;

use super::types::{HookFailure, HookId};

/// Identifies a running call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// Identifies a retry that waits for its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryId(pub(super) u64);

/// A call to make: `hook` with `event`. The driver reports how it ended with
/// [`Schedule::finished`](super::schedule::Schedule::finished).
#[derive(Debug)]
pub struct Job<H> {
    /// Identifies the call.
    pub call_id: CallId,
    /// The registration of the hook.
    pub hook_id: HookId,
    /// The registered hook.
    pub hook: H,
    /// The event to deliver.
    pub event: Arc<Event>,
    /// Number of the call for this event, from 1.
    pub attempt: u32,
}

impl<H> Job<H> {
    /// The hook, and the rest of the call.
    pub(super) fn without_hook(self) -> (H, Job<()>) {
        let job = Job {
            call_id: self.call_id,
            hook_id: self.hook_id,
            hook: (),
            event: self.event,
            attempt: self.attempt,
        };
        (self.hook, job)
    }
}

/// What a driver has to do besides making calls.
#[derive(Debug)]
pub enum Effect {
    /// This node now holds the partition of this event: every hook that copies has returned success.
    Copied(Arc<Event>),
    /// This node gained a copy of the partition of this event, and no hook that copies is registered.
    Unheard(Arc<Event>),
    /// This node gained a copy of the partition of this event; a hook failed for it, and is not called for it again,
    /// because this node's role of the partition has changed meanwhile.
    Abandoned(Arc<Event>),
    /// A call failed: report it to the log.
    Failed(HookFailure),
    /// Call [`Schedule::retry_due`](super::schedule::Schedule::retry_due) after this delay.
    RetryAfter(RetryId, Duration),
}
