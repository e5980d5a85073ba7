//! What C gives us to keep: user data and the function that ends it travel together.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::guard;

/// Ends user data.
pub(crate) type Destroy = unsafe extern "C-unwind" fn(user_data: *mut c_void);

/// User data of a callback. Dropping it runs the destroy function, so it is shared by exactly those that may
/// still make a call.
pub(crate) struct Foreign {
    data: *mut c_void,
    destroy: Option<Destroy>,
    /// Cleared when the registration failed: the data is the caller's again.
    ours: AtomicBool,
}

// SAFETY: the data is never looked at here; the header says that callbacks and destroy functions are called on
// any thread, and callbacks on several at once.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

impl Foreign {
    pub(crate) fn new(data: *mut c_void, destroy: Option<Destroy>) -> Self {
        Foreign {
            data,
            destroy,
            ours: AtomicBool::new(true),
        }
    }

    pub(crate) fn data(&self) -> *mut c_void {
        self.data
    }

    /// Leaves the data to the caller: the destroy function will not run.
    pub(crate) fn give_back(&self) {
        self.ours.store(false, Ordering::Release);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if !self.ours.load(Ordering::Acquire) {
            return;
        }
        if let Some(destroy) = self.destroy {
            // SAFETY: C gave the two together. This is the only call, because nobody else has the data any
            // more.
            drop(guard::caught(|| unsafe { destroy(self.data) }));
        }
    }
}
