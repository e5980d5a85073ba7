//! Calls that ask now, besides the task that follows: one round at a time for all callers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::addresses::{backoff, jittered};
use super::member::Query;
use super::round::ask_around;
use super::shared::Shared;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::options::format_duration;

/// How long the member that is followed has for a revision before others are asked for it: it usually has it in a moment.
const FOLLOWED_GRACE: Duration = Duration::from_millis(250);
/// How long a member is asked to wait for a revision, or for the leader, in one attempt.
const MAX_ASKED_WAIT: Duration = Duration::from_secs(2);

/// What a call wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// What a member in contact with the leader had after the call began.
    Asked,
    /// Everything that was acknowledged before the call began.
    Linearizable,
}

/// The calls of one client. Callers that come while a round is under way wait for the next one, and share it.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Counts calls and rounds, so that a call knows whether a round began after it.
    clock: AtomicU64,
    /// Held for a round, across awaits.
    turn: AsyncMutex<()>,
    last: Mutex<Option<Round>>,
    /// The same for rounds that wait for a revision; callers of the others must not wait for them.
    revision_turn: AsyncMutex<()>,
}

/// A round that succeeded.
#[derive(Debug, Clone, Copy)]
struct Round {
    began: u64,
    freshness: Freshness,
    revision: u64,
}

impl Asks {
    /// Asks until a member has answered so freshly, for at most `timeout`; the revision of its answer, which the view has
    /// at least.
    ///
    /// # Errors
    /// What the members said last, or `TIMEOUT` where they said nothing; `STOPPED`.
    pub(super) async fn ask(
        &self,
        shared: &Arc<Shared>,
        freshness: Freshness,
        timeout: Duration,
    ) -> Result<u64> {
        let deadline = Instant::now() + timeout;
        let last_error = Mutex::new(None);
        let call = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        let asking = async {
            let _turn = self.turn.lock().await;
            let shares = |round: &Round| {
                round.began > call
                    && (round.freshness == freshness || round.freshness == Freshness::Linearizable)
            };
            if let Some(round) = self.last.lock().as_ref().copied().filter(shares) {
                return Ok(round.revision);
            }
            let mut failures = 0;
            loop {
                shared.refuse_closed()?;
                let began = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
                let query = match freshness {
                    Freshness::Asked => Query::Now,
                    Freshness::Linearizable => Query::Linearizable(wait_until(deadline)),
                };
                let found = ask_around(shared, shared.candidates(true), query).await;
                if let Some(member) = found.led {
                    let revision = member.revision;
                    *self.last.lock() = Some(Round {
                        began,
                        freshness,
                        revision,
                    });
                    return Ok(revision);
                }
                *last_error.lock() = Some(found.error());
                failures = retry_pause(shared, failures).await;
            }
        };
        let asked = tokio::select! {
            biased;
            () = shared.closed() => return Err(Error::new(ErrorCode::Stopped, "the client was closed meanwhile")),
            asked = env::timeout(timeout, asking) => asked,
        };
        asked.unwrap_or_else(|_| {
            let within = format_duration(timeout);
            Err(match last_error.lock().take() {
                Some(error) => error.context(format!("not answered within {within}")),
                None => timed_out(format!("no member answered within {within}")),
            })
        })
    }

    /// Waits until the view has `revision`, for at most `timeout`; the revision that it has then. The member that is
    /// followed usually brings it; where it does not, others are asked for it.
    ///
    /// # Errors
    /// `TIMEOUT`, `STOPPED`.
    pub(super) async fn wait_for_revision(
        &self,
        shared: &Arc<Shared>,
        revision: u64,
        timeout: Duration,
    ) -> Result<u64> {
        let deadline = Instant::now() + timeout;
        let last_error = Mutex::new(None);
        let asking = async {
            env::sleep(FOLLOWED_GRACE).await;
            let mut failures = 0;
            loop {
                let turn = self.revision_turn.lock().await;
                let query = Query::AtLeast(revision, wait_until(deadline));
                let found = ask_around(shared, shared.candidates(true), query).await;
                if found.led.is_none() {
                    *last_error.lock() = Some(found.error());
                }
                drop(turn);
                failures = retry_pause(shared, failures).await;
            }
        };
        let reached = async {
            tokio::select! {
                biased;
                reached = shared.reach(revision) => reached,
                never = asking => never,
            }
        };
        let reached = env::timeout(timeout, reached).await;
        reached.unwrap_or_else(|_| {
            let mut message = format!(
                "the view is at revision {} after {}, and not at {revision}",
                shared.revision(),
                format_duration(timeout)
            );
            if let Some(error) = last_error.lock().take() {
                message = format!("{message}; last: {error}");
            }
            Err(timed_out(message))
        })
    }
}

/// How long a member may be asked to wait, so that it answers before the deadline.
fn wait_until(deadline: Instant) -> Duration {
    deadline.since(Instant::now()).min(MAX_ASKED_WAIT)
}

/// The pause after a round that failed; the number of failures afterwards.
async fn retry_pause(shared: &Shared, failures: u32) -> u32 {
    let options = &shared.options;
    let pause = backoff(options.retry_min, options.retry_max, failures);
    env::sleep(jittered(pause)).await;
    failures.saturating_add(1)
}

fn timed_out(message: String) -> Error {
    Error::new(ErrorCode::Timeout, message)
}
