//! What moves the clock of a test cluster: the thread that runs its tasks.
//!
//! That thread blocks on a [`ClockDriver`], and tells the clock when it has nothing to do (`idle`, before it parks) and
//! when it has again (`awake`). Only then is it known that everything is done that needs no time to pass, so this is
//! where an order moves the clock to the next timer. No other thread has to be asked, which makes an hour short.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::LOOK_INTERVAL;
use super::clock::TestClock;
use super::hook_hold::Hold;
use crate::env::Instant;
use crate::env::clock::boottime_nanos;

/// Fires timers as real time passes. Ends when the clock has ended.
#[derive(Debug)]
pub(crate) struct ClockDriver {
    clock: Arc<TestClock>,
    alarm: Option<(Alarm, Pin<Box<Sleep>>)>,
}

/// What the driver sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// The first timer.
    Deadline(u64),
    /// Another look whether hooks still hold the clock.
    Recheck,
}

impl ClockDriver {
    pub(crate) fn new(clock: Arc<TestClock>) -> Self {
        ClockDriver { clock, alarm: None }
    }
}

impl Future for ClockDriver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let (next, left) = {
                let mut state = this.clock.state.lock();
                if state.ended {
                    // It refers to the runtime, whose callbacks refer to the clock.
                    let waker = state.driver.take();
                    drop(state);
                    drop(waker);
                    return Poll::Ready(());
                }
                if !state
                    .driver
                    .as_ref()
                    .is_some_and(|known| known.will_wake(cx.waker()))
                {
                    state.driver = Some(cx.waker().clone());
                }
                if let Some(open) = &mut state.order {
                    open.seen = true;
                }
                let due = state.take_due();
                let next = if state.recheck {
                    Some((Alarm::Recheck, LOOK_INTERVAL))
                } else if state.holds > 0 || state.order.is_some() {
                    None
                } else {
                    let first = state.first_deadline();
                    first.map(|at| {
                        (
                            Alarm::Deadline(at),
                            Duration::from_nanos(at.saturating_sub(state.now)),
                        )
                    })
                };
                drop(state);
                due.into_iter().for_each(Waker::wake);
                next.unzip()
            };
            let (Some(next), Some(left)) = (next, left) else {
                this.alarm = None;
                return Poll::Pending;
            };
            if this.alarm.as_ref().is_none_or(|(armed, _)| *armed != next) {
                this.alarm = Some((next, Box::pin(tokio::time::sleep(left))));
            }
            if let Some((_, alarm)) = &mut this.alarm
                && alarm.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            // The clock may have stood still meanwhile: then the same alarm is set again, for what is left.
            this.alarm = None;
            if next == Alarm::Recheck {
                this.clock.state.lock().recheck = false;
            }
        }
    }
}

impl TestClock {
    /// The driver has nothing to do, and is about to park. Called on its thread.
    pub(crate) fn idle(&self) {
        let (is_ordered, now) = {
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            if state.order.is_none() && state.holds == 0 {
                state.idle_since = Some(boottime_nanos());
            }
            (state.order.is_some_and(|open| open.seen), state.now)
        };
        // A call that is about to go on wakes the driver when it waits again.
        if !is_ordered || self.runnable_calls.load(Ordering::Acquire) > 0 {
            return;
        }
        match self.hooks.hold(now) {
            Hold::Held => self.look_again_soon(),
            Hold::Until(limit) => self.move_on(limit),
        }
    }

    /// The driver has something to do. Called on its thread.
    pub(crate) fn awake(&self) {
        self.state.lock().stop();
    }

    /// Takes the next step of the order, to no later than `limit`, or ends it.
    fn move_on(&self, limit: u64) {
        let mut state = self.state.lock();
        let Some(open) = &mut state.order else {
            return;
        };
        let until = open.order.until.map_or(u64::MAX, Instant::nanos);
        let moves = open.order.jumps > 0;
        open.order.jumps = open.order.jumps.saturating_sub(1);
        match state.first_deadline().unwrap_or(u64::MAX).min(limit) {
            deadline if moves && deadline <= until && deadline < u64::MAX => {
                state.now = state.now.max(deadline);
                let due = state.take_due();
                let driver = state.driver.clone();
                drop(state);
                // What they wake runs before the driver is idle again, which it is told to be also where they wake
                // nothing of its own: a thread of the application, or a retry of a hook.
                due.into_iter().chain(driver).for_each(Waker::wake);
            }
            _ => {
                if moves && until < u64::MAX {
                    state.now = state.now.max(until);
                }
                state.order = None;
                drop(state);
                self.carried_out.notify_all();
            }
        }
    }

    fn look_again_soon(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.recheck, true) {
            let driver = state.driver.clone();
            drop(state);
            driver.into_iter().for_each(Waker::wake);
        }
    }
}
