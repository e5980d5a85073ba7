//! Where messages for people go: to the application, if it wants them, and nowhere else. A library does not write
//! on its host's stdout or stderr, and takes over nobody's global logger.
//!
//! Whoever has something to say puts it in a queue, and a thread of the log's own calls the application: a callback that
//! is slow, stands still or panics holds up nothing in the node. What does not fit is dropped, counted and said.

mod queue;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub(crate) use sparse::Sparse;

use crate::options::LogLevel;
use reader::Reader;

/// The application's log callback.
///
/// Called on a thread that does nothing else (`ck-log`, one for each node), with one message after the other, in the order in
/// which they were written. It may block, and may call everything, to stop or drop its node too: nothing in the node waits for it.
/// 1,024 messages or 1 MiB of them wait at most; what comes then is dropped, and a message says how many were. What the
/// closure holds is dropped once, when no call of it runs or will.
///
/// A [`crate::ClusterKit`] in it keeps the node alive; take a [`crate::WeakClusterKit`].
pub type LogCallback = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// How long the end of a node waits for whoever reads its messages, at most.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// One node's log.
pub(crate) struct Logger {
    level: RwLock<LogLevel>,
    reader: Arc<Reader>,
}

impl Default for Logger {
    fn default() -> Self {
        Logger {
            level: RwLock::new(LogLevel::Info),
            reader: Arc::default(),
        }
    }
}

impl Logger {
    pub(crate) fn set_level(&self, level: LogLevel) {
        *self.level.write().unwrap_or_else(PoisonError::into_inner) = level;
    }

    /// Sets who is called. Waits for nobody: a call of the callback before that is under way goes on, and that callback is
    /// dropped when it returns, otherwise here. What waits is told to the new one.
    pub(crate) fn set_callback(&self, callback: Option<LogCallback>) {
        self.reader.set_callback(callback);
    }

    /// Says something. Never waits for whoever reads it.
    pub(crate) fn write(&self, level: LogLevel, message: fmt::Arguments<'_>) {
        if level <= *self.level.read().unwrap_or_else(PoisonError::into_inner) && self.reader.is_wanted() {
            self.reader.put(level, message.to_string());
        }
    }

    pub(crate) fn info(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Info, message);
    }

    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Warn, message);
    }

    /// How many messages were dropped because they were not read in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.reader.dropped()
    }

    /// Waits until everything was told, for so long at most. Inside the callback it waits for nothing.
    pub(crate) fn flush(&self, limit: Duration) {
        self.reader.flush(limit);
    }

    /// Takes no more messages. What waits is still told; then the callback is dropped and its thread ends. Waits for nobody.
    pub(crate) fn close(&self) {
        self.reader.close();
    }

    /// [`Logger::close`], and waits for that end, for so long at most; inside the callback it does not wait. After that the rest of
    /// what waits is dropped, and a call that is under way is the last one; its callback is dropped when it returns.
    pub(crate) fn close_within(&self, limit: Duration) {
        self.reader.close_within(limit);
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.close();
    }
}
