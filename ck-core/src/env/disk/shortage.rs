//! Shortages that pass: no file descriptor is free, or no memory. The disk is well, nothing was done, and the same call
//! succeeds once others have given back what they hold.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use crate::{ErrorCode, Result};

/// How long a shortage is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// True for an error that says so.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM)
    )
}

/// Makes a call again for as long as it is refused for a shortage, half a minute at most. It blocks meanwhile.
///
/// Not for syncs: after one that failed nothing is known of what it was to make durable.
///
/// # Errors
/// Those of the call; [`ErrorCode::Busy`] when the shortage does not pass.
pub fn patiently<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let mut waited = Duration::ZERO;
    loop {
        match call() {
            Err(error) if error.code() == ErrorCode::Busy && waited < PATIENCE => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            result => return result,
        }
    }
}
