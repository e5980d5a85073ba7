//! What stands around every function: no panic gets out, and a forked child is told so.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use clusterkit::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use super::handle::{self, Handle, Out};
use crate::error::ck_error_t;

/// True in a child that was forked after the library was used: its threads are not there.
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Whatever starts threads calls it before. Forks are noticed from then on (a flag costs the calls nothing, asking for the
/// process id would cost each a system call), and a panic is told to the log callbacks instead of being printed.
pub(crate) fn prepare_process() -> Result<()> {
    // In a Rust program the panic hook is the program's: that of the tests says which test failed, the fuzzer's ends the run.
    if !cfg!(any(test, fuzzing)) {
        clusterkit::send_panics_to_logs();
    }
    watch_forks()
}

fn watch_forks() -> Result<()> {
    static WATCHED: Mutex<bool> = Mutex::new(false);
    let mut watched = WATCHED.lock();
    // Miri has no forks, and does not know the call.
    if !*watched && !cfg!(miri) {
        // SAFETY: the handler only stores to an atomic, which is legal in the child of a process with threads,
        // and it stays where it is: the library is linked with `nodelete`.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            return Err(Error::new(
                ErrorCode::Io,
                format!(
                    "forks cannot be watched for: {}",
                    std::io::Error::from_raw_os_error(failed)
                ),
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

/// Runs the body of a function that can fail.
#[inline]
pub(crate) fn fallible(body: impl FnOnce() -> Result<()>) -> *mut ck_error_t {
    let error = if forked() {
        Error::new(
            ErrorCode::Forked,
            "this process was forked from one that uses ClusterKit, whose threads are not here; \
             a child may use it only after exec",
        )
    } else {
        match caught(body) {
            Ok(Ok(())) => return null_mut(),
            Ok(Err(error)) | Err(error) => error,
        }
    };
    Box::new(ck_error_t::new(&error)).give()
}

/// Runs the body of a function that can fail and gives C a pointer. After a failure the pointer is NULL.
///
/// # Safety
/// `out` is NULL or may be written.
#[inline]
pub(crate) unsafe fn fallible_out<T>(
    out: *mut *mut T,
    body: impl FnOnce(Out<'_, T>) -> Result<()>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { handle::clear(out) };
    // SAFETY: as above.
    fallible(|| body(unsafe { handle::out(out, "out") }?))
}

/// Runs the body of a function that answers with a plain value, `otherwise` where it cannot.
#[inline]
pub(crate) fn plain<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    if forked() {
        return otherwise;
    }
    match caught(body) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) | Err(_) => otherwise,
    }
}

/// Runs what must not unwind into C. A panic comes out as an error with the panic's words.
#[inline]
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T> {
    // Unwind safe: what a body shares with later calls stands behind the core's locks, which survive a panic.
    catch_unwind(AssertUnwindSafe(body)).map_err(panicked)
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // Leaked: its destructor could panic again.
                std::mem::forget(payload);
                "no message".to_owned()
            }
        },
    };
    Error::new(ErrorCode::Internal, format!("ClusterKit panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_or_the_other_value() {
        // Resumed, so that no panic hook prints.
        let panic = || std::panic::resume_unwind(Box::new("boom"));
        let error = caught(|| -> u8 { panic() }).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal);
        assert!(error.message().ends_with("boom"), "{error}");
        let formatted = || std::panic::resume_unwind(Box::new("bang".to_owned()));
        let error = caught(|| -> u8 { formatted() }).unwrap_err();
        assert!(error.message().ends_with("bang"), "{error}");
        assert_eq!(plain(7, || Ok(panic())), 7);
    }

    /// Nothing of it is touched: it is not even dropped.
    #[test]
    fn a_panic_with_something_else_has_no_message() {
        struct Fuse;
        impl Drop for Fuse {
            fn drop(&mut self) {
                std::process::abort();
            }
        }
        let error = caught(|| -> u8 { std::panic::resume_unwind(Box::new(Fuse)) }).unwrap_err();
        assert!(error.message().ends_with("no message"), "{error}");
    }
}
