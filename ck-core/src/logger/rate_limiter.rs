//! Rate limit for log messages about events that unknown clients can cause at any rate.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::Instant;
use crate::error::ErrorCode;

/// The shortest time between two messages with the same reason.
const MIN_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Prevents that events which unknown clients can cause at any rate fill the log: at most one message a second for each
/// reason. The next message says how many were left out.
#[derive(Default)]
pub(crate) struct LogRateLimiter {
    /// For each reason, when it was logged last, and how many events were left out since.
    last_logged: Mutex<BTreeMap<i32, (Instant, u64)>>,
}

impl LogRateLimiter {
    /// `Some` when an event with this reason is to be logged, with text about the events that were left out before.
    pub(crate) fn admit(&self, reason: ErrorCode) -> Option<String> {
        let mut last_logged = self.last_logged.lock();
        let now = Instant::now();
        match last_logged.get_mut(&reason.number()) {
            Some((last, left_out)) if now.since(*last) < MIN_LOG_INTERVAL => {
                *left_out += 1;
                None
            }
            before => {
                let left_out = before.map_or(0, |(_, left_out)| *left_out);
                last_logged.insert(reason.number(), (now, 0));
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
    fn each_reason_is_logged_once_a_second_at_most() {
        let limiter = LogRateLimiter::default();
        let first = limiter.admit(ErrorCode::WrongCluster);
        let next: Vec<_> = (0..5).map(|_| limiter.admit(ErrorCode::WrongCluster)).collect();
        assert_eq!((first, next), (Some(String::new()), vec![None; 5]));
        assert_eq!(limiter.admit(ErrorCode::DuplicateNode), Some(String::new()));
        // Simulates that the second has passed.
        let long_ago = Instant::now() - MIN_LOG_INTERVAL;
        limiter
            .last_logged
            .lock()
            .get_mut(&ErrorCode::WrongCluster.number())
            .unwrap()
            .0 = long_ago;
        let later = limiter.admit(ErrorCode::WrongCluster).unwrap();
        assert!(later.contains("5 more"), "{later}");
    }
}
