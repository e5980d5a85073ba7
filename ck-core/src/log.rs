//! Where messages for people go: to the application, if it wants them, and nowhere else. A library does not write
//! on its host's stdout or stderr, and takes over nobody's global logger.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::env::Instant;
use crate::error::ErrorCode;
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
/// How often what strangers cause is told, for each reason.
const SPARSELY: Duration = Duration::from_secs(1);

/// Keeps what strangers can cause as often as they like from filling the log: one message a second for each reason. The
/// next one says how many were left out.
#[derive(Default)]
pub(crate) struct Sparse {
    /// When each reason was told last, and how many were not since.
    told: Mutex<BTreeMap<i32, (Instant, u64)>>,
}

impl Sparse {
    /// True when something with this reason is to be told; then with words for those that were left out before.
    pub(crate) fn admit(&self, reason: ErrorCode) -> Option<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match told.get_mut(&reason.number()) {
            Some((last, left_out)) if now.since(*last) < SPARSELY => {
                *left_out += 1;
                None
            }
            before => {
                let left_out = before.map_or(0, |(_, left_out)| *left_out);
                told.insert(reason.number(), (now, 0));
                Some(match left_out {
                    0 => String::new(),
                    n => format!(" (and {n} more for such a reason since the last time)"),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_a_second_at_most() {
        let sparse = Sparse::default();
        let first = sparse.admit(ErrorCode::WrongCluster);
        let next: Vec<_> = (0..5).map(|_| sparse.admit(ErrorCode::WrongCluster)).collect();
        assert_eq!((first, next), (Some(String::new()), vec![None; 5]));
        assert_eq!(sparse.admit(ErrorCode::DuplicateNode), Some(String::new()));
        // As if the second had passed.
        let long_ago = Instant::now() - SPARSELY;
        sparse
            .told
            .lock()
            .unwrap()
            .get_mut(&ErrorCode::WrongCluster.number())
            .unwrap()
            .0 = long_ago;
        let later = sparse.admit(ErrorCode::WrongCluster).unwrap();
        assert!(later.contains("5 more"), "{later}");
    }
}
