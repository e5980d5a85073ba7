//! The callbacks that are given to the library. They look at what they are told, and keep count.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    fn ck_event_json(event: *const c_void, out_len: *mut usize) -> *const c_char;
    fn ck_event_set_failure(event: *const c_void, reason: *const c_char, reason_len: usize) -> *mut c_void;
    fn ck_event_defer(event: *const c_void, out: *mut *mut c_void) -> *mut c_void;
    fn ck_completion_end(completion: *mut c_void, result: i32, reason: *const c_char, reason_len: usize);
    fn ck_error_free(error: *mut c_void);
    fn ck_error_message(error: *const c_void) -> *const c_char;
    fn ck_view_node_count(view: *const c_void) -> usize;
}

/// Calls that were begun and not told yet.
pub(crate) static BEGUN: AtomicU64 = AtomicU64::new(0);
pub(crate) static TOLD: AtomicU64 = AtomicU64::new(0);

/// User data that the library has to end.
pub(crate) struct UserData {
    kind: u8,
}

impl UserData {
    pub(crate) fn new(kind: u8) -> *mut c_void {
        Box::into_raw(Box::new(UserData { kind })).cast()
    }

    /// For callbacks that nobody ends.
    pub(crate) fn eternal(kind: u8) -> *mut c_void {
        static ETERNAL: [UserData; 4] = [
            UserData { kind: 0 },
            UserData { kind: 1 },
            UserData { kind: 2 },
            UserData { kind: 3 },
        ];
        std::ptr::from_ref(&ETERNAL[usize::from(kind % 4)])
            .cast_mut()
            .cast()
    }
}

/// Ends user data; a second time would be one of freed memory.
pub(crate) unsafe extern "C" fn destroy(user_data: *mut c_void) {
    // SAFETY: it was made by UserData::new, and whoever was given it calls this once.
    drop(unsafe { Box::from_raw(user_data.cast::<UserData>()) });
}

/// # Safety
/// `text` is NULL, or ends with a NUL.
pub(crate) unsafe fn check_text(text: *const c_char) {
    if !text.is_null() {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(text) };
        assert!(text.to_str().is_ok(), "{text:?} is not UTF-8");
    }
}

/// The first field of ck_result_t; the others follow it.
pub(crate) unsafe extern "C" fn done(result: *const c_void, _: *mut c_void) {
    // SAFETY: a result lives until the callback returns; its error is NULL or an error.
    unsafe {
        let error = *result.cast::<*const c_void>();
        if !error.is_null() {
            check_text(ck_error_message(error));
        }
    }
    TOLD.fetch_add(1, Ordering::SeqCst);
}

pub(crate) unsafe extern "C" fn hook(event: *const c_void, user_data: *mut c_void) -> i32 {
    // SAFETY: the event lives until the callback returns, and user data until it is ended.
    unsafe {
        let mut len = 0;
        check_text(ck_event_json(event, &raw mut len));
        match (*user_data.cast::<UserData>()).kind {
            0 => 0,
            1 => {
                let reason = b"\xff no space";
                ck_error_free(ck_event_set_failure(event, reason.as_ptr().cast(), reason.len()));
                1
            }
            2 => {
                let mut completion = std::ptr::null_mut();
                ck_error_free(ck_event_defer(event, &raw mut completion));
                ck_completion_end(completion, 0, std::ptr::null(), 0);
                0
            }
            kind => i32::from(kind),
        }
    }
}

/// ck_log_record_t begins with two texts.
pub(crate) unsafe extern "C" fn log(record: *const c_void, user_data: *mut c_void) {
    // SAFETY: as for a hook.
    unsafe {
        let texts = record.cast::<*const c_char>();
        check_text(*texts);
        check_text(*texts.add(1));
        assert!((*user_data.cast::<UserData>()).kind < 4);
    }
}

pub(crate) unsafe extern "C" fn change(view: *const c_void, user_data: *mut c_void) {
    // SAFETY: as for a hook.
    unsafe {
        assert!(ck_view_node_count(view) > 0);
        assert!((*user_data.cast::<UserData>()).kind < 4);
    }
}

pub(crate) unsafe extern "C" fn prepare(_: usize, _: *mut c_void, user_data: *mut c_void) -> i32 {
    // SAFETY: as for a hook.
    i32::from(unsafe { (*user_data.cast::<UserData>()).kind == 3 })
}

/// The condition of a wait holds at once: what does not is waited for in real time.
pub(crate) unsafe extern "C" fn condition(_: *mut c_void) -> bool {
    true
}
