//! A clock that a test moves by hand.

use std::cell::Cell;
use std::time::Duration;

use super::Instant;

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What [`Instant::now`] answers on this thread, where a test moves the clock.
pub(super) fn now() -> Option<Instant> {
    NOW.get()
}

/// Stops the clock of this thread for as long as it lives. Other threads keep the real clock.
pub(crate) struct ManualClock {
    start: Instant,
}

impl ManualClock {
    /// Starts a day after the clock's own zero, so that a timeout can be subtracted.
    pub(crate) fn new() -> Self {
        let start = Instant::from_nanos(86_400_000_000_000);
        NOW.set(Some(start));
        ManualClock { start }
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, time: Duration) {
        NOW.set(Some(Instant::now() + time));
    }

    /// The time from the start to a moment.
    pub(crate) fn since_start(&self, moment: Instant) -> Duration {
        moment - self.start
    }
}

impl Drop for ManualClock {
    fn drop(&mut self) {
        NOW.set(None);
    }
}
