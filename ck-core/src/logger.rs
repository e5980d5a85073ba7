//! The node's log: messages go to the application's log callback, if there is one, and nowhere else. A library does not
//! write to its host's stdout or stderr, and does not take over its global logger.
//!
//! Messages are put in a queue, and a thread of the log calls the application: a callback that is slow, hangs or panics
//! delays nothing in the node. Messages that do not fit are dropped and counted, and a message says how many were.

mod audit;
mod log_dispatcher;
mod message_queue;
mod panic_log;
mod rate_limiter;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub use panic_log::send_panics_to_logs;
pub(crate) use rate_limiter::LogRateLimiter;

use crate::options::LogLevel;
use log_dispatcher::LogDispatcher;

/// The application's log callback.
///
/// Called on a thread that does nothing else (`ck-log`, one for each node or client), with one message after the other, in the
/// order in which they were written. It may block, and may call any function, including those that stop or drop its
/// node: nothing in the node waits for it, except a stop for at most 1 s. At most 1,024 messages or 1 MiB of them wait;
/// further ones are dropped, and a message says how many were. What the closure captures is dropped once, when no call
/// of it runs or will run.
///
/// A [`crate::ClusterKit`] in it keeps the node alive; capture a [`crate::WeakClusterKit`] instead.
pub type LogCallback = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// How long stopping or closing a node waits for the log callback, at most.
pub(crate) const LOG_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most messages that wait for the first callback.
const MAX_EARLY_MESSAGES: usize = 16;

/// One node's log.
pub(crate) struct Logger {
    level: RwLock<LogLevel>,
    dispatcher: Arc<LogDispatcher>,
    /// What waits for the first callback; `None` where nothing does.
    early: Mutex<Option<Vec<(LogLevel, String)>>>,
}

impl Default for Logger {
    fn default() -> Self {
        Logger {
            level: RwLock::new(LogLevel::Info),
            dispatcher: Arc::default(),
            early: Mutex::default(),
        }
    }
}

impl Logger {
    /// A log that keeps its first messages for the first callback: for what begins to work before there can be one.
    pub(crate) fn keeping_first() -> Self {
        let logger = Logger::default();
        *logger.early.lock() = Some(Vec::new());
        logger
    }

    pub(crate) fn set_level(&self, level: LogLevel) {
        *self.level.write() = level;
    }

    /// Sets the callback. Never waits: a running call of the previous callback continues, and that callback is dropped
    /// when the call returns, otherwise here. Waiting messages go to the new callback.
    pub(crate) fn set_callback(&self, callback: Option<LogCallback>) {
        let early = callback.as_ref().and_then(|_| self.early.lock().take());
        let is_set = callback.is_some();
        self.dispatcher.set_callback(callback);
        if is_set {
            panic_log::add(&self.dispatcher);
        }
        for (level, message) in early.into_iter().flatten() {
            self.dispatcher.enqueue(level, message);
        }
    }

    /// Writes a message. Never waits for the callback.
    pub(crate) fn write(&self, level: LogLevel, message: fmt::Arguments<'_>) {
        self.write_by(LogDispatcher::enqueue, level, message);
    }

    /// Writes a line of the audit about something that was changed: an Info message for which places are kept.
    fn write_audit(&self, message: fmt::Arguments<'_>) {
        self.write_by(LogDispatcher::enqueue_audit, LogLevel::Info, message);
    }

    fn write_by(
        &self,
        enqueue: fn(&Arc<LogDispatcher>, LogLevel, String),
        level: LogLevel,
        message: fmt::Arguments<'_>,
    ) {
        if level > *self.level.read() {
            return;
        }
        if self.dispatcher.has_callback() {
            enqueue(&self.dispatcher, level, message.to_string());
        } else if let Some(early) = &mut *self.early.lock()
            && early.len() < MAX_EARLY_MESSAGES
        {
            early.push((level, message.to_string()));
        }
    }

    pub(crate) fn info(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Info, message);
    }

    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Warn, message);
    }

    /// Number of messages that were dropped because the callback did not take them in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.dispatcher.dropped()
    }

    /// Waits until every message is delivered, at most for `timeout`. Inside the callback it does not wait.
    pub(crate) fn flush(&self, timeout: Duration) {
        self.dispatcher.flush(timeout);
    }

    /// Takes no more messages. Waiting messages are still delivered; then the callback is dropped and its thread ends.
    /// Does not wait.
    pub(crate) fn close(&self) {
        self.dispatcher.close();
    }

    /// [`Logger::close`], and waits until the thread has ended, at most for `timeout`; inside the callback it does not wait.
    /// After the timeout the remaining messages are dropped, and a running call is the last one; its callback is dropped
    /// when it returns.
    pub(crate) fn close_within(&self, timeout: Duration) {
        self.dispatcher.close_within(timeout);
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.close();
    }
}
