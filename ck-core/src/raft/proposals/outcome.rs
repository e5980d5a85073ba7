//! Combines the attempts of one call into one answer.
//!
//! An attempt ends in one of four ways, and only [`Outcome`] combines them. Invariant: a call fails with an error other
//! than `TIMEOUT` only if it did not happen and never will, and with `TIMEOUT` only if something was sent.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;

/// The result of one attempt at a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attempt<T> {
    /// The attempt appended and triggered nothing, and never will. The next attempt may succeed.
    NotSent(Error),
    /// The attempt was sent, and its result is unknown: it may have happened, or may still happen.
    Unknown(String),
    /// The attempt was refused permanently, and caused nothing. This says nothing about earlier attempts.
    Refused(Error),
    /// The answer of the call. Every attempt at it gets the same answer.
    Answered(T),
}

/// Folds the attempts of one call into its answer.
#[derive(Debug)]
pub(crate) struct Outcome {
    timeout: Duration,
    /// Why the result of an earlier attempt is unknown. The first reason is kept.
    unknown: Option<String>,
    /// The error of the latest attempt that was not sent.
    not_sent: Option<Error>,
}

impl Outcome {
    /// The outcome of a call that ends after `timeout`.
    pub(crate) fn new(timeout: Duration) -> Self {
        Outcome {
            timeout,
            unknown: None,
            not_sent: None,
        }
    }

    /// Adds one attempt. `Some` is the answer and ends the call; after `None` the call may be retried.
    pub(crate) fn note<T>(&mut self, attempt: Attempt<T>) -> Option<Result<T>> {
        match attempt {
            Attempt::Answered(answer) => return Some(Ok(answer)),
            Attempt::Refused(error) => return Some(Err(self.refused(error))),
            Attempt::Unknown(why) => self.unknown = self.unknown.take().or(Some(why)),
            Attempt::NotSent(error) => self.not_sent = Some(error),
        }
        None
    }

    /// The error of a call whose time is over.
    pub(crate) fn gave_up(&self) -> Error {
        match (&self.unknown, &self.not_sent) {
            (Some(why), _) => unknown(self.timeout, why),
            (None, Some(error)) => error.clone(),
            (None, None) => no_leader(self.timeout),
        }
    }

    /// The error of a call whose last attempt was refused.
    fn refused(&self, error: Error) -> Error {
        match &self.unknown {
            Some(_) if planted!("refusal-hides-unknown") => error,
            Some(why) => unknown(self.timeout, &format!("{why}; then {error}")),
            None => error,
        }
    }
}

/// The error of a write for which no leader was found.
pub(in crate::raft) fn no_leader(timeout: Duration) -> Error {
    let within = to_the_millisecond(timeout);
    Error::new(
        ErrorCode::NoLeader,
        format!("there was no leader within {within:?}; nothing was written"),
    )
}

/// Rounds up to the millisecond, so that a message shows the timeout as the caller gave it: a few microseconds have
/// passed since.
fn to_the_millisecond(timeout: Duration) -> Duration {
    Duration::from_millis(whole_millis(
        timeout.saturating_add(Duration::from_nanos(999_999)),
    ))
}

fn unknown(timeout: Duration, why: &str) -> Error {
    let within = to_the_millisecond(timeout);
    Error::new(
        ErrorCode::Timeout,
        format!("no answer within {within:?}; it may or may not have happened: {why}"),
    )
}

