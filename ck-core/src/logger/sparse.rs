//! Rate limit for log messages about events that unknown clients can cause as often as they like.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::Instant;
use crate::error::ErrorCode;

/// The shortest time between two messages with the same reason.
const SPARSELY: Duration = Duration::from_secs(1);

/// Keeps events that unknown clients can cause as often as they like from filling the log: at most one message a second
/// for each reason. The next message says how many were left out.
#[derive(Default)]
pub(crate) struct Sparse {
    /// For each reason, when it was logged last, and how many events were left out since.
    told: Mutex<BTreeMap<i32, (Instant, u64)>>,
}

impl Sparse {
    /// `Some` when an event with this reason is to be logged, with text about the events that were left out before.
    pub(crate) fn admit(&self, reason: ErrorCode) -> Option<String> {
        let mut told = self.told.lock();
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
        // Simulates that the second has passed.
        let long_ago = Instant::now() - SPARSELY;
        sparse
            .told
            .lock()
            .get_mut(&ErrorCode::WrongCluster.number())
            .unwrap()
            .0 = long_ago;
        let later = sparse.admit(ErrorCode::WrongCluster).unwrap();
        assert!(later.contains("5 more"), "{later}");
    }
}
