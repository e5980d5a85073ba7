//! Hooks: one registration for any events.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use clusterkit::hooks::{Hook, HookCompletion, HookId, Rejected};
use clusterkit::model::Event;

use crate::border::foreign::Foreign;
use crate::border::guard::{self, fallible};
use crate::border::handle::{Handle, borrow, clear, null, store};
use crate::border::text::text;
use crate::cluster::{ck_cluster_t, millis};
use crate::error::ck_error_t;
use crate::event::{CEvent, ck_event_t, filter_of};

/// Called for an event. Returns 0 for success; anything else is a failure: it is logged, with the reason that
/// ck_event_set_failure gave, and where this node gains a copy of a partition the call is made again later. A callback that needs
/// longer may return first and end its call later: ck_event_defer. event: valid until the callback returns.
///
/// Called on threads of the library, for partition changes on several at once. It may block, and may call every
/// function whose comment says so. It must return: no exception, no longjmp.
pub type ck_hook_fn =
    Option<unsafe extern "C-unwind" fn(event: *const ck_event_t, user_data: *mut c_void) -> i32>;

/// Ends user data that was given with a callback. Called exactly once, on any thread, when no call of the callback
/// runs or will. It must return: no exception, no longjmp.
pub type ck_destroy_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

type HookFn = unsafe extern "C-unwind" fn(*const ck_event_t, *mut c_void) -> i32;

/// Ends a call of a hook that has returned before its work was done.
pub struct ck_completion_t(HookCompletion);

impl Handle for ck_completion_t {}

impl ck_completion_t {
    pub(crate) fn new(completion: HookCompletion) -> Self {
        ck_completion_t(completion)
    }
}

/// Calls a hook of C's with an event, which lives until it returns.
fn call(callback: HookFn, event: Arc<Event>, completion: HookCompletion, user_data: &Foreign) {
    let event = CEvent::new(event, Some(completion));
    // SAFETY: C gave the function for such a call, with this data, which is borrowed and so has not ended. An exception that
    // gets out of it ends the process: Rust catches none of another language.
    let returned = unsafe { callback(event.as_ptr(), user_data.data()) };
    if let Some(completion) = event.take_completion() {
        completion.complete(event.result(returned));
    }
}

/// Adds a hook by `register`.
fn add(
    callback: ck_hook_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
    register: impl FnOnce(Hook) -> Result<HookId, Rejected>,
) -> clusterkit::Result<HookId> {
    let callback = callback.ok_or_else(|| null("callback"))?;
    let foreign = Foreign::new(user_data, destroy);
    let claim = foreign.claim();
    let hook = Hook::deferred(move |event, completion| call(callback, event, completion, &foreign));
    match register(hook) {
        Ok(id) => {
            claim.keep();
            Ok(id)
        }
        Err(rejected) => {
            claim.give_back();
            Err(rejected.into_error())
        }
    }
}

/// Adds a hook: callback is called for every event of the kinds in events, a sum of CK_EVENT_* or CK_EVENT_ALL, in
/// the order in which they happened. docs/hooks.md tells of order and concurrency. Any number of hooks may be added, before and
/// after the start: one that takes partition changes is first told what this node holds already.
///
/// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
/// is not NULL, is called with it exactly once, when the hook has been removed, the node has stopped or was freed,
/// and no call of the hook runs or will. When ck_cluster_stop has returned success it has been, also where the two were
/// called at the same time. On failure destroy is not called and user_data is still the caller's.
/// out_id: set on success, names the hook to ck_hook_remove; else 0; may be NULL. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_add(
    cluster: *mut ck_cluster_t,
    events: u32,
    callback: ck_hook_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
    out_id: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_id may be written or is NULL, says the header.
    unsafe { clear(out_id) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let filter = filter_of(events)?;
        let register = |hook| cluster.node().try_register_hook(filter, hook);
        let id = add(callback, user_data, destroy, register)?;
        // SAFETY: as above.
        unsafe { store(out_id, id.0) };
        Ok(())
    })
}

/// Adds a hook that observes: callback is called for every event from now on, one after the other, in order. Nothing waits for
/// it, however long it takes: what it returns confirms no copy.
///
/// cluster: borrowed for the call. callback, destroy, user_data, out_id: as for ck_hook_add. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_observer_add(
    cluster: *mut ck_cluster_t,
    callback: ck_hook_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
    out_id: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_id may be written or is NULL, says the header.
    unsafe { clear(out_id) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let observe = |hook| cluster.node().try_observe(hook);
        let id = add(callback, user_data, destroy, observe)?;
        // SAFETY: as above.
        unsafe { store(out_id, id.0) };
        Ok(())
    })
}

