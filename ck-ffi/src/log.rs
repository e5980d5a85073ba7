//! The log callback.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use clusterkit::LogLevel;

use crate::border::foreign::{Claim, Foreign};
use crate::border::guard::{caught, fallible};
use crate::border::handle::borrow;
use crate::border::text::CText;
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::hook::ck_destroy_fn;

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

/// A message for people. The library owns it; it is valid until the callback returns. New fields go to the end.
#[repr(C)]
pub struct ck_log_record_t {
    /// The node that wrote it; empty where a client did.
    pub node_id: *const c_char,
    /// The message, without a line end.
    pub message: *const c_char,
    /// Its length in bytes, without its NUL.
    pub message_len: usize,
    /// CK_LOG_*.
    pub level: i32,
}

/// Called with a message for people, one after the other in the order in which they were written, on a thread that
/// does nothing else (one for each node and each client). Nothing waits for it: it may block, and may call every function
/// of this library, also the one that frees its own node or client, which does not wait for it then. What is written while it does
/// not return waits, up to 1024 messages or 1 MiB; what does not fit is dropped, and a message says how many were. It
/// must return at last: no exception, no longjmp.
pub type ck_log_fn =
    Option<unsafe extern "C-unwind" fn(record: *const ck_log_record_t, user_data: *mut c_void)>;

type LogFn = unsafe extern "C-unwind" fn(*const ck_log_record_t, *mut c_void);

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

/// Calls a log callback of C's with a message, which lives until it returns.
fn call(callback: LogFn, node_id: &CText, level: LogLevel, message: &str, user_data: &Foreign) {
    let message = CText::new(message);
    let record = ck_log_record_t {
        node_id: node_id.as_ptr(),
        message: message.as_ptr(),
        message_len: message.len(),
        level: level_number(level),
    };
    // SAFETY: C gave the function for such a call, with this data, which is borrowed and so has not ended. An exception that
    // gets out of it ends the process.
    drop(caught(|| unsafe {
        callback(&raw const record, user_data.data())
    }));
}

/// A log callback of C's as the core has it. With no callback the data ends here, by the same rule.
pub(crate) fn log_callback(
    callback: ck_log_fn,
    node_id: &str,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> (Option<clusterkit::LogCallback>, Claim) {
    let foreign = Foreign::new(user_data, destroy);
    let claim = foreign.claim();
    let node_id = CText::new(node_id);
    let callback = callback.map(|callback| -> clusterkit::LogCallback {
        Arc::new(move |level, message| call(callback, &node_id, level, message, &foreign))
    });
    (callback, claim)
}

/// Sets where messages of this node go, those that the option log_level lets through. It replaces an earlier
/// callback, and is told what waited for that; NULL, which is the default, drops them. The library writes nowhere else.
///
/// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
/// is not NULL, is called with it exactly once, when the callback has been replaced or the node was freed (not when it
/// was stopped), and no call of it runs or will. Where a call of it runs while it is replaced, destroy is called when
/// that returns, otherwise before this function does. On failure destroy is not called and user_data is still the
/// caller's. Never blocks; a hook may call it, and so may the callback, and destroy.
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
        let node = cluster.node();
        let (callback, claim) = log_callback(callback, node.my_node_id(), user_data, destroy);
        node.on_log(callback);
        claim.keep();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::{count_end, text_at, user_data};

    /// Adds up the lengths of what it hears, and unwinds at an error.
    unsafe extern "C-unwind" fn adds(record: *const ck_log_record_t, user_data: *mut c_void) {
        // SAFETY: both are there until this returns.
        let level = unsafe {
            let record = &*record;
            assert_eq!(text_at(record.node_id), "node-1");
            assert_eq!(text_at(record.message).len(), record.message_len);
            let heard = &*user_data.cast_const().cast::<AtomicUsize>();
            heard.fetch_add(record.message_len, Ordering::Relaxed);
            record.level
        };
        if level == CK_LOG_ERROR {
            std::panic::resume_unwind(Box::new("boom"));
        }
    }

    #[test]
    fn a_log_callback_of_c_hears_every_message() {
        let heard = Arc::new(AtomicUsize::new(0));
        let foreign = Foreign::new(user_data(&heard), Some(count_end));
        let node_id = CText::new("node-1");
        call(adds, &node_id, LogLevel::Info, "", &foreign);
        call(adds, &node_id, LogLevel::Error, "it unwinds", &foreign);
        call(adds, &node_id, LogLevel::Warn, "and hears more", &foreign);
        assert_eq!(heard.load(Ordering::Relaxed), 24);
        drop(foreign);
        assert_eq!(Arc::strong_count(&heard), 1);
    }
}
