//! A client: a process that is no member follows a cluster, and looks up keys in the same views as a member does.

use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::sync::Arc;

use clusterkit::routing::ClusterView;
use clusterkit::{AddrStatus, AsyncClient, Client, ClientStatus, Error, ErrorCode, Result};

use crate::border::foreign::Foreign;
use crate::border::guard::{self, caught, fallible, fallible_out, prepare_process};
use crate::border::handle::borrow;
use crate::border::record::{Keep, Record, list};
use crate::client_options::ck_client_options_t;
use crate::done::{DoneQueue, Outcome, ck_done_fn};
use crate::error::ck_error_t;
use crate::hook::ck_destroy_fn;
use crate::log::{ck_log_fn, log_callback};
use crate::named_options::OptionsHandle;
use crate::view::{as_pointer, ck_view_t, give, refresh};

/// A client of a cluster: no member of it. It follows the cluster over HTTP through any of its nodes, keeps the newest view that
/// it has seen, and goes on looking for a member whatever happens. Its view never goes back, and never changes to another
/// cluster. docs/client.md tells the rest.
// C's pointers hold an Arc each: ck_client_ref makes another.
pub struct ck_client_t {
    client: AsyncClient,
    done: DoneQueue,
}

impl ck_client_t {
    #[inline]
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a call whose outcome `done` hears of.
    ///
    /// # Errors
    /// When there is no function to tell, or no thread for it: the call does not begin then.
    pub(crate) fn begin<T: Send + 'static, F>(
        &self,
        done: ck_done_fn,
        user_data: *mut c_void,
        call: impl FnOnce(AsyncClient) -> F,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) -> Result<()>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let spawn = |task| self.client.spawn(task);
        self.done
            .begin(done, user_data, spawn, call(self.client.clone()), outcome)
    }

    /// Closes the client, and waits for what C is still to hear.
    fn end(self: Arc<Self>) {
        let Some(owned) = Arc::into_inner(self) else {
            // Another share is left.
            return;
        };
        let ck_client_t { client, done } = owned;
        // The last share of the client goes at the end of this, so that the runtime's threads end here.
        let closed = client.clone().into_blocking().close();
        if closed.is_err_and(|error| error.code() == ErrorCode::InHook) {
            // Nothing may be waited for on this thread. It is closed all the same.
            done.close_later();
            return;
        }
        // Nobody is left to hear of other errors.
        done.close();
    }
}

/// What is known of one address of a client. The library owns it; it is valid until its status is freed. New fields go to the
/// end.
#[repr(C)]
pub struct ck_client_addr_t {
    /// The address, "host:port".
    pub addr: *const c_char,
    /// Why it failed last; NULL once it has answered since, and where it was never asked.
    pub last_error: *const c_char,
    /// The code of that error, CK_ERROR_*; 0 where there is none.
    pub last_error_code: i32,
    /// The number of failures since it last answered.
    pub failures: u32,
    /// True where the options name it, false where the cluster does.
    pub is_given: bool,
}

/// How a client is connected, and how old its view may be. The library owns it; it is valid until it is freed with
/// ck_client_status_free. New fields go to the end.
#[repr(C)]
pub struct ck_client_status_t {
    /// The address of the member that is followed at present; NULL while none is.
    pub connected: *const c_char,
    /// The id of the cluster that is followed; empty before its first answer.
    pub cluster_id: *const c_char,
    /// Its name; empty before its first answer.
    pub cluster_name: *const c_char,
    /// What failed last, with the address; NULL where nothing has. It stays when all is well again.
    pub last_error: *const c_char,
    /// Every address that may be asked, the given ones first.
    pub addrs: *const *const ck_client_addr_t,
    /// How many they are.
    pub addr_count: usize,
    /// The revision of the view; 0 before the first answer.
    pub revision: u64,
    /// The time since the last answer of a member that knew a leader, in milliseconds; UINT64_MAX before the first. While the
    /// cluster is quiet it grows up to the option poll_timeout.
    pub last_contact_ms: u64,
    /// The code of last_error, CK_ERROR_*: WRONG_CLUSTER where another cluster answers; 0 where there is none.
    pub last_error_code: i32,
    /// True when the view may be older than the cluster by more than a moment: no member is followed, the one that is has lost
    /// contact with the leader, or nothing was heard for longer than a poll and its answer may take.
    pub is_stale: bool,
    /// True from ck_client_close on.
    pub is_closed: bool,
}

