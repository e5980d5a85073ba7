//! How the hooks of a handle end: no further call, the hooks dropped, the threads joined.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::scope;
use super::super::types::Hook;
use super::{Hooks, HooksShared, HooksState};
use crate::catch_panic::drop_catching_panic;
use crate::env::{self, Instant};
use crate::{Error, ErrorCode, Result};

/// How many calls that do not return an error names.
const MAX_NAMED_CALLS: usize = 5;

/// Hooks that were removed from the schedule. Dropping this drops them outside of the lock and marked as inside a hook:
/// they belong to the application, and their destructors may use the handle, but must not wait for a close that waits
/// for them.
pub(super) struct TakenOut<'a> {
    pub(super) shared: &'a HooksShared,
    pub(super) hooks: Vec<Hook>,
}

impl Drop for TakenOut<'_> {
    fn drop(&mut self) {
        let scope = scope::enter(self.shared.key());
        self.hooks.drain(..).for_each(drop_catching_panic);
        drop(scope);
        self.shared.lock().dropping -= 1;
        self.shared.signal_quiet();
    }
}

impl HooksShared {
    /// Prevents further calls and returns the hooks, for the caller to drop outside of the lock.
    fn shut(&self) -> TakenOut<'_> {
        let mut state = self.lock();
        state.closed = true;
        state.dropping += 1;
        self.closed.store(true, Ordering::Release);
        self.concerned.store(false, Ordering::Release);
        let hooks = state.schedule.clear();
        state.pool.timers.clear();
        let detached: Vec<_> = state.detached.values().filter_map(Weak::upgrade).collect();
        drop(state);
        detached.iter().for_each(|call| call.cancel());
        self.work.notify_all();
        TakenOut { shared: self, hooks }
    }
}

impl Hooks {
    /// Prevents further calls and drops the hooks that no call uses. Never waits, and is allowed inside a hook. Running
    /// calls continue, and their hooks are dropped when they return. Events that were pushed and not delivered are
    /// discarded.
    pub fn shut(&self) {
        drop(self.shared.shut());
    }

    /// [`Hooks::shut`], then waits at most `timeout` for running calls: after `Ok` no hook runs or will run, every hook
    /// is dropped and every thread has ended. May be called again. Blocks the calling thread: use
    /// [`Hooks::close_async`] with [`Driver::Tasks`](crate::hooks::Driver::Tasks).
    ///
    /// # Errors
    /// `IN_HOOK` inside a hook of this handle; nothing has changed then. `TIMEOUT` when calls still run: they continue,
    /// and no other starts.
    pub fn close(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook()?;
        let shared = &self.shared;
        drop(shared.shut());
        let deadline = Instant::now() + timeout;
        let mut state = shared.lock();
        while !state.is_quiet() {
            let left = deadline.since(Instant::now());
            if left.is_zero() {
                break;
            }
            shared.quiet.wait_for(&mut state, left);
        }
        let closed = Self::closed(&mut state);
        let quiet = state.is_quiet();
        drop(state);
        if quiet {
            // The threads have left their loop: this waits only until the system has ended them.
            self.join_threads();
        }
        closed
    }

    /// [`Hooks::close`] for async code.
    ///
    /// # Errors
    /// As [`Hooks::close`].
    pub async fn close_async(&self, timeout: Duration) -> Result<()> {
        self.refuse_in_hook()?;
        drop(self.shared.shut());
        // The state shows whether it was in time.
        let _ = env::timeout(timeout, self.wait_until(HooksState::is_quiet)).await;
        Self::closed(&mut self.shared.lock())
    }

    /// Joins the threads that have left their loop; it does not wait for threads that still run.
    pub(crate) fn join_threads(&self) {
        let ended = self.shared.lock().pool.take_ended();
        ended.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn refuse_in_hook(&self) -> Result<()> {
        if self.in_hook() {
            let message = "a hook cannot wait for the hooks to end: it is one of them";
            return Err(Error::new(ErrorCode::InHook, message));
        }
        Ok(())
    }

    fn closed(state: &mut HooksState) -> Result<()> {
        if state.is_quiet() {
            return Ok(());
        }
        let running = state.schedule.running();
        let message = match running {
            0 => "hooks are still being dropped".to_owned(),
            1 => format!("{} has not returned", state.schedule.running_calls(1)),
            _ => format!(
                "{running} calls of hooks have not returned: {}",
                state.schedule.running_calls(MAX_NAMED_CALLS)
            ),
        };
        Err(Error::new(ErrorCode::Timeout, message))
    }

    pub(super) async fn wait_until(&self, done: impl Fn(&HooksState) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.shared.quiet_async.notified());
            // Registered before the state is checked, so that no notification is lost in between.
            changed.as_mut().enable();
            if done(&self.shared.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.shut();
    }
}

impl HooksState {
    /// True when no call runs or will run, no hook is left to drop, and no thread is left.
    pub(super) fn is_quiet(&self) -> bool {
        self.closed && self.schedule.running() == 0 && self.pool.threads() == 0 && self.dropping == 0
    }
}
