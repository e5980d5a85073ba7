//! What the scheduling core and its drivers say to each other.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Event;

use super::types::{HookFailure, HookId};

/// Names a call under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// Names a retry that waits for its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryId(pub(super) u64);

/// A call to make: `hook` on `event`. Whoever took it says how it ended with [`Schedule::finished`](super::schedule::Schedule::finished).
#[derive(Debug)]
pub struct Job<H> {
    /// Names the call.
    pub call_id: CallId,
    /// Whose hook.
    pub hook_id: HookId,
    /// What was registered.
    pub hook: H,
    /// What to tell it.
    pub event: Arc<Event>,
    /// Which call for this event it is, from 1.
    pub attempt: u32,
}

/// What the driver has to do besides making calls.
#[derive(Debug)]
pub enum Effect {
    /// This node holds the partition of this event now: every hook that copies has returned success.
    Copied(Arc<Event>),
    /// This node was told to copy the partition of this event, and there is no hook that copies.
    Unheard(Arc<Event>),
    /// A call failed: tell the log.
    Failed(HookFailure),
    /// Come back with [`Schedule::retry_due`](super::schedule::Schedule::retry_due) after this delay.
    RetryAfter(RetryId, Duration),
}