/// True if an error of a proposal means that this node never proposes again: it has stopped, or its log has failed.
pub(crate) fn is_over(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Stopped | ErrorCode::Io)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    type Case = Attempt<u8>;

    fn not_sent() -> Case {
        Attempt::NotSent(Error::new(ErrorCode::NoLeader, "nobody leads"))
    }

    fn unknown() -> Case {
        Attempt::Unknown("the connection broke".to_owned())
    }

    fn refused() -> Case {
        Attempt::Refused(Error::new(ErrorCode::Removed, "removed"))
    }

    /// The error code with which a call with these attempts ends, or its answer.
    fn fold(attempts: &[Case]) -> std::result::Result<u8, ErrorCode> {
        let mut outcome = Outcome::new(Duration::from_secs(1));
        for attempt in attempts {
            if let Some(answer) = outcome.note(attempt.clone()) {
                return answer.map_err(|error| error.code());
            }
        }
        Err(outcome.gave_up().code())
    }

    #[test]
    fn a_timeout_is_told_as_it_was_given() {
        let error = no_leader(Duration::from_nanos(999_999_529));
        assert!(error.message().contains("within 1s;"), "{error}");
        let error = super::unknown(Duration::from_micros(299_001), "why");
        assert!(error.message().contains("within 300ms;"), "{error}");
        let error = no_leader(Duration::MAX);
        assert!(error.message().contains("nothing was written"), "{error}");
    }

    #[test]
    fn every_combination_of_attempts_has_one_answer() {
        use ErrorCode::{NoLeader, Removed, Timeout};
        let (n, u, r, a) = (not_sent(), unknown(), refused(), Attempt::Answered(7));
        let table: [(&[Case], std::result::Result<u8, ErrorCode>); 15] = [
            (&[], Err(NoLeader)),
            (from_ref(&n), Err(NoLeader)),
            (from_ref(&u), Err(Timeout)),
            (from_ref(&r), Err(Removed)),
            (from_ref(&a), Ok(7)),
            (&[n.clone(), n.clone()], Err(NoLeader)),
            (&[n.clone(), u.clone()], Err(Timeout)),
            (&[n.clone(), r.clone()], Err(Removed)),
            (&[n.clone(), a.clone()], Ok(7)),
            (&[u.clone(), n.clone()], Err(Timeout)),
            (&[u.clone(), u.clone()], Err(Timeout)),
            (&[u.clone(), r.clone()], Err(Timeout)),
            (&[u.clone(), a.clone()], Ok(7)),
            (&[u.clone(), n.clone(), r.clone()], Err(Timeout)),
            (&[n.clone(), u.clone(), n.clone(), a.clone()], Ok(7)),
        ];
        for (attempts, expected) in table {
            assert_eq!(fold(attempts), expected, "{attempts:?}");
        }
    }

    /// The invariant, checked for every sequence of up to five attempts.
    #[test]
    fn unknown_is_told_exactly_when_an_attempt_was_unknown_and_none_answered() {
        let kinds = [not_sent(), unknown(), refused(), Attempt::Answered(7)];
        for length in 0..=5u32 {
            for number in 0..4usize.pow(length) {
                let attempts: Vec<Case> = (0..length)
                    .map(|i| kinds[number / 4usize.pow(i) % 4].clone())
                    .collect();
                let ends = |attempt: &Case| matches!(attempt, Attempt::Answered(_) | Attempt::Refused(_));
                let last = attempts.iter().position(ends).map_or(attempts.len(), |at| at + 1);
                let made = &attempts[..last];
                let was_unknown = made.iter().any(|attempt| matches!(attempt, Attempt::Unknown(_)));
                let told = fold(&attempts);
                match made.last() {
                    Some(Attempt::Answered(answer)) => assert_eq!(told, Ok(*answer)),
                    _ if was_unknown => assert_eq!(told, Err(ErrorCode::Timeout), "{made:?}"),
                    _ => assert!(told.is_err_and(|code| code != ErrorCode::Timeout), "{made:?}"),
                }
            }
        }
    }

    #[test]
    fn what_was_refused_after_an_unknown_attempt_is_told_too() {
        let mut outcome = Outcome::new(Duration::from_secs(1));
        assert_eq!(outcome.note(unknown()), None);
        let error = outcome.note(refused()).unwrap().unwrap_err();
        assert!(
            error.message().contains("may or may not have happened"),
            "{error}"
        );
        assert!(error.message().contains("REMOVED: removed"), "{error}");
    }
}
