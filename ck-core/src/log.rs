//! Where messages for people go: to the application, if it wants them, and nowhere else. A library does not write
//! on its host's stdout or stderr, and takes over nobody's global logger.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::options::LogLevel;

/// The application's log callback. Called from any of our threads; it should be quick and must not call back.
pub type LogCallback = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// One node's log.
pub(crate) struct Log {
    level: RwLock<LogLevel>,
    callback: RwLock<Option<LogCallback>>,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: RwLock::new(LogLevel::Info),
            callback: RwLock::new(None),
        }
    }
}

impl Log {
    pub(crate) fn set_level(&self, level: LogLevel) {
        *self.level.write().unwrap_or_else(PoisonError::into_inner) = level;
    }

    pub(crate) fn set_callback(&self, callback: Option<LogCallback>) {
        *self.callback.write().unwrap_or_else(PoisonError::into_inner) = callback;
    }

    pub(crate) fn write(&self, level: LogLevel, message: fmt::Arguments<'_>) {
        if level > *self.level.read().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        let callback = self
            .callback
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(callback) = callback {
            callback(level, &message.to_string());
        }
    }

    pub(crate) fn info(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Info, message);
    }

    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(LogLevel::Warn, message);
    }
}
