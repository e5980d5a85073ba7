//! The handle: the hooks, the schedule behind a lock, and the code that both drivers share.

mod closing;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::catch_panic::catch_panic;
use crate::env::Instant;
use crate::model::Event;
use crate::{Error, ErrorCode, Result};

use closing::TakenOut;

use super::config::{CopyOutcome, Driver, HooksConfig};
use super::copies::Copying;
use super::deferred::DeferredCall;
use super::job::{CallId, Effect, RetryId};
use super::queue::{change_of, is_own_gain};
use super::schedule::Schedule;
use super::threads::ThreadPool;
use super::types::{EventFilter, Hook, HookId, HookStats, Outcome, Rejected};
use super::{scope, tasks};

/// The result of [`Hooks::unregister`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unregistered {
    /// No call of the hook runs or will run.
    Now,
    /// No further call starts. A running call continues, because waiting for it here could block forever; the hook is
    /// dropped when it returns.
    AfterCall,
    /// There is no such hook, or not any more.
    Unknown,
}

/// The hooks of one cluster handle. Dropping it prevents further calls and does not wait for running ones.
#[derive(Debug)]
pub struct Hooks {
    shared: Arc<HooksShared>,
}

/// The state shared by the handle and its running calls.
pub(super) struct HooksShared {
    pub(super) config: HooksConfig,
    state: Mutex<HooksState>,
    /// Idle threads wait here for a call to make.
    pub(super) work: Condvar,
    /// Notified whenever a call or a thread has ended, or removed hooks have been dropped.
    quiet: Condvar,
    quiet_async: Notify,
    /// False only while no hook is registered and no gain is unconfirmed: pushing takes no lock then.
    concerned: AtomicBool,
    closed: AtomicBool,
    pub(super) copying: Arc<Copying>,
}

impl fmt::Debug for HooksShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HooksShared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The state behind the lock, which is held for bookkeeping only, never while application code runs.
pub(super) struct HooksState {
    pub(super) schedule: Schedule<Hook>,
    pub(super) pool: ThreadPool,
    pub(super) closed: bool,
    /// Running calls of deferred hooks whose function has returned.
    detached: HashMap<CallId, Weak<DeferredCall>>,
    /// Number of [`TakenOut`] that still have to drop their hooks. The handle is not quiet before this is 0.
    dropping: usize,
}

impl HooksShared {
    /// Identifies this handle for [`scope`]; unique among live handles.
    pub(super) fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HooksState> {
        // Application code never runs under the lock, so the state is consistent even after a panic.
        self.state.lock()
    }

    /// Carries out what a change of the schedule requires: its effects, and the calls that may start now.
    pub(super) fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, HooksState>) {
        let effects = state.schedule.take_effects();
        match &self.config.driver {
            Driver::Threads(_) => {
                let retries = self.split_retries(effects, |id, delay| state.pool.add_timer(id, delay));
                self.wake_thread(state);
                self.tell(retries);
            }
            Driver::Tasks => {
                let jobs = state.schedule.next_ready(usize::MAX);
                drop(state);
                let told = self.split_retries(effects, |id, delay| tasks::spawn_retry(self, id, delay));
                tasks::spawn_calls(self, jobs);
                self.tell(told);
            }
        }
    }

    fn split_retries(&self, effects: Vec<Effect>, mut retry: impl FnMut(RetryId, Duration)) -> Vec<Effect> {
        let mut others = Vec::new();
        for effect in effects {
            match effect {
                Effect::RetryAfter(id, delay) => retry(id, delay),
                other => others.push(other),
            }
        }
        others
    }

    fn tell(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Copied(event) => self.tell_copied(&event, CopyOutcome::Confirmed),
                Effect::Unheard(event) => self.tell_copied(&event, CopyOutcome::Unheard),
                Effect::Abandoned(event) => self.tell_copied(&event, CopyOutcome::Abandoned),
                Effect::Failed(failure) => catch_panic(|| self.config.host.failed(failure)),
                Effect::RetryAfter(..) => {}
            }
        }
    }

    fn tell_copied(&self, event: &Event, outcome: CopyOutcome) {
        if let Some(change) = change_of(event) {
            catch_panic(|| self.config.host.copied(change, event.revision, outcome));
        }
    }

    /// The call of a task has ended, and everything of the application that it held is dropped.
    pub(super) fn call_ended(self: &Arc<Self>, call_id: CallId, outcome: Outcome) {
        let cancelled = outcome == Outcome::Cancelled;
        let mut state = self.lock();
        state.detached.remove(&call_id);
        state.schedule.finished(call_id, outcome);
        if cancelled {
            // The runtime is dropping its tasks: the next call cannot be spawned.
            let mut effects = state.schedule.take_effects();
            if state.closed {
                // A handle that was closed has let go of its calls: that is no failure of theirs.
                effects.retain(|effect| !matches!(effect, Effect::Failed(_)));
            }
            drop(state);
            self.tell(effects);
        } else {
            self.settle(state);
        }
        self.signal_quiet();
    }

    /// The function of a deferred hook has returned, its call goes on. True when the handle is closed.
    pub(super) fn detach(&self, call_id: CallId, call: &Arc<DeferredCall>) -> bool {
        let mut state = self.lock();
        state.detached.insert(call_id, Arc::downgrade(call));
        let closed = state.closed;
        drop(state);
        self.signal_quiet();
        closed
    }

    pub(super) fn signal_quiet(&self) {
        self.quiet.notify_all();
        self.quiet_async.notify_waiters();
    }
}

