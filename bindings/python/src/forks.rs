//! A forked child has none of the library's threads: it is told so, instead of waiting for them.

use std::sync::atomic::{AtomicBool, Ordering};

use clusterkit::{Error, ErrorCode, Result};
use parking_lot::Mutex;

/// True in a child that was forked after the library was used.
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Sees to it that forks are noticed from now on. Whatever starts threads calls it, so that a process that has only imported the
/// package forks as it likes, as a server does that forks its workers.
pub(crate) fn watch() -> Result<()> {
    static WATCHED: Mutex<bool> = Mutex::new(false);
    let mut watched = WATCHED.lock();
    if !*watched {
        // SAFETY: the handler only stores to an atomic, which is legal in the child of a process with threads, and Python
        // never unloads a module.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            let why = std::io::Error::from_raw_os_error(failed);
            return Err(Error::new(
                ErrorCode::Io,
                format!("forks cannot be watched for: {why}"),
            ));
        }
        *watched = true;
    }
    Ok(())
}

/// True in a child that was forked after the library was used.
#[inline]
pub(crate) fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// # Errors
/// FORKED in such a child.
#[inline]
pub(crate) fn refuse() -> Result<()> {
    if forked() { Err(refused()) } else { Ok(()) }
}

#[cold]
fn refused() -> Error {
    Error::new(
        ErrorCode::Forked,
        "this process was forked from one that uses ClusterKit, whose threads are not here; start the node in the child, \
         or start processes with the method \"spawn\"",
    )
}
