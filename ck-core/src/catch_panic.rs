//! Runs code of the application, which may panic, on threads that must survive that.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code that must not end its thread by a panic. The panic's payload is leaked, because its destructor could panic
/// again.
pub(crate) fn catch_panic(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        std::mem::forget(payload);
    }
}

/// Drops a value of the application, whose destructor may panic.
pub(crate) fn drop_catching_panic<T>(value: T) {
    catch_panic(move || drop(value));
}
