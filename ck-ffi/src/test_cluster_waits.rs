//! The clock of a test cluster, and what a test waits for.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use crate::border::guard::{caught, fallible, plain};
use crate::border::handle::{clear, null, store};
use crate::border::text::{bytes, text};
use crate::cluster::millis;
use crate::error::ck_error_t;
use crate::test_cluster::{ck_testing_t, index_answer, testing_of};

/// Moves the clock of all nodes on, and returns when everything is done that follows from it: leases have run out, timeouts have
/// fired, and what they caused has happened, except what needs hooks that still run. A cluster that is well stays as it is.
///
/// testing: borrowed for the call. Blocks: for as long as the nodes need to compute what they do in that time. A hook may not
/// call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; IN_HOOK; STOPPED when the test cluster ends meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_advance(testing: *mut ck_testing_t, time_ms: u32) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.advance(millis(time_ms)))
}

/// The time that has passed on the clock of the nodes since the test cluster was made, in milliseconds. 0 for NULL.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_now_ms(testing: *const ck_testing_t) -> u64 {
    let passed = plain(Duration::ZERO, || {
        // SAFETY: a live test cluster or NULL, says the header.
        Ok(unsafe { testing_of(testing) }?.now())
    });
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a node leads, by its own word, whom a majority of the voters can go on following: it is neither paused nor cut off
/// from them.
///
/// testing: borrowed for the call. out_index: its index where there is one, else 0; may be NULL. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_leader(testing: *const ck_testing_t, out_index: *mut usize) -> bool {
    // SAFETY: out_index may be written or is NULL, and a live test cluster or NULL, says the header.
    unsafe {
        clear(out_index);
        let leader = plain(None, || Ok(testing_of(testing)?.leader()));
        store(out_index, leader.unwrap_or_default());
        leader.is_some()
    }
}

/// Whether a node takes the writes of a key at this moment, by its own word.
///
/// testing: borrowed for the call. key: any bytes, borrowed for the call. out_index: its index where there is one, else 0; may
/// be NULL. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_primary_of(
    testing: *const ck_testing_t,
    key: *const c_void,
    key_len: usize,
    out_index: *mut usize,
) -> bool {
    // SAFETY: out_index may be written or is NULL, the key can be read, and a live test cluster or NULL, says the header.
    unsafe {
        clear(out_index);
        let primary = plain(None, || {
            Ok(testing_of(testing)?.primary_of(bytes(key, key_len, "key")?))
        });
        store(out_index, primary.unwrap_or_default());
        primary.is_some()
    }
}

/// Waits until a node leads, as ck_testing_leader has it. Moves the clock, by timeout_ms at most.
///
/// testing: borrowed for the call. out_index: the leader, set on success, else 0; may be NULL. Blocks: milliseconds as a rule; 10 s
/// of real time at most before it gives up. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; TIMEOUT with what is missing; IN_HOOK; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_wait_for_leader(
    testing: *mut ck_testing_t,
    timeout_ms: u32,
    out_index: *mut usize,
) -> *mut ck_error_t {
    // SAFETY: out_index may be written or is NULL, and a live test cluster or NULL, says the header.
    unsafe {
        index_answer(testing, out_index, |testing| {
            testing.wait_for_leader(millis(timeout_ms))
        })
    }
}

/// Waits until every partition has a primary that says so itself, whatever else is missing: the end of a failover. Moves the
/// clock, by timeout_ms at most.
///
/// testing: borrowed for the call. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
/// Errors: as ck_testing_wait_for_leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_wait_for_primaries(
    testing: *mut ck_testing_t,
    timeout_ms: u32,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.wait_for_primaries(millis(timeout_ms)))
}

/// Waits until the cluster is at rest: every node that runs and is reached is a member that has applied everything, every other
/// is known to be down, each partition has all its copies on nodes that are up, and a primary that says so itself, and nothing
/// moves or is about to. Moves the clock, by timeout_ms at most.
///
/// testing: borrowed for the call. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
/// Errors: as ck_testing_wait_for_leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_wait_settled(
    testing: *mut ck_testing_t,
    timeout_ms: u32,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.wait_settled(millis(timeout_ms)))
}

/// Whether what a test waits for has come about. Called on the thread of the call that waits. It must return: no exception, no
/// longjmp.
pub type ck_testing_condition_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void) -> bool>;

/// Waits until a condition is true, which is looked at after each timer of the nodes: so the clock moves by as little as is
/// needed, and by timeout_ms at most. Where that has passed before ten seconds of real time have, the rest of these is waited
/// for too: a program may need it.
///
/// testing: borrowed for the call. what: UTF-8, names the condition in the error. condition: called with user_data until the
/// call returns. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
/// Errors: as ck_testing_wait_for_leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_wait_until(
    testing: *mut ck_testing_t,
    what: *const c_char,
    what_len: usize,
    timeout_ms: u32,
    condition: ck_testing_condition_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live test cluster or NULL, and a readable text of this length, says the header.
        let (testing, what) = unsafe { (testing_of(testing)?, text(what, what_len, "what")?) };
        let condition = condition.ok_or_else(|| null("condition"))?;
        testing.wait_until(what, millis(timeout_ms), || {
            // SAFETY: C gave the function for such a call, with this data. An exception that gets out of it ends the process.
            caught(|| unsafe { condition(user_data) }).unwrap_or(false)
        })
    })
}