/// The records of addresses that a status points at.
pub(crate) struct AddrList {
    _records: Vec<ck_client_addr_t>,
    pointers: Vec<*const ck_client_addr_t>,
}

fn error_text(error: Option<&Error>, keep: &mut Keep) -> (*const c_char, i32) {
    match error {
        Some(error) => (keep.text(&error.to_string()), error.code().number()),
        None => (null(), 0),
    }
}

fn addr_of(status: &AddrStatus, keep: &mut Keep) -> ck_client_addr_t {
    let (last_error, last_error_code) = error_text(status.last_error.as_ref(), keep);
    ck_client_addr_t {
        addr: keep.text(&status.addr),
        last_error,
        last_error_code,
        failures: status.failures,
        is_given: status.is_given,
    }
}

fn status_of(status: &ClientStatus, keep: &mut Keep) -> ck_client_status_t {
    let records: Vec<_> = status.addrs.iter().map(|addr| addr_of(addr, keep)).collect();
    let pointers = records.iter().map(std::ptr::from_ref).collect();
    let addr_list = AddrList {
        _records: records,
        pointers,
    };
    let (addrs, addr_count) = list(&addr_list.pointers);
    keep.addrs(addr_list);
    let (last_error, last_error_code) = error_text(status.last_error.as_ref(), keep);
    let contact = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    ck_client_status_t {
        connected: keep.text_or_null(status.connected.as_deref().unwrap_or_default()),
        cluster_id: keep.text(&status.cluster_id),
        cluster_name: keep.text(&status.cluster_name),
        last_error,
        addrs,
        addr_count,
        revision: status.revision,
        last_contact_ms: status.last_contact.map_or(u64::MAX, contact),
        last_error_code,
        is_stale: status.is_stale,
        is_closed: status.is_closed,
    }
}

/// Creates a client, which begins to look for a member at once.
///
/// options: copied. out: set on success, to be freed with ck_client_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the system has no more threads to give.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_new(
    options: *const ck_client_options_t,
    out: *mut *mut ck_client_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and live options or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let options = borrow(options, "options")?;
            prepare_process()?;
            let options = options.lock().clone();
            let client = ck_client_t {
                client: AsyncClient::new(options)?,
                done: DoneQueue::default(),
            };
            slot.put_pointer(Arc::into_raw(Arc::new(client)).cast_mut());
            Ok(())
        })
    }
}

/// Another share of a client, for another owner: each is freed once, and the last of them closes the client. NULL for NULL.
///
/// client: borrowed for the call. Returns: the same pointer, to be freed with ck_client_free. Never fails, never blocks; a hook
/// may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_ref(client: *const ck_client_t) -> *mut ck_client_t {
    if !client.is_null() {
        // SAFETY: a live client, says the header, and so an Arc that C holds a share of.
        unsafe { Arc::increment_strong_count(client) };
    }
    client.cast_mut()
}

/// Closes a client and frees it; where ck_client_ref has made other shares, only the last free does that. Views that were
/// acquired from it live on. NULL is allowed.
///
/// When it returns, no callback of this client runs or will, every destroy function has run, and every call that was begun has
/// been told its outcome. The exceptions: a callback for changes and a log callback that do not return within 1 s, and a
/// completion callback that does not within 5 s, are left to themselves: each is called no more, and its destroy function runs
/// when it returns. Inside a callback of this client that call is not waited for.
///
/// client: consumed; no other call with it may be under way or follow. Blocks: milliseconds as a rule, 12 s at most. A hook may
/// call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_free(client: *mut ck_client_t) {
    if client.is_null() || guard::forked() {
        return;
    }
    // SAFETY: a share that this library gave and nobody has freed, says the header.
    let client = unsafe { Arc::from_raw(client.cast_const()) };
    drop(caught(|| client.end()));
}

/// Closes a client before it is freed: calls that wait, in whichever thread, answer STOPPED, callbacks end as with
/// ck_client_free, and so do their destroy functions. The view stays as it is. Closing again is legal.
///
/// client: borrowed for the call. Blocks: milliseconds as a rule, 7 s at most. A hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_close(client: *mut ck_client_t) -> *mut ck_error_t {
    // SAFETY: a live client or NULL, says the header.
    fallible(|| unsafe { borrow(client, "client") }?.client().close())
}