/// Removes a hook, also one that observes. When it returns success, no call of the hook runs or will, and its destroy function has
/// run, unless it was called inside a hook of this node: then both are true when the call under way returns. A call that was
/// deferred goes on to its end, and counts.
///
/// cluster: borrowed for the call. Blocks: until a call of the hook that is under way returns, for at most timeout_ms
/// milliseconds. A hook may call it, for itself too, and is not waited for; hooks of two nodes that remove each other's wait
/// until their time is up.
/// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such hook (any more); TIMEOUT when a call has not returned: the hook is
/// removed all the same, and destroy is called when that returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_remove(
    cluster: *mut ck_cluster_t,
    id: u64,
    timeout_ms: u32,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        cluster.node().remove_hook_within(HookId(id), millis(timeout_ms))
    })
}

/// Ends a call that was deferred. Does nothing where the node has stopped meanwhile. NULL is allowed.
///
/// completion: consumed. result: 0 for success; anything else is a failure, as if the callback had returned it. reason: why, in
/// words, UTF-8, borrowed for the call; may be NULL; what is not UTF-8 in it is replaced. Never fails, never blocks; a hook may
/// call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_completion_end(
    completion: *mut ck_completion_t,
    result: i32,
    reason: *const c_char,
    reason_len: usize,
) {
    if completion.is_null() || guard::forked() {
        return;
    }
    // SAFETY: a completion that this library gave and nobody has ended, and readable bytes of this length, says the header.
    let (completion, reason) = unsafe { (Box::from_raw(completion), reason_of(result, reason, reason_len)) };
    drop(guard::caught(|| completion.0.complete(reason)));
}

/// The result of a call that ends with a number and words.
///
/// # Safety
/// Readable bytes of this length, or NULL.
pub(crate) unsafe fn reason_of(result: i32, reason: *const c_char, reason_len: usize) -> Result<(), String> {
    if result == 0 {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let words = unsafe { text(reason, reason_len, "reason") };
    Err(match words {
        Ok("") => format!("it ended with {result}"),
        Ok(words) => words.to_owned(),
        // The call has ended all the same, and this cannot fail.
        Err(error) => format!("it ended with {result}: {}", error.message()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::event::ck_event_node_join;
    use crate::testing::{count_end, join_event, text_at, user_data};

    /// A hook as C has one: it reads the event and its data, and answers with how often it was called.
    unsafe extern "C-unwind" fn counts(event: *const ck_event_t, user_data: *mut c_void) -> i32 {
        // SAFETY: both are there until this returns.
        unsafe {
            assert_eq!(text_at((*(*ck_event_node_join(event)).node).id), "joined");
            let calls = &*user_data.cast_const().cast::<AtomicUsize>();
            i32::try_from(calls.fetch_add(1, Ordering::Relaxed)).unwrap()
        }
    }

    #[test]
    fn a_hook_of_c_reads_the_event_and_says_how_it_went() {
        let calls = Arc::new(AtomicUsize::new(0));
        let foreign = Foreign::new(user_data(&calls), Some(count_end));
        for _ in 0..2 {
            let event = CEvent::new(Arc::new(join_event("joined")), None);
            // SAFETY: as in `call`.
            let returned = unsafe { counts(event.as_ptr(), foreign.data()) };
            let result = event.result(returned);
            assert_eq!(result.is_ok(), returned == 0);
            if let Err(failed) = result {
                assert_eq!(failed, "the callback returned 1");
            }
        }
        drop(foreign);
        // Two calls, and one end.
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        assert_eq!(Arc::strong_count(&calls), 1);
    }

    #[test]
    fn a_call_ends_with_words_or_without() {
        let words = "no space";
        // SAFETY: readable texts.
        unsafe {
            assert_eq!(reason_of(0, std::ptr::null(), 0), Ok(()));
            assert_eq!(reason_of(3, std::ptr::null(), 0), Err("it ended with 3".into()));
            let told = reason_of(1, words.as_ptr().cast(), words.len());
            assert_eq!(told, Err(words.into()));
            assert!(reason_of(1, c"\xff".as_ptr(), 1).is_err());
        }
    }
}
