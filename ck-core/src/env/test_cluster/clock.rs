//! The clock of a test cluster, and its timers.
//!
//! It passes with real time while the driver is idle, or only when it is told to. Invariants:
//! - it never passes the deadline of a timer that has not fired, so no timer of a node is ever late, however busy the
//!   machine is;
//! - it stands still while the driver runs tasks: computing takes no time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use pin_project_lite::pin_project;

use super::hook_hold::HookHold;
use crate::env::Instant;
use crate::env::clock::boottime_nanos;
use crate::model::Timestamp;

/// Where the clock starts: at one day, so that a timeout can be subtracted.
const START_NANOS: u64 = 86_400_000_000_000;
/// What passes with each look at a clock that has ended: whoever still waits for a deadline finds that it has passed.
const NANOS_PER_LOOK_AFTER_END: u64 = 10_000_000_000;

/// A timer: its deadline, and a number that tells timers of one deadline apart, in the order in which they were set.
pub(super) type TimerKey = (u64, u64);

/// An ordered move of the clock: from timer to timer, until a moment and by so many timers at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockOrder {
    /// The clock is moved to no later than this, and to this where no timer is due before it. Without it the clock stays
    /// where no timer is set.
    pub(crate) until: Option<Instant>,
    /// How many times the clock is moved at most. With 0 it stays: the order is carried out when nothing is left to do.
    pub(crate) jumps: usize,
}

/// An order that is being carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenOrder {
    pub(super) order: ClockOrder,
    /// True once the driver has looked for work since the order was given: what its caller did before is seen.
    pub(super) seen: bool,
}

/// The clock of one test cluster. Used as `Arc<TestClock>`.
#[derive(Debug)]
pub(crate) struct TestClock {
    wall_start: Timestamp,
    pub(super) state: Mutex<ClockState>,
    /// Notified when an order was carried out, or the clock has ended.
    pub(super) carried_out: Condvar,
    /// Held by the caller whose order is carried out.
    turn: Mutex<()>,
    /// The calls on threads of the application that are about to go on: an order waits for them.
    pub(super) runnable_calls: AtomicUsize,
    pub(super) hooks: HookHold,
}

#[derive(Debug)]
pub(super) struct ClockState {
    /// The time; that of `idle_since` where the clock passes with real time.
    pub(super) now: u64,
    /// The real time since which the driver is idle and the clock passes with real time.
    pub(super) idle_since: Option<u64>,
    /// How many keep the clock from passing with real time.
    pub(super) holds: usize,
    pub(super) ended: bool,
    pub(super) timers: BTreeMap<TimerKey, Waker>,
    last_timer: u64,
    pub(super) driver: Option<Waker>,
    pub(super) order: Option<OpenOrder>,
    /// True while the driver is to look again soon whether hooks still hold the clock.
    pub(super) recheck: bool,
}

impl ClockState {
    pub(super) fn first_deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// The present time.
    pub(super) fn current(&mut self) -> u64 {
        if self.ended {
            self.now = self.now.saturating_add(NANOS_PER_LOOK_AFTER_END);
            return self.now;
        }
        let Some(since) = self.idle_since else {
            return self.now;
        };
        let passed = boottime_nanos().saturating_sub(since);
        let limit = self
            .first_deadline()
            .map_or(u64::MAX, |deadline| deadline.max(self.now));
        self.now.saturating_add(passed).min(limit)
    }

    /// The clock stops passing with real time.
    pub(super) fn stop(&mut self) {
        self.now = self.current();
        self.idle_since = None;
    }

    /// Takes out the timers that are due.
    pub(super) fn take_due(&mut self) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(timer) = self.timers.first_entry()
            && timer.key().0 <= self.now
        {
            due.push(timer.remove());
        }
        due
    }
}

