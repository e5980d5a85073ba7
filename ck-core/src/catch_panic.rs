//! Code of the application, which may panic, on threads that must not end with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what must not take its thread down. What a panic carries is leaked: its destructor could panic again.
pub(crate) fn catch_panic(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        std::mem::forget(payload);
    }
}

/// Drops what belongs to the application.
pub(crate) fn drop_catching_panic<T>(value: T) {
    catch_panic(move || drop(value));
}