/// Acquires the newest view: all functions ck_view_* answer for it what a member's view would, but that there is no "this
/// node": ck_view_my_node is NULL, and every role is none. Before the first answer of a member it is empty, at revision 0.
///
/// client: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure. Never blocks,
/// allocates nothing; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_view_acquire(
    client: *const ck_client_t,
    out: *mut *mut ck_view_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live client or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let client = borrow(client, "client")?;
            slot.put_pointer(give(client.client().view().into_owned()));
            Ok(())
        })
    }
}

/// Sees to it that *view is the newest view of the client, as ck_view_refresh does for a node's.
///
/// client: borrowed for the call. view: a place that holds NULL or a view of this client, which no other thread uses meanwhile;
/// on failure it stays as it is. Never blocks, allocates nothing; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_view_refresh(
    client: *const ck_client_t,
    view: *mut *mut ck_view_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?;
        // SAFETY: the place holds NULL or a live view that only this thread uses, says the header.
        unsafe { refresh(view, client.client().view()) }
    })
}

/// How the client is connected, and how old its view may be.
///
/// client: borrowed for the call. out: set on success, to be freed with ck_client_status_free; NULL on failure. Never blocks; a
/// hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_status(
    client: *const ck_client_t,
    out: *mut *mut ck_client_status_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live client or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let status = borrow(client, "client")?.client().status();
            slot.put_pointer(Record::give(|keep| status_of(&status, keep)));
            Ok(())
        })
    }
}

/// Frees a status. NULL is allowed.
///
/// status: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_status_free(status: *mut ck_client_status_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(status) };
}

/// Called with each newer view of a client, first with the present one where there is one. Where several came during a call, the
/// next call has the newest. view: valid until the callback returns; ck_view_ref makes a share to keep. user_data: what was
/// given with the callback.
///
/// Called on a thread that does nothing else, one call after the other. It may block, and may call every function of this
/// library. It must return: no exception, no longjmp.
pub type ck_change_fn = Option<unsafe extern "C-unwind" fn(view: *const ck_view_t, user_data: *mut c_void)>;

/// Sets what is called with each newer view. It replaces an earlier callback; NULL, which is the default, ends that.
///
/// client: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it is not NULL, is
/// called with it exactly once, when the callback has been replaced or the client was closed, and no call of it runs or will.
/// On failure destroy is not called and user_data is still the caller's. Never blocks; a hook may call it, and so may the
/// callback, and destroy.
/// Errors: INVALID_ARGUMENT; IO when the system has no more threads to give; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_set_on_change(
    client: *mut ck_client_t,
    callback: ck_change_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?.client();
        let foreign = Foreign::new(user_data, destroy);
        let claim = foreign.claim();
        let Some(callback) = callback else {
            // The data ends here, by the same rule.
            return client.on_change(None).inspect_err(|_| claim.give_back());
        };
        let change: clusterkit::ChangeCallback = Arc::new(move |view: &Arc<ClusterView>| {
            // SAFETY: C gave the function for such a call, with this data, which is borrowed and so has not ended; the view
            // lives until it returns. An exception that gets out of it ends the process.
            drop(caught(|| unsafe { callback(as_pointer(view), foreign.data()) }));
        });
        // Kept, so that the data does not end before it is known whose it is.
        let kept = Arc::clone(&change);
        let set = client.on_change(Some(change));
        match set {
            Ok(()) => claim.keep(),
            Err(_) => claim.give_back(),
        }
        drop(kept);
        set
    })
}

/// Sets where messages of this client go, as ck_cluster_set_log does for a node. What it had to say before there was a callback
/// goes to the first one, the first 16 messages.
///
/// client: borrowed for the call. callback, user_data, destroy: as for ck_cluster_set_log. Never blocks; a hook may call it, and
/// so may the callback, and destroy.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_set_log(
    client: *mut ck_client_t,
    callback: ck_log_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live client or NULL, says the header.
        let client = unsafe { borrow(client, "client") }?.client();
        let (callback, claim) = log_callback(callback, "", user_data, destroy);
        client.on_log(callback);
        claim.keep();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::text_at;

    #[test]
    fn an_error_has_its_code_and_its_words() {
        let mut keep = Keep::default();
        let error = Error::new(ErrorCode::WrongCluster, "another one");
        let (text, code) = error_text(Some(&error), &mut keep);
        assert_eq!(code, crate::error::CK_ERROR_WRONG_CLUSTER);
        // SAFETY: what the keep holds.
        assert!(unsafe { text_at(text) }.ends_with("another one"));
        assert_eq!(error_text(None, &mut keep), (null(), 0));
    }
}
