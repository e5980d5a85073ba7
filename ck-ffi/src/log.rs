//! The log callback.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use ck_core::LogLevel;

use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::foreign::Foreign;
use crate::guard::{caught, fallible};
use crate::handle::borrow;
use crate::hook::ck_destroy_fn;
use crate::text::CText;

/// What needs a human.
pub const CK_LOG_ERROR: i32 = 1;
/// What may need one.
pub const CK_LOG_WARN: i32 = 2;
/// What an operator wants to see: joins, leaders, moves.
pub const CK_LOG_INFO: i32 = 3;
/// What helps to find a fault.
pub const CK_LOG_DEBUG: i32 = 4;
/// Everything.
pub const CK_LOG_TRACE: i32 = 5;

/// Called with a message for people, on any thread of the library and on several at once. It must be quick, must
/// call no function of this library, and must return: no exception, no longjmp.
///
/// level: CK_LOG_*. message: NUL-terminated UTF-8 of message_len bytes, valid until the callback returns.
pub type ck_log_fn = Option<
    unsafe extern "C-unwind" fn(
        level: i32,
        message: *const c_char,
        message_len: usize,
        user_data: *mut c_void,
    ),
>;

fn level_number(level: LogLevel) -> i32 {
    match level {
        // Nothing is logged at this level.
        LogLevel::Off => 0,
        LogLevel::Error => CK_LOG_ERROR,
        LogLevel::Warn => CK_LOG_WARN,
        LogLevel::Info => CK_LOG_INFO,
        LogLevel::Debug => CK_LOG_DEBUG,
        LogLevel::Trace => CK_LOG_TRACE,
    }
}

/// Sets where messages of this node go, those that the option log_level lets through. It replaces an earlier
/// callback; NULL, which is the default, drops them. The library writes nowhere else.
///
/// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
/// is not NULL, is called with it exactly once, when the callback has been replaced or the node was freed, and no
/// call of it runs or will. On failure destroy is not called and user_data is still the caller's. Never blocks; a
/// hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_set_log(
    cluster: *mut ck_cluster_t,
    callback: ck_log_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        // With no callback the data ends here, by the same rule.
        let foreign = Foreign::new(user_data, destroy);
        cluster.0.on_log(callback.map(|callback| -> ck_core::LogCallback {
            Arc::new(move |level, message| {
                let message = CText::new(message);
                // SAFETY: C gave the function for such a call, with this data, which lives as long as the
                // closure. An exception that gets out of it ends the process.
                drop(caught(|| unsafe {
                    callback(
                        level_number(level),
                        message.as_ptr(),
                        message.len(),
                        foreign.data(),
                    );
                }));
            })
        }));
        Ok(())
    })
}