impl HooksState {
    /// Number of calls of a hook whose function has not returned, or whose future is not done.
    fn calls_of(&self, id: HookId) -> usize {
        let detached = self.detached.values().filter_map(Weak::upgrade);
        let detached = detached.filter(|call| call.hook_id() == id).count();
        self.schedule.calls_of(id).saturating_sub(detached)
    }
}

impl Hooks {
    /// A handle without hooks. Starts no thread and no task.
    pub fn new(config: HooksConfig) -> Self {
        let schedule = Schedule::new(Arc::clone(&config.node_id), config.concurrency, config.high_water);
        let shared = HooksShared {
            config,
            state: Mutex::new(HooksState {
                schedule,
                pool: ThreadPool::default(),
                closed: false,
                detached: HashMap::new(),
                dropping: 0,
            }),
            work: Condvar::new(),
            quiet: Condvar::new(),
            quiet_async: Notify::new(),
            concerned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            copying: Arc::default(),
        };
        Hooks {
            shared: Arc::new(shared),
        }
    }

    /// Adds a hook for the events that `filter` accepts and that are pushed from now on. Any number of hooks may be
    /// registered for one event. Never blocks; allowed inside a hook.
    ///
    /// # Errors
    /// `STOPPED` after [`Hooks::close`]; the hook is dropped.
    pub fn register(&self, filter: EventFilter, hook: Hook) -> Result<HookId> {
        self.add(hook, |schedule, hook| schedule.register(filter, hook))
            .map_err(Rejected::into_error)
    }

    /// Adds a hook that observes every event, one after the other: no other call waits for it, and its result confirms
    /// no copy.
    ///
    /// # Errors
    /// As [`Hooks::register`].
    pub fn observe(&self, hook: Hook) -> Result<HookId> {
        self.try_observe(hook).map_err(Rejected::into_error)
    }

    /// [`Hooks::observe`], whose error gives the hook back.
    ///
    /// # Errors
    /// As [`Hooks::register`].
    pub(crate) fn try_observe(&self, hook: Hook) -> Result<HookId, Rejected> {
        self.add(hook, |schedule, hook| schedule.observe(EventFilter::ALL, hook))
    }

    /// Adds a hook and first delivers `before` to it, and to no other hook.
    ///
    /// # Errors
    /// As [`Hooks::register`]; the error gives the hook back.
    pub(crate) fn register_after(
        &self,
        filter: EventFilter,
        hook: Hook,
        before: Vec<Arc<Event>>,
    ) -> Result<HookId, Rejected> {
        self.add(hook, |schedule, hook| {
            let id = schedule.register(filter, hook);
            schedule.tell(id, before);
            id
        })
    }

    fn add(
        &self,
        hook: Hook,
        register: impl FnOnce(&mut Schedule<Hook>, Hook) -> HookId,
    ) -> Result<HookId, Rejected> {
        let shared = &self.shared;
        let mut state = shared.lock();
        if state.closed {
            let error = Error::new(ErrorCode::Stopped, "the node has stopped: no hook can be added");
            return Err(Rejected { error, hook });
        }
        let id = register(&mut state.schedule, hook);
        shared.concerned.store(true, Ordering::Release);
        shared.settle(state);
        Ok(id)
    }

    /// The partitions that the application is copying.
    pub(crate) fn copying(&self) -> &Arc<Copying> {
        &self.shared.copying
    }

    /// True when a hook is registered whose success confirms copies.
    pub(crate) fn has_copier(&self) -> bool {
        self.shared.lock().schedule.has_copier()
    }

