//! What the threads of the library have to tell JavaScript: one queue for each handle, and one wake-up for all that waits in it.

use std::collections::VecDeque;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, sys};
use parking_lot::Mutex;

use crate::error::{self as js, refused};

/// How many messages JavaScript takes at a time, before other work of its loop has a turn.
const MAX_BATCH: usize = 512;
/// How many log messages wait for a loop that does not turn; the oldest are lost beyond that.
const MAX_LOGS: usize = 1024;

/// Wakes the event loop of the handle's environment. Weak, so that it does not keep the process alive, and at most one call of
/// it is on its way: [`MailboxState::is_woken`].
type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// The messages of one handle. The front's `Mailbox` reads them.
pub(crate) struct Mailbox {
    state: Mutex<MailboxState>,
    wake: Wake,
}

#[derive(Default)]
struct MailboxState {
    /// Each the JSON of an array: what it is, and what belongs to it.
    waiting: VecDeque<String>,
    logs: VecDeque<String>,
    lost_logs: u64,
    is_woken: bool,
    is_closed: bool,
}

impl Mailbox {
    /// A mailbox whose environment is woken by `wake`, a function that drains it.
    pub(crate) fn new(wake: &Function<'_, (), ()>) -> js::Result<Self> {
        let builder = wake.build_threadsafe_function::<()>();
        let builder = builder
            .callee_handled::<false>()
            .weak::<true>()
            .max_queue_size::<1>();
        Ok(Mailbox {
            state: Mutex::default(),
            wake: builder.build().map_err(|error| refused(&error))?,
        })
    }

    /// Leaves a message. False where nobody reads any more.
    pub(crate) fn post(&self, message: String) -> bool {
        self.add(|state| state.waiting.push_back(message))
    }

    /// Leaves a log message, for which an older one makes room where the loop does not turn.
    pub(crate) fn post_log(&self, message: String) {
        self.add(|state| {
            if state.logs.len() == MAX_LOGS {
                state.logs.pop_front();
                state.lost_logs += 1;
            }
            state.logs.push_back(message);
        });
    }

    fn add(&self, add: impl FnOnce(&mut MailboxState)) -> bool {
        {
            let mut state = self.state.lock();
            if state.is_closed {
                return false;
            }
            add(&mut state);
            if std::mem::replace(&mut state.is_woken, true) {
                return true;
            }
        }
        self.call();
        true
    }

    fn call(&self) {
        // An environment that is going away takes none, and has no reader any more.
        let _ = self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// The messages that wait, as the JSON of an array. What is left is told in a further turn of the loop.
    pub(crate) fn drain(&self) -> String {
        let mut batch = String::from("[");
        let is_more = {
            let mut state = self.state.lock();
            if state.lost_logs > 0 {
                let lost = std::mem::take(&mut state.lost_logs);
                batch.push_str(&format!(
                    "[\"log\",\"warn\",\"{lost} log messages were lost: the event loop was busy\"],"
                ));
            }
            let logs = state.logs.len().min(MAX_BATCH);
            let calls = state.waiting.len().min(MAX_BATCH);
            for message in state.logs.drain(..logs).collect::<Vec<_>>() {
                batch.push_str(&message);
                batch.push(',');
            }
            for message in state.waiting.drain(..calls) {
                batch.push_str(&message);
                batch.push(',');
            }
            state.is_woken = !state.waiting.is_empty() || !state.logs.is_empty();
            state.is_woken
        };
        if is_more {
            self.call();
        }
        if batch.ends_with(',') {
            batch.pop();
        }
        batch.push(']');
        batch
    }

    /// Takes no further message, and drops those that wait.
    pub(crate) fn close(&self) {
        let left = {
            let mut state = self.state.lock();
            state.is_closed = true;
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.logs),
            )
        };
        drop(left);
    }

    /// Makes the mailbox keep the process alive, or not. On the thread of the environment.
    pub(crate) fn hold_process(&self, env: Env, hold: bool) {
        // SAFETY: the environment calls this on its thread, and the function lives as long as the mailbox: its environment
        // has not ended while it runs JavaScript.
        unsafe {
            if hold {
                sys::napi_ref_threadsafe_function(env.raw(), self.wake.raw());
            } else {
                sys::napi_unref_threadsafe_function(env.raw(), self.wake.raw());
            }
        }
    }
}
