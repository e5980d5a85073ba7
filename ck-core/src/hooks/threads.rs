//! The thread driver: a pool that grows with the number of concurrent calls and shrinks when idle.
//!
//! All threads are equal. Each takes the next call from the schedule; when another call is ready and no thread is idle,
//! it starts a thread for that call before it begins its own. The schedule bounds the number of running calls, and so
//! the number of threads. One thread is permanent, so that an ordinary event starts no thread. While a retry waits for
//! its delay, one thread is kept free to watch the timer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::env::{self, Instant};

#[cfg(feature = "testing")]
use super::call::refuse_call;
use super::call::{call_here, poll_here};
use super::config::Driver;
use super::deferred::begin_here;
use super::handle::{HooksShared, HooksState};
use super::job::{Job, RetryId};
use super::scope;
use super::types::{Hook, Outcome};

/// The threads of one handle and the retry timers that they watch.
#[derive(Debug, Default)]
pub(super) struct ThreadPool {
    /// Threads that run or are being started; the join handle is set when the start has returned.
    threads: HashMap<u64, Option<JoinHandle<()>>>,
    /// Threads that have ended because the handle was closed, and are not joined yet.
    ended: Vec<JoinHandle<()>>,
    last_thread: u64,
    /// Number of threads that wait for work or are about to look for it.
    idle: usize,
    /// True once there is a permanent thread, which does not end when idle.
    has_permanent: bool,
    pub(super) timers: BinaryHeap<Reverse<(Instant, RetryId)>>,
}

impl ThreadPool {
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }

    pub(super) fn add_timer(&mut self, id: RetryId, delay: Duration) {
        self.timers.push(Reverse((Instant::now() + delay, id)));
    }

    /// The threads that have ended and have not been joined.
    pub(super) fn take_ended(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.ended)
    }

    /// The time until the next timer is due.
    fn next_timer(&self) -> Option<Duration> {
        Some(self.next_due()?.since(Instant::now()))
    }

    /// When the next timer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let Reverse((due, _)) = self.timers.peek()?;
        Some(*due)
    }
}

impl HooksState {
    fn fire_timers(&mut self) {
        while self.pool.next_timer().is_some_and(|left| left.is_zero()) {
            if let Some(Reverse((_, id))) = self.pool.timers.pop() {
                self.schedule.retry_due(id);
            }
        }
    }

    /// How long an idle thread waits: `Err` when it should end instead, `Ok(None)` until it is woken.
    fn patience(&self, permanent: bool, idle_left: Duration) -> Result<Option<Duration>, ()> {
        let timer = self.pool.next_timer();
        let watches_clock = timer.is_some() && self.pool.idle == 0;
        if permanent || watches_clock {
            Ok(timer)
        } else if idle_left.is_zero() {
            Err(())
        } else {
            Ok(Some(timer.map_or(idle_left, |timer| timer.min(idle_left))))
        }
    }
}

impl HooksShared {
    /// Makes sure that a thread looks for ready calls and watches the timers: wakes an idle one, or starts one.
    pub(super) fn wake_thread(self: &Arc<Self>, mut state: MutexGuard<'_, HooksState>) {
        let wanted = !state.closed && (!state.pool.timers.is_empty() || state.schedule.has_ready());
        if !wanted {
            return;
        }
        if state.pool.idle > 0 {
            drop(state);
            self.work.notify_one();
            return;
        }
        state.pool.last_thread += 1;
        let id = state.pool.last_thread;
        state.pool.threads.insert(id, None);
        state.pool.idle += 1;
        drop(state);
        let shared = Arc::clone(self);
        let started = env::spawn_thread("ck-hooks", move || shared.work(id));
        let mut state = self.lock();
        match started {
            Ok(thread) => {
                // Without an entry the thread has ended already and needs no join.
                if let Some(entry) = state.pool.threads.get_mut(&id) {
                    *entry = Some(thread);
                }
            }
            Err(_) => {
                // The system refused a thread. Ready calls wait for a running thread, or for the next event, which
                // tries again.
                state.pool.threads.remove(&id);
                state.pool.idle -= 1;
                drop(state);
                self.signal_quiet();
            }
        }
    }

    /// The main loop of a pool thread.
    fn work(self: Arc<Self>, id: u64) {
        scope::this_is_a_hook_thread();
        let mut state = self.lock();
        state.pool.idle -= 1;
        let permanent = !std::mem::replace(&mut state.pool.has_permanent, true);
        let mut idle_since = Instant::now();
        while !state.closed {
            #[cfg(feature = "testing")]
            if let Some(pause) = env::test_cluster::pause_left() {
                // Idle, so that no other thread is started for the calls that wait.
                state.pool.idle += 1;
                self.work.wait_for(&mut state, pause);
                state.pool.idle -= 1;
                continue;
            }
            state.fire_timers();
            if let Some(job) = state.schedule.next_ready(1).pop() {
                // Before the call, which may keep this thread busy for an unbounded time.
                self.wake_thread(state);
                self.perform(job);
                state = self.lock();
                state.pool.idle -= 1;
                idle_since = Instant::now();
                continue;
            }
            let idle_left = self.config.thread_idle.saturating_sub(idle_since.elapsed());
            let Ok(patience) = state.patience(permanent, idle_left) else {
                break;
            };
            state.pool.idle += 1;
            match patience {
                Some(time) => {
                    #[cfg(feature = "testing")]
                    let time = env::test_cluster::bounded_wait(time);
                    self.work.wait_for(&mut state, time);
                }
                None => self.work.wait(&mut state),
            }
            state.pool.idle -= 1;
        }
        let thread = state.pool.threads.remove(&id).flatten();
        if state.closed {
            state.pool.ended.extend(thread);
        }
        drop(state);
        self.signal_quiet();
    }

    /// Makes a call. The thread counts as idle when this returns, because it looks for the next call itself.
    fn perform(self: &Arc<Self>, job: Job<Hook>) {
        let (hook, job) = job.without_hook();
        let call_id = job.call_id;
        let outcome = match (hook, &self.config.driver) {
            #[cfg(feature = "testing")]
            (hook, _) if !env::test_cluster::admit_hook_call() => Some(refuse_call(self, hook)),
            (Hook::Blocking(hook), _) => Some(call_here(self, hook, job.event)),
            (Hook::Async(hook), Driver::Threads(runtime)) => Some(poll_here(self, runtime, hook, job.event)),
            (Hook::Deferred(hook), _) => {
                begin_here(self, hook, job);
                None
            }
            // Unreachable: the task driver has no threads.
            (Hook::Async(_), Driver::Tasks) => Some(Outcome::Cancelled),
        };
        let mut state = self.lock();
        state.pool.idle += 1;
        if let Some(outcome) = outcome {
            state.schedule.finished(call_id, outcome);
        }
        self.settle(state);
        self.signal_quiet();
    }
}
