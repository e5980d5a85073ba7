//! How threads of the library come into Python, and that none does once the interpreter ends.
//!
//! A thread that waits for the interpreter while that ends is taken down by it in the middle of a function, up to and
//! including the end of the whole process. So whatever the library does on threads of its own goes through [`attach`], which
//! refuses once [`close`] was called, and [`close`], which Python's `atexit` calls, waits for those that are inside.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::{Python, ffi};

/// True once the interpreter ends.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// How many calls of [`attach`] are under way.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// How often the end of the interpreter looks for threads that are still inside.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A call that is counted in [`INSIDE`].
struct Inside;

impl Inside {
    /// `None` once the gate is closed.
    fn enter() -> Option<Self> {
        // In this order: whoever closes the gate sets the flag, and then looks at the count.
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let inside = Inside;
        (!CLOSED.load(Ordering::SeqCst)).then_some(inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread's state in the interpreter, kept from the thread's first call to its end: to make one for each call costs more
/// than ten times the rest of it.
struct KeptThreadState;

impl Drop for KeptThreadState {
    fn drop(&mut self) {
        let Some(_inside) = Inside::enter() else {
            // The interpreter has freed it, or is about to.
            return;
        };
        Python::try_attach(|_| {
            // SAFETY: attached, and this is the counterpart of the call in `attach`: the outermost, which ends with this
            // closure, then frees the state.
            unsafe { ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_LOCKED) };
        });
    }
}

thread_local! {
    static KEPT: RefCell<Option<KeptThreadState>> = const { RefCell::new(None) };
}

/// Leaves the interpreter, whatever happens before.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        // SAFETY: the thread is attached, as it was when this was made.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

/// Runs `work` inside the interpreter. `None` when that ends, or has ended.
pub(crate) fn attach<R>(work: impl for<'py> FnOnce(Python<'py>) -> R) -> Option<R> {
    let _inside = Inside::enter()?;
    // SAFETY: may be called by any thread while the interpreter lives, and it does: `close` waits for this call.
    let is_known = unsafe { !ffi::PyGILState_GetThisThreadState().is_null() };
    if is_known {
        return Python::try_attach(work);
    }
    // SAFETY: as above. What this makes is kept, and ended by `KeptThreadState`.
    unsafe { ffi::PyGILState_Ensure() };
    let _leave = Leave;
    KEPT.with_borrow_mut(|kept| *kept = Some(KeptThreadState));
    Python::try_attach(work)
}

/// Lets no thread in any more, and waits until all have left: for `timeout` at most. True when they have.
pub(crate) fn close(py: Python<'_>, timeout: Duration) -> bool {
    CLOSED.store(true, Ordering::SeqCst);
    py.detach(|| {
        let deadline = Instant::now() + timeout;
        while INSIDE.load(Ordering::SeqCst) > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        true
    })
}
