//! The calls of a client that wait, each in two forms.

use std::ffi::c_void;

use clusterkit::{AsyncClient, Result};

use crate::border::guard::fallible;
use crate::border::handle::{borrow, clear, store};
use crate::client::ck_client_t;
use crate::cluster::millis;
use crate::done::{Outcome, ck_done_fn};
use crate::error::ck_error_t;

/// Runs a call that answers with a revision.
///
/// # Safety
/// A live client or NULL; `out_revision` may be written or is NULL.
unsafe fn answer(
    client: *const ck_client_t,
    out_revision: *mut u64,
    call: impl FnOnce(&clusterkit::Client) -> Result<u64>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { clear(out_revision) };
    fallible(|| {
        // SAFETY: as above.
        let revision = call(unsafe { borrow(client, "client") }?.client())?;
        // SAFETY: as above.
        unsafe { store(out_revision, revision) };
        Ok(())
    })
}

/// Waits for the first view.
///
/// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
/// timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; TIMEOUT with what failed last; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_ready(
    client: *const ck_client_t,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, and a live client or NULL, says the header.
    unsafe {
        answer(client, out_revision, |client| {
            client.wait_ready(millis(timeout_ms))
        })
    }
}

/// ck_client_wait_ready without waiting for it: the result has the revision.
///
/// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_ready_async(
    client: *const ck_client_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        let call = move |client: AsyncClient| async move { client.wait_ready(millis(timeout_ms)).await };
        client.begin(done, user_data, call, Outcome::revision)
    })
}

/// Waits for a view that is newer than revision. Asks nobody besides.
///
/// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
/// timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; TIMEOUT when there is none; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_for_change(
    client: *const ck_client_t,
    revision: u64,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, and a live client or NULL, says the header.
    unsafe {
        answer(client, out_revision, |client| {
            client.wait_for_change(revision, millis(timeout_ms))
        })
    }
}

/// ck_client_wait_for_change without waiting for it: the result has the revision.
///
/// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_for_change_async(
    client: *const ck_client_t,
    revision: u64,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        let call = move |client: AsyncClient| async move {
            client.wait_for_change(revision, millis(timeout_ms)).await
        };
        client.begin(done, user_data, call, Outcome::revision)
    })
}

/// Waits until the view has revision: a client that was told a revision, by a member or by another client, reads at
/// least that. Where the member that is followed does not bring it in a moment, others are asked.
///
/// client: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_for_revision(
    client: *const ck_client_t,
    revision: u64,
    timeout_ms: u32,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?.client();
        client.wait_for_revision(revision, millis(timeout_ms))
    })
}

/// ck_client_wait_for_revision without waiting for it.
///
/// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_wait_for_revision_async(
    client: *const ck_client_t,
    revision: u64,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        let call = move |client: AsyncClient| async move {
            client.wait_for_revision(revision, millis(timeout_ms)).await
        };
        client.begin(done, user_data, call, move |()| Outcome::revision(revision))
    })
}

/// Asks now: afterwards the view has what a member in contact with the leader had after this call began. Asks until a member
/// answers; calls at the same time share one answer.
///
/// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
/// timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; what the members said last (UNREACHABLE, NO_LEADER, WRONG_CLUSTER, VERSION, TOO_LARGE and others), or
/// TIMEOUT when they said nothing; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_refresh(
    client: *const ck_client_t,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, and a live client or NULL, says the header.
    unsafe { answer(client, out_revision, |client| client.refresh(millis(timeout_ms))) }
}

/// ck_client_refresh without waiting for it: the result has the revision.
///
/// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_refresh_async(
    client: *const ck_client_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        let call = move |client: AsyncClient| async move { client.refresh(millis(timeout_ms)).await };
        client.begin(done, user_data, call, Outcome::revision)
    })
}

/// ck_client_refresh, from a member that has applied every write that was acknowledged before this call: what is looked up
/// afterwards is linearizable.
///
/// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
/// timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; as ck_client_refresh.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_read_barrier(
    client: *const ck_client_t,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, and a live client or NULL, says the header.
    unsafe {
        answer(client, out_revision, |client| {
            client.read_barrier(millis(timeout_ms))
        })
    }
}

/// ck_client_read_barrier without waiting for it: the result has the revision.
///
/// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_read_barrier_async(
    client: *const ck_client_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        let call = move |client: AsyncClient| async move { client.read_barrier(millis(timeout_ms)).await };
        client.begin(done, user_data, call, Outcome::revision)
    })
}
