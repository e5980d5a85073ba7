//! Repeats a call to the leader, whichever node that is, until its outcome is known or its time is over.

use std::time::Duration;

use super::outcome::{Attempt, Outcome};
use crate::env::{self, Instant};
use crate::error::{Error, Result};

/// The pause between two attempts.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The most attempts in a row that follow a hint without a pause. Two nodes that each take the other for the leader would
/// forward a call back and forth forever.
const MAX_HOPS: u32 = 3;

/// The attempts at one call.
#[derive(Debug)]
pub(crate) struct LeaderRetry {
    deadline: Instant,
    outcome: Outcome,
    hops: u32,
}

impl LeaderRetry {
    /// A call that may take until `deadline`, which is `timeout` after the call began.
    pub(crate) fn new(deadline: Instant, timeout: Duration) -> Self {
        LeaderRetry {
            deadline,
            outcome: Outcome::new(timeout),
            hops: 0,
        }
    }

    /// Adds an attempt. `Some` is the answer of the call; after `None` the next attempt is due. `refusal` says why the
    /// cluster takes nothing from this node any more, if that is so: what was sent before may have been executed all the
    /// same. With a `hint` of where the leader is, the next attempt follows without a pause.
    pub(crate) async fn note<T>(
        &mut self,
        attempt: Attempt<T>,
        refusal: impl FnOnce() -> Option<Error>,
        hint: bool,
    ) -> Option<Result<T>> {
        if let Some(answer) = self.outcome.note(attempt) {
            return Some(answer);
        }
        if let Some(answer) = refusal().and_then(|error| self.outcome.note(Attempt::Refused(error))) {
            return Some(answer);
        }
        // An attempt without enough time for its answer could only turn a known outcome into an unknown one.
        if Instant::now() + 2 * RETRY_PAUSE >= self.deadline {
            return Some(Err(self.outcome.gave_up()));
        }
        self.hops += 1;
        if !hint || self.hops.is_multiple_of(MAX_HOPS) {
            env::sleep(RETRY_PAUSE).await;
        }
        None
    }
}