impl TestClock {
    /// A clock that passes with real time once it has a driver.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(TestClock {
            wall_start: Timestamp::from(SystemTime::now()),
            state: Mutex::new(ClockState {
                now: START_NANOS,
                idle_since: None,
                holds: 0,
                ended: false,
                timers: BTreeMap::new(),
                last_timer: 0,
                driver: None,
                order: None,
                recheck: false,
            }),
            carried_out: Condvar::new(),
            turn: Mutex::new(()),
            runnable_calls: AtomicUsize::new(0),
            hooks: HookHold::default(),
        })
    }

    /// Nanoseconds since the clock's own, arbitrary start.
    pub(crate) fn now(&self) -> u64 {
        self.state.lock().current()
    }

    /// The time since the clock was made.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(START_NANOS))
    }

    /// The wall clock: that of the machine when this was made, and what has passed here since.
    pub(crate) fn wall_now(&self) -> Timestamp {
        self.wall_start.after(self.elapsed())
    }

    /// Keeps the clock from passing with real time for as long as the returned value lives.
    pub(crate) fn hold(self: &Arc<Self>) -> ClockHold {
        let mut state = self.state.lock();
        state.stop();
        state.holds += 1;
        ClockHold(self.clone())
    }

    /// Ends the clock: every timer fires, every later one is due at once, and every deadline passes soon.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.stop();
        state.ended = true;
        let timers = std::mem::take(&mut state.timers);
        let driver = state.driver.clone();
        drop(state);
        self.carried_out.notify_all();
        timers.into_values().for_each(Waker::wake);
        wake(driver);
    }

    /// True once the clock has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Sets a timer, or another waker for one that is set. False, and no timer, where its deadline has passed.
    fn set_timer(&self, key: &mut Option<TimerKey>, deadline: u64, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.ended || state.current() >= deadline {
            let earlier = key.take().and_then(|key| state.timers.remove(&key));
            drop(state);
            drop(earlier);
            return false;
        }
        let is_first = state.first_deadline().is_none_or(|first| deadline < first);
        let key = *key.get_or_insert_with(|| {
            state.last_timer += 1;
            (deadline, state.last_timer)
        });
        // A waker may be the last reference to a task, so the earlier one is dropped outside of the lock.
        let earlier = state.timers.insert(key, waker.clone());
        // The driver sleeps until the first deadline.
        let driver = state.driver.clone().filter(|_| is_first);
        drop(state);
        drop(earlier);
        wake(driver);
        true
    }

    /// A call on a thread of the application is about to go on.
    pub(super) fn call_is_runnable(&self) {
        self.runnable_calls.fetch_add(1, Ordering::AcqRel);
    }

    /// Such a call waits again, or has ended.
    pub(super) fn call_waits(&self) {
        if self.runnable_calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            let state = self.state.lock();
            let driver = state.driver.clone().filter(|_| state.order.is_some());
            drop(state);
            wake(driver);
        }
    }
}

/// Wakes what is there, outside of every lock.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Keeps a clock from passing with real time.
#[derive(Debug)]
pub(crate) struct ClockHold(Arc<TestClock>);

impl ClockHold {
    /// Moves the clock. Returns when that is done: everything that the timers have woken, and whatever followed from
    /// that without time passing, has been done too. False where the clock has ended.
    ///
    /// An order waits for calls that are about to go on, and for hooks (see `hook_hold`). Orders of several callers are
    /// carried out one after the other.
    pub(crate) fn carry_out(&self, order: ClockOrder) -> bool {
        let clock = &self.0;
        let _turn = clock.turn.lock();
        let mut state = clock.state.lock();
        if state.ended {
            return false;
        }
        state.order = Some(OpenOrder { order, seen: false });
        let driver = state.driver.clone();
        drop(state);
        wake(driver);
        let mut state = clock.state.lock();
        while state.order.is_some() && !state.ended {
            clock.carried_out.wait(&mut state);
        }
        !state.ended
    }
}

impl Drop for ClockHold {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.holds -= 1;
        let driver = state.driver.clone().filter(|_| state.holds == 0);
        drop(state);
        // It lets the clock pass when it is idle again.
        wake(driver);
    }
}

/// Completes at a moment of a test cluster's clock.
#[derive(Debug)]
struct TestSleep {
    clock: Arc<TestClock>,
    deadline: u64,
    timer: Option<TimerKey>,
}

impl TestSleep {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.clock.set_timer(&mut self.timer, self.deadline, cx.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

impl Drop for TestSleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let waker = self.clock.state.lock().timers.remove(&timer);
            drop(waker);
        }
    }
}

pin_project! {
    /// Completes after a time on the clock of the process that made it: tokio's, or a test cluster's.
    #[project = ClockSleepProjection]
    #[derive(Debug)]
    pub(crate) enum ClockSleep {
        Tokio { #[pin] sleep: tokio::time::Sleep },
        Test { sleep: TestSleep },
    }
}

impl ClockSleep {
    pub(crate) fn new(duration: Duration) -> Self {
        match super::current() {
            None => ClockSleep::Tokio {
                sleep: tokio::time::sleep(duration),
            },
            Some(process) => {
                let clock = process.clock().clone();
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                let sleep = TestSleep {
                    deadline: clock.now().saturating_add(nanos),
                    timer: None,
                    clock,
                };
                ClockSleep::Test { sleep }
            }
        }
    }
}

impl Future for ClockSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            ClockSleepProjection::Tokio { sleep } => sleep.poll(cx),
            ClockSleepProjection::Test { sleep } => sleep.poll(cx),
        }
    }
}
