//! The seam under a test cluster (feature `testing`): a clock that the test moves, and processes of nodes that can be
//! paused.
//!
//! One thread, the *driver*, runs every task of a test cluster. Threads of the application and of hooks make calls as
//! anywhere else, and find the clock of the node that they call. Which clock and which process that is, a thread-local
//! says: it is set while a task is polled, while a call of a handle runs, and for the life of a thread that a node
//! starts. Code that runs outside of all these, and so every ordinary node, has the system's clock.
//!
//! - `clock` is the clock with its timers; `driver` moves it, with real time or on order.
//! - `hook_hold` keeps an ordered move of the clock waiting for hooks, for a while.
//! - `process` is what belongs to one process of a node: whether it is paused, and what it spawns.
//! - `call` is a call that runs on a thread of the application.
//!
//! Locks: each is a leaf. No waker is called and no code of the application runs under one.

mod call;
mod clock;
mod driver;
mod hook_hold;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use call::Call;
pub(crate) use clock::{ClockHold, ClockOrder, ClockSleep, TestClock};
pub(crate) use driver::ClockDriver;
pub(crate) use hook_hold::HookActivity;
pub(crate) use process::{Entered, InProcess, TestProcess, current, with_current};

use std::time::Duration;

use crate::model::Timestamp;

/// How long a thread waits at most before it looks again whether the clock of its process has moved or its process has
/// been resumed. Real time.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The time on the clock of the current process, in nanoseconds, if there is one.
#[inline]
pub(super) fn nanos() -> Option<u64> {
    with_current(|process| process.clock().now())
}

/// The wall clock of the current process, if there is one.
pub(super) fn wall_now() -> Option<Timestamp> {
    with_current(|process| process.clock().wall_now())
}

/// How long a thread may wait for `time` to pass on its clock before it looks at the clock again: a condition variable
/// waits in real time, and the clock of a test cluster may have been moved meanwhile.
pub(crate) fn bounded_wait(time: Duration) -> Duration {
    with_current(|_| time.min(LOOK_INTERVAL)).unwrap_or(time)
}

/// How long a thread of a paused process waits before it looks again whether it is still paused; `None` where the process
/// of the thread is not paused.
pub(crate) fn pause_left() -> Option<Duration> {
    with_current(TestProcess::is_paused)?.then_some(LOOK_INTERVAL)
}

/// Waits while the current process is paused. False where it has been killed: then no code of the application is called
/// in its name any more.
pub(crate) fn admit_hook_call() -> bool {
    current().is_none_or(|process| process.wait_while_paused())
}
