//! What C gives us to keep: user data and the function that ends it travel together.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::guard;

/// Ends user data.
pub(crate) type Destroy = unsafe extern "C-unwind" fn(user_data: *mut c_void);

/// User data of a callback. Dropping it runs the destroy function, so it is shared by exactly those that may
/// still make a call.
pub(crate) struct Foreign {
    data: *mut c_void,
    destroy: Option<Destroy>,
    /// Whose the data is.
    owner: Arc<AtomicU8>,
}

/// The registration has not returned: the data is ours, unless a panic ends it.
const REGISTERING: u8 = 0;
const OURS: u8 = 1;
/// The registration failed: the data is the caller's again.
const CALLERS: u8 = 2;

/// What whoever registers user data keeps of it: nothing that delays its end. Dropping the last part of it here, after the
/// registration, would run the destroy function on a thread that nobody waits for.
pub(crate) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// Leaves the data to the caller: the destroy function will not run.
    pub(crate) fn give_back(self) {
        self.0.store(CALLERS, Ordering::Release);
    }

    /// The registration has succeeded: the destroy function runs in the end, whatever happens.
    pub(crate) fn keep(self) {
        self.0.store(OURS, Ordering::Release);
    }
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
            owner: Arc::new(AtomicU8::new(REGISTERING)),
        }
    }

    pub(crate) fn data(&self) -> *mut c_void {
        self.data
    }

    /// For giving the data back where it could not be registered.
    pub(crate) fn claim(&self) -> Claim {
        Claim(Arc::clone(&self.owner))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        match self.owner.load(Ordering::Acquire) {
            CALLERS => return,
            // The call that registers it panics: it fails, and its caller ends the data.
            REGISTERING if std::thread::panicking() => return,
            _ => {}
        }
        if let Some(destroy) = self.destroy {
            // SAFETY: C gave the two together. This is the only call, because nobody else has the data any
            // more.
            drop(guard::caught(|| unsafe { destroy(self.data) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::testing::{count_end, user_data};

    #[test]
    fn data_ends_once_when_the_last_who_may_call_has_gone() {
        let ends = Arc::new(AtomicUsize::new(0));
        let foreign = Arc::new(Foreign::new(user_data(&ends), Some(count_end)));
        // Whoever registered it holds up nothing.
        let claim = foreign.claim();
        thread::scope(|scope| {
            for _ in 0..3 {
                let foreign = Arc::clone(&foreign);
                let ends = &ends;
                scope.spawn(move || {
                    assert!(!foreign.data().is_null());
                    assert_eq!(ends.load(Ordering::Relaxed), 0);
                });
            }
        });
        drop(foreign);
        assert_eq!(ends.load(Ordering::Relaxed), 1);
        drop(claim);
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn data_that_was_given_back_is_the_callers_to_end() {
        let ends = Arc::new(AtomicUsize::new(0));
        let data = user_data(&ends);
        let foreign = Foreign::new(data, Some(count_end));
        foreign.claim().give_back();
        drop(foreign);
        assert_eq!(ends.load(Ordering::Relaxed), 0);
        // SAFETY: nobody has ended it.
        unsafe { count_end(data) };
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_registration_that_panics_leaves_the_data_to_the_caller() {
        let ends = Arc::new(AtomicUsize::new(0));
        let data = user_data(&ends);
        let unwinds_with = |foreign: Foreign| {
            let unwound = guard::caught(move || -> u8 {
                let _foreign = foreign;
                std::panic::resume_unwind(Box::new("boom"))
            });
            assert!(unwound.is_err());
        };
        unwinds_with(Foreign::new(data, Some(count_end)));
        assert_eq!(ends.load(Ordering::Relaxed), 0);
        // Once it is registered, a panic ends it as everything else does.
        let foreign = Foreign::new(data, Some(count_end));
        foreign.claim().keep();
        unwinds_with(foreign);
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn data_without_a_destroy_function_is_left_alone() {
        let mut value = 7;
        let foreign = Foreign::new((&raw mut value).cast(), None);
        assert_eq!(foreign.data(), (&raw mut value).cast());
        drop(foreign);
        assert_eq!(value, 7);
    }

    unsafe extern "C-unwind" fn panics(_: *mut c_void) {
        std::panic::resume_unwind(Box::new("boom".to_owned()));
    }

    #[test]
    fn a_destroy_function_that_unwinds_is_held() {
        drop(Foreign::new(std::ptr::null_mut(), Some(panics)));
    }
}
