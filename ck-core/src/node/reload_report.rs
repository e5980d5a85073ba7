//! Files that are read again and again: what is wrong with them is said once, not each time.

use crate::error::{Error, ErrorCode};
use crate::logger::Logger;

/// What was said of the files last.
#[derive(Debug, Default)]
pub(super) struct ReloadReport {
    problem: Option<String>,
}

impl ReloadReport {
    /// The files are right: what is wrong with them later is said again.
    pub(super) fn succeeded(&mut self) {
        self.problem = None;
    }

    /// The files are wrong; `consequence` says what stays as it was.
    pub(super) fn failed(&mut self, logger: &Logger, consequence: &str, error: &Error) {
        debug_assert!(matches!(
            error.code(),
            ErrorCode::InvalidOption | ErrorCode::Internal
        ));
        let problem = error.to_string();
        if self.problem.as_ref() != Some(&problem) {
            logger.warn(format_args!("{consequence}: {problem}"));
            self.problem = Some(problem);
        }
    }
}
