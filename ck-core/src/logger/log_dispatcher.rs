//! The thread that calls the application's callback with messages, and the calls that wait for it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::LogCallback;
use super::message_queue::MessageQueue;
use crate::catch_panic::{catch_panic, drop_catching_panic};
use crate::env::{self, Instant};
use crate::options::LogLevel;

thread_local! {
    /// The id of the log whose thread this is; 0 on other threads.
    static LOG_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// A queue of messages, the callback that takes them, and the thread that calls it, which is started for the first
/// message.
#[derive(Default)]
pub(super) struct LogDispatcher {
    state: Mutex<LogDispatcherState>,
    /// False without a callback: then messages are not even formatted.
    accepts_messages: AtomicBool,
    /// The thread waits here for messages.
    work: Condvar,
    /// Notified whenever a call or a thread has ended, or the callback has been replaced.
    progress: Condvar,
}

/// The state behind the lock. Application code, destructors included, never runs under the lock.
#[derive(Default)]
struct LogDispatcherState {
    queue: MessageQueue,
    callback: Option<LogCallback>,
    /// Id of the thread that calls the present callback. Any other thread ends as soon as its call of an earlier
    /// callback returns.
    thread: Option<u64>,
    /// True while that thread is inside the callback.
    calling: bool,
    closed: bool,
    last_thread: u64,
    /// Number of threads that have not ended.
    running: usize,
    /// Handles of the started threads that are not joined yet.
    handles: Vec<JoinHandle<()>>,
}

impl LogDispatcherState {
    /// True when no message is left to deliver and no call runs, or there is no callback.
    fn is_delivered(&self) -> bool {
        self.callback.is_none() || (self.queue.is_empty() && !self.calling)
    }
}

impl LogDispatcher {
    fn lock(&self) -> MutexGuard<'_, LogDispatcherState> {
        // Only bookkeeping happens under the lock, so the state is consistent even after a panic.
        self.state.lock()
    }

    /// Identifies this log; unique among live logs.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// True on a thread of this log, which must not wait for itself.
    fn is_on_log_thread(&self) -> bool {
        LOG_THREAD.try_with(Cell::get).unwrap_or(0) == self.id()
    }

    pub(super) fn has_callback(&self) -> bool {
        self.accepts_messages.load(Ordering::Acquire)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().queue.dropped()
    }

    pub(super) fn set_callback(self: &Arc<Self>, callback: Option<LogCallback>) {
        let mut state = self.lock();
        let unused = if state.closed {
            callback
        } else {
            self.accepts_messages.store(callback.is_some(), Ordering::Release);
            let before = std::mem::replace(&mut state.callback, callback);
            if state.callback.is_none() {
                state.queue.clear();
            }
            if state.calling {
                // The running call may never return, and the new callback must not wait for it.
                state.thread = None;
                state.calling = false;
            }
            if !state.queue.is_empty() {
                self.ensure_thread(&mut state);
            }
            before
        };
        drop(state);
        self.work.notify_all();
        self.progress.notify_all();
        drop_catching_panic(unused);
    }

    pub(super) fn enqueue(self: &Arc<Self>, level: LogLevel, text: String) {
        self.push(self.lock(), |queue| queue.push(level, text));
    }

    pub(super) fn enqueue_audit(self: &Arc<Self>, level: LogLevel, text: String) {
        self.push(self.lock(), |queue| queue.push_audit(level, text));
    }

    /// For a thread that may hold the lock itself, because it panics: gives up after a while. True when there is a callback
    /// that will be called with the message.
    pub(super) fn enqueue_within(self: &Arc<Self>, patience: Duration, level: LogLevel, text: &str) -> bool {
        let state = self.state.try_lock_for(patience);
        state.is_some_and(|state| self.push(state, |queue| queue.push(level, text.to_owned())))
    }

    fn push(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, LogDispatcherState>,
        add: impl FnOnce(&mut MessageQueue),
    ) -> bool {
        if state.closed || state.callback.is_none() {
            return false;
        }
        add(&mut state.queue);
        self.ensure_thread(&mut state);
        drop(state);
        self.work.notify_all();
        true
    }

    /// Starts a thread if there is none. If the system refuses one, the messages wait until the next one is written.
    fn ensure_thread(self: &Arc<Self>, state: &mut LogDispatcherState) {
        if state.thread.is_some() {
            return;
        }
        state.last_thread += 1;
        let id = state.last_thread;
        let dispatcher = Arc::clone(self);
        if let Ok(handle) = env::spawn_thread("ck-log", move || dispatcher.run(id)) {
            state.thread = Some(id);
            state.running += 1;
            state.handles.retain(|handle| !handle.is_finished());
            state.handles.push(handle);
        }
    }

    /// The main loop of a thread.
    fn run(self: Arc<Self>, id: u64) {
        LOG_THREAD.set(self.id());
        let mut state = self.lock();
        while state.thread == Some(id) {
            if state.callback.is_none() || (state.closed && state.queue.is_empty()) {
                break;
            }
            let Some(message) = state.queue.pop() else {
                self.work.wait(&mut state);
                continue;
            };
            let Some(callback) = state.callback.clone() else {
                break;
            };
            state.calling = true;
            drop(state);
            catch_panic(|| callback(message.level, &message.text));
            // This is the last reference when the callback was replaced meanwhile.
            drop_catching_panic(callback);
            state = self.lock();
            if state.thread == Some(id) {
                state.calling = false;
            }
            self.progress.notify_all();
        }
        let mut unused_callback = None;
        if state.thread == Some(id) {
            state.thread = None;
            if state.closed {
                unused_callback = state.callback.take();
            }
        }
        drop(state);
        drop_catching_panic(unused_callback);
        self.lock().running -= 1;
        self.progress.notify_all();
    }

    pub(super) fn flush(&self, timeout: Duration) {
        if !self.is_on_log_thread() {
            drop(self.wait_until(timeout, LogDispatcherState::is_delivered));
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.accepts_messages.store(false, Ordering::Release);
        // If there is a thread, it delivers the waiting messages and then drops the callback.
        let unused_callback = match state.thread {
            Some(_) => None,
            None => {
                state.queue.abandon();
                state.callback.take()
            }
        };
        drop(state);
        self.work.notify_all();
        drop_catching_panic(unused_callback);
    }

    pub(super) fn close_within(&self, timeout: Duration) {
        self.close();
        // Inside the callback this does not wait: that call is the last one.
        let timeout = if self.is_on_log_thread() {
            Duration::ZERO
        } else {
            timeout
        };
        let mut state = self.wait_until(timeout, |state| state.running == 0);
        if state.running > 0 {
            state.queue.abandon();
            return;
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        // The threads have left their loop: this waits only until the system has ended them.
        handles.into_iter().for_each(|handle| drop(handle.join()));
    }

    fn wait_until(
        &self,
        timeout: Duration,
        done: impl Fn(&LogDispatcherState) -> bool,
    ) -> MutexGuard<'_, LogDispatcherState> {
        let end = Instant::now() + timeout;
        let mut state = self.lock();
        while !done(&state) {
            let left = end.since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.progress.wait_for(&mut state, left);
        }
        state
    }
}