    /// Removes a hook. No further call of it starts.
    ///
    /// For a blocking hook this waits for running calls, however long they take, and drops the hook before it returns:
    /// [`Unregistered::Now`]. It does not wait inside a hook of this handle (the removed hook, or another that it may
    /// wait for), with [`Driver::Tasks`], or when the hook is async (its call may need the calling thread to make
    /// progress): [`Unregistered::AfterCall`] when a call still runs. [`Hooks::unregistered`] waits for that call,
    /// where waiting is possible.
    pub fn unregister(&self, id: HookId) -> Unregistered {
        self.unregister_within(id, None)
    }

    /// [`Hooks::unregister`], which waits for at most `timeout`: [`Unregistered::AfterCall`] when a call still runs then.
    pub fn unregister_within(&self, id: HookId, timeout: Option<Duration>) -> Unregistered {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let shared = &self.shared;
        let mut state = shared.lock();
        let Some(hook) = state.schedule.unregister(id) else {
            return Unregistered::Unknown;
        };
        state.dropping += 1;
        let taken_out = TakenOut {
            shared,
            hooks: vec![hook],
        };
        shared
            .concerned
            .store(state.schedule.is_concerned(), Ordering::Release);
        // Calls that waited for the removed hook may start now, and must not be held up while this waits.
        shared.settle(state);
        let threads = matches!(shared.config.driver, Driver::Threads(_));
        let blocking = matches!(taken_out.hooks[..], [Hook::Blocking(_) | Hook::Deferred(_)]);
        let may_wait = threads && blocking && !self.in_hook();
        let mut state = shared.lock();
        while may_wait && state.calls_of(id) > 0 {
            match deadline.map(|deadline| deadline.since(Instant::now())) {
                None => shared.quiet.wait(&mut state),
                Some(left) if left.is_zero() => break,
                Some(left) => drop(shared.quiet.wait_for(&mut state, left)),
            }
        }
        let running = state.calls_of(id) > 0;
        drop(state);
        drop(taken_out);
        if running {
            Unregistered::AfterCall
        } else {
            Unregistered::Now
        }
    }

    /// Waits until no call of a removed hook runs. Inside that hook it would wait for itself.
    pub async fn unregistered(&self, id: HookId) {
        self.wait_until(|state| state.calls_of(id) == 0).await;
    }

    /// Adds the next event of the log. Never blocks and never runs a hook: calls are made elsewhere, so this may be
    /// called under a lock that a hook takes too.
    ///
    /// If no hook is registered for it, a gain of this node is confirmed within this call.
    pub fn push(&self, event: Arc<Event>) {
        self.push_batch([event]);
    }

    /// Adds several events of the log, in order: as [`Hooks::push`] for each, but the lock is taken once.
    pub fn push_batch(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let shared = &self.shared;
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        if !shared.concerned.load(Ordering::Acquire) {
            let own = |event: &Arc<Event>| is_own_gain(event, &shared.config.node_id);
            events
                .into_iter()
                .filter(own)
                .for_each(|event| shared.tell_copied(&event, CopyOutcome::Unheard));
            return;
        }
        let mut state = shared.lock();
        if state.closed {
            return;
        }
        for event in events {
            state.schedule.push(event);
        }
        shared.settle(state);
    }

    /// True while the calling thread, or the task that it polls, is inside a hook of this handle. Calls that wait for
    /// hooks then answer `IN_HOOK`.
    pub fn in_hook(&self) -> bool {
        scope::inside(self.shared.key())
    }

    /// Statistics of each registration, in the order of registration.
    pub fn stats(&self) -> Vec<HookStats> {
        self.shared.lock().schedule.stats()
    }

    /// What the hooks do at this moment.
    #[cfg(feature = "testing")]
    pub(crate) fn activity(&self) -> crate::env::test_cluster::HookActivity {
        let state = self.shared.lock();
        crate::env::test_cluster::HookActivity {
            ready: match state.closed {
                false => state.schedule.has_ready(),
                // Hooks that are being dropped, and threads that end, take real time, too.
                true => state.schedule.running() == 0 && !state.is_quiet(),
            },
            running: state.schedule.running_ids().map(|call| call.0).collect(),
            next_retry: state.pool.next_due(),
        }
    }

    /// Number of threads of the handle.
    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        self.shared.lock().pool.threads()
    }

    /// Blocks until the handle has this many threads or fewer.
    #[cfg(test)]
    pub(super) fn wait_for_threads(&self, at_most: usize) {
        let mut state = self.shared.lock();
        self.shared
            .quiet
            .wait_while(&mut state, |state| state.pool.threads() > at_most);
    }
}
