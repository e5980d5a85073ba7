//! Waiting for conditions, with a deadline and a reason.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should not take long. Far more than it ever needs: the machine may be busy.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(3);

/// Looks at `condition` until it holds; the answer is what it gave and how long that took. An error is why it
/// does not hold yet.
///
/// # Errors
/// The last reason, once `limit` has passed.
pub fn wait_until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> Result<(T, Duration), String> {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return Ok((value, start.elapsed())),
            Err(reason) if start.elapsed() > limit => return Err(reason),
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}
