//! Temporary shortages of file descriptors or memory. The disk works, the call has done nothing, and the same call succeeds
//! once other users have released some.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use crate::{ErrorCode, Result};

/// How long a call is retried during a shortage.
const SHORTAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two attempts.
const SHORTAGE_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// True for an error that reports a shortage.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM)
    )
}

/// Retries a call while it fails because of a shortage, for half a minute at most. Blocks the thread.
///
/// Not for syncs: after a failed sync nothing is known of the data that it should have made durable.
///
/// # Errors
/// Those of the call; [`ErrorCode::Busy`] when the shortage does not pass.
pub fn retry_on_shortage<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let mut waited = Duration::ZERO;
    loop {
        match call() {
            Err(error) if error.code() == ErrorCode::Busy && waited < SHORTAGE_TIMEOUT => {
                std::thread::sleep(SHORTAGE_RETRY_PAUSE);
                waited += SHORTAGE_RETRY_PAUSE;
            }
            result => return result,
        }
    }
}
