//! The thread that calls the application's callback with messages, and the calls that wait for it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::LogCallback;
use super::queue::Queue;
use crate::catch_panic::{catch_panic, drop_catching_panic};
use crate::env::{self, Instant};
use crate::options::LogLevel;

thread_local! {
    /// The key of the log whose thread this is; 0 on other threads.
    static LOG_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// A queue, the callback that reads it, and its thread, which is started for the first message.
#[derive(Default)]
pub(super) struct Reader {
    state: Mutex<State>,
    /// False when no callback takes messages: then they are not even formatted.
    wanted: AtomicBool,
    /// The thread waits here for messages.
    work: Condvar,
    /// Notified whenever a call or a thread has ended, or the callback has been replaced.
    quiet: Condvar,
}

/// The state behind the lock. Application code, destructors included, never runs under the lock.
#[derive(Default)]
struct State {
    queue: Queue,
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

impl State {
    /// True when no message is left to deliver and no call runs, or there is no callback.
    fn is_told(&self) -> bool {
        self.callback.is_none() || (self.queue.is_empty() && !self.calling)
    }
}

impl Reader {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Only bookkeeping happens under the lock, so the state is consistent even after a panic.
        self.state.lock()
    }

    /// Identifies this log; unique among live logs.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// True on a thread of this log, where waiting for the log would be waiting for itself.
    fn is_here(&self) -> bool {
        LOG_THREAD.try_with(Cell::get).unwrap_or(0) == self.key()
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().queue.dropped()
    }

    pub(super) fn set_callback(self: &Arc<Self>, callback: Option<LogCallback>) {
        let mut state = self.lock();
        let unused = if state.closed {
            callback
        } else {
            self.wanted.store(callback.is_some(), Ordering::Release);
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
                self.see_to_thread(&mut state);
            }
            before
        };
        drop(state);
        self.work.notify_all();
        self.quiet.notify_all();
        drop_catching_panic(unused);
    }

    pub(super) fn put(self: &Arc<Self>, level: LogLevel, text: String) {
        let mut state = self.lock();
        if state.closed || state.callback.is_none() {
            return;
        }
        state.queue.push(level, text);
        self.see_to_thread(&mut state);
        drop(state);
        self.work.notify_all();
    }

    /// Makes sure that there is a thread. If the system refuses one, the queue waits for the next message.
    fn see_to_thread(self: &Arc<Self>, state: &mut State) {
        if state.thread.is_some() {
            return;
        }
        state.last_thread += 1;
        let id = state.last_thread;
        let reader = Arc::clone(self);
        if let Ok(handle) = env::spawn_thread("ck-log", move || reader.read(id)) {
            state.thread = Some(id);
            state.running += 1;
            state.handles.retain(|handle| !handle.is_finished());
            state.handles.push(handle);
        }
    }

    /// The main loop of a thread.
    fn read(self: Arc<Self>, id: u64) {
        LOG_THREAD.set(self.key());
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
            self.quiet.notify_all();
        }
        let mut over = None;
        if state.thread == Some(id) {
            state.thread = None;
            if state.closed {
                over = state.callback.take();
            }
        }
        drop(state);
        drop_catching_panic(over);
        self.lock().running -= 1;
        self.quiet.notify_all();
    }

    pub(super) fn flush(&self, limit: Duration) {
        if !self.is_here() {
            drop(self.wait_until(limit, State::is_told));
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wanted.store(false, Ordering::Release);
        // If there is a thread, it delivers the waiting messages and then drops the callback.
        let over = match state.thread {
            Some(_) => None,
            None => {
                state.queue.abandon();
                state.callback.take()
            }
        };
        drop(state);
        self.work.notify_all();
        drop_catching_panic(over);
    }

    pub(super) fn close_within(&self, limit: Duration) {
        self.close();
        // Inside the callback this does not wait: that call is the last one.
        let limit = if self.is_here() { Duration::ZERO } else { limit };
        let mut state = self.wait_until(limit, |state| state.running == 0);
        if state.running > 0 {
            state.queue.abandon();
            return;
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        // The threads have left their loop: this waits only until the system has ended them.
        handles.into_iter().for_each(|handle| drop(handle.join()));
    }

    fn wait_until(&self, limit: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        while !done(&state) {
            let left = end.since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.quiet.wait_for(&mut state, left);
        }
        state
    }
}
