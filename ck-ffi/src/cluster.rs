//! A node of a cluster: its life.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use clusterkit::{AsyncClusterKit, ClusterKit, Error, ErrorCode, Result};

use crate::border::guard::{self, fallible, fallible_out, plain, prepare_process};
use crate::border::handle::borrow;
use crate::border::text::{CText, fill};
use crate::done::{DoneQueue, Outcome, ck_done_fn};
use crate::error::ck_error_t;
use crate::named_options::OptionsHandle;
use crate::options::ck_options_t;
use crate::values::ck_text_t;

/// The size of a buffer that holds every address: "host:port" and a NUL.
pub const CK_ADDRESS_SIZE: usize = 272;

/// The size of a buffer that holds every node id and a NUL.
pub const CK_NODE_ID_SIZE: usize = 256;

/// A node of a cluster, embedded in this process. Several in one process share one set of threads, which start
/// with the first and end with the last.
// C's pointers hold an Arc each: ck_cluster_ref makes another.
pub struct ck_cluster_t {
    node: AsyncClusterKit,
    my_id: CText,
    done: DoneQueue,
    /// False where the node is that of a test cluster, which ends it.
    is_owned: bool,
}

impl ck_cluster_t {
    pub(crate) fn new(node: ClusterKit) -> Self {
        ck_cluster_t {
            my_id: CText::new(node.my_node_id()),
            node: node.into_async(),
            done: DoneQueue::default(),
            is_owned: true,
        }
    }

    /// A node that ends with its test cluster.
    pub(crate) fn of_test_cluster(node: ClusterKit) -> Self {
        ck_cluster_t {
            is_owned: false,
            ..ck_cluster_t::new(node)
        }
    }

    /// Makes it C's to free.
    pub(crate) fn give(self) -> *mut Self {
        Arc::into_raw(Arc::new(self)).cast_mut()
    }

    #[inline]
    pub(crate) fn node(&self) -> &ClusterKit {
        &self.node
    }

    /// # Errors
    /// NOT_STARTED before the start: there is nothing to ask the node about.
    pub(crate) fn refuse_before_start(&self) -> Result<()> {
        if self.node.was_started() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::NotStarted,
            "the node was not started: ck_cluster_start comes first",
        ))
    }

    /// Begins a call whose outcome `done` hears of.
    ///
    /// # Errors
    /// When there is no function to tell, or no thread for it: the call does not begin then.
    pub(crate) fn begin<T, F>(
        &self,
        done: ck_done_fn,
        user_data: *mut c_void,
        call: impl FnOnce(AsyncClusterKit) -> F + Send + 'static,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) -> Result<()>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let spawn = |task| self.node.spawn(task);
        self.done
            .begin(done, user_data, spawn, call(self.node.clone()), outcome)
    }

    /// Closes the node, and waits for what C is still to hear.
    pub(crate) fn end(self: Arc<Self>) {
        let Some(cluster) = Arc::into_inner(self) else {
            // Another share is left.
            return;
        };
        let ck_cluster_t {
            node, done, is_owned, ..
        } = cluster;
        if !is_owned {
            match node.has_stopped() {
                true => done.close(),
                false => done.close_later(),
            }
            return;
        }
        // A call that is under way keeps a share of the node of its own. This one is the last to go, so that the
        // runtime's threads end here.
        let last = node.clone();
        let closed = node.into_blocking().close();
        if closed.is_err_and(|error| error.code() == ErrorCode::InHook) {
            // It does not wait for the hook that it is called in. The rest happens in the background.
            let closing = last.clone();
            last.spawn(Box::pin(async move { drop(closing.close().await) }));
            done.close_later();
            return;
        }
        // Nobody is left to hear of other errors.
        done.close();
    }
}

/// A duration from C. 32 bits of milliseconds are 49 days, which no sum of times overflows.
pub(crate) fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}

/// Makes a node with these options. Opens nothing before ck_cluster_start.
///
/// options: copied. out: set on success, to be freed with ck_cluster_free; NULL on failure. Never blocks; a hook
/// may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the system has no more threads to give.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_new(
    options: *const ck_options_t,
    out: *mut *mut ck_cluster_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and live options or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let options = borrow(options, "options")?;
            prepare_process()?;
            let options = options.lock().clone();
            slot.put_pointer(ck_cluster_t::new(ClusterKit::new(options)?).give());
            Ok(())
        })
    }
}

/// Another share of a node, for another owner: each is freed once, and the last of them ends the node. NULL for NULL.
///
/// cluster: borrowed for the call. Returns: the same pointer, to be freed with ck_cluster_free. Never fails, never blocks; a
/// hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_ref(cluster: *const ck_cluster_t) -> *mut ck_cluster_t {
    if !cluster.is_null() {
        // SAFETY: a live node, says the header, and so an Arc that C holds a share of.
        unsafe { Arc::increment_strong_count(cluster) };
    }
    cluster.cast_mut()
}

/// Ends a node and frees it: closes its files and sockets, without telling the other nodes where ck_cluster_stop
/// has not. Where ck_cluster_ref has made other shares, only the last free does that. Views that were acquired from it live
/// on. NULL is allowed.
///
/// When it returns, no hook, no completion and no log callback of this node runs or will, all messages were told, every destroy
/// function has run, every call that was begun has been told its outcome, and with the last node of the process the threads of
/// the library have ended. The exceptions: a hook that does not return within 5 s (together with a stop before), a completion
/// callback that does not within 5 s, and a log callback that does not within 1 s, are left to themselves: each is called no
/// more, and its destroy function runs when it returns. Inside a hook of this node nothing is waited for: all that happens soon
/// afterwards, in the background. Inside its log callback or a completion callback that call is not waited for; for the log
/// callback it is the last one.
///
/// cluster: consumed; no other call with it may be under way or follow. Blocks: for as long as closing takes,
/// milliseconds as a rule, and never longer than 11 s and what the disk takes. A hook may call it. In a forked child it
/// leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_free(cluster: *mut ck_cluster_t) {
    if cluster.is_null() || guard::forked() {
        return;
    }
    // SAFETY: a share that this library gave and nobody has freed, says the header.
    let cluster = unsafe { Arc::from_raw(cluster.cast_const()) };
    drop(guard::caught(|| cluster.end()));
}

/// Starts the node: it bootstraps a cluster, joins one, or rejoins its own, as its options and its data_dir
/// say. Returns when it is a member. A node starts once; after a failure free it.
///
/// cluster: borrowed for the call. Blocks: for at most the option join_timeout and a little; a node that was a
/// member before then returns success and goes on trying. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT, ALREADY_STARTED, STOPPED, JOIN_FAILED with what every address answered,
/// JOIN_REFUSED, ADDRESS_IN_USE, DATA_DIR_IN_USE, WRONG_CLUSTER, CLUSTER_MISMATCH, DUPLICATE_NODE, REMOVED,
/// CORRUPT, IO, IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_start(cluster: *mut ck_cluster_t) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, says the header.
    fallible(|| unsafe { borrow(cluster, "cluster") }?.node().start())
}

/// ck_cluster_start without waiting for it.
///
/// cluster: borrowed for the call; it may be freed at once, which ends the start. done, user_data: see ck_done_fn. Never blocks;
/// a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_start_async(
    cluster: *mut ck_cluster_t,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = |node: AsyncClusterKit| async move { node.start().await };
        cluster.begin(done, user_data, call, |()| Outcome::default())
    })
}

/// Stops the node in an orderly way: the other nodes take over what it has, then everything is closed. After
/// success no hook of this node runs or will, and every destroy function of a hook has run, once, those of hooks that were
/// added or removed at the same time included: none runs later. The log callback stays until ck_cluster_free, and so does
/// its destroy function; this call waits for up to 1 s of its time until the callback has heard everything, and does not
/// fail where it has not. Stopping again is legal and waits for the first.
///
/// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may not call it (IN_HOOK);
/// it may free the node.
/// Errors: INVALID_ARGUMENT; IN_HOOK; TIMEOUT when time is up, stopping then goes on and can be waited for by
/// another call, or when a hook has not returned after 5 s, everything else being closed: the message names the hook and its
/// event; IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_stop(cluster: *mut ck_cluster_t, timeout_ms: u32) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        cluster.node().stop_within(millis(timeout_ms))
    })
}

/// ck_cluster_stop without waiting for it. It takes a few seconds at most.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_stop_async(
    cluster: *mut ck_cluster_t,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = |node: AsyncClusterKit| async move { node.stop().await };
        cluster.begin(done, user_data, call, |()| Outcome::default())
    })
}

/// Leaves the cluster for ever: leadership and all copies of this node move to other nodes, then it is removed and stops.
///
/// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; NOT_STARTED; IN_HOOK; REFUSED when no node could take over, the only active node cannot leave;
/// TIMEOUT with what is left to move: the node goes on leaving, and the call may be made again; STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_leave(cluster: *mut ck_cluster_t, timeout_ms: u32) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        cluster.node().leave(millis(timeout_ms))
    })
}

/// ck_cluster_leave without waiting for it.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_leave_async(
    cluster: *mut ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = move |node: AsyncClusterKit| async move { node.leave(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, |()| Outcome::default())
    })
}

/// The address at which others reach this node, "host:port": what another node is given as join_addrs.
///
/// cluster: borrowed for the call. buffer: size bytes, filled with the address and a NUL; CK_ADDRESS_SIZE bytes
/// are enough; an empty text on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, TOO_LARGE when the buffer is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_http_addr(
    cluster: *const ck_cluster_t,
    buffer: *mut c_char,
    size: usize,
) -> *mut ck_error_t {
    // SAFETY: the buffer has `size` bytes or is NULL, says the header.
    unsafe { clear_text(buffer, size) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let address = cluster
            .node()
            .http_addr()
            .ok_or_else(|| Error::new(ErrorCode::NotStarted, "the node does not listen yet"))?;
        // SAFETY: as above.
        unsafe { fill(buffer, size, &address, "buffer") }
    })
}

/// Makes a buffer of C's an empty text, before anything can fail.
///
/// # Safety
/// `size` bytes can be written at a pointer that is not NULL.
pub(crate) unsafe fn clear_text(buffer: *mut c_char, size: usize) {
    if !buffer.is_null() && size > 0 {
        // SAFETY: the caller's promise.
        unsafe { buffer.write(0) };
    }
}

/// This node's id. NULL for NULL.
///
/// cluster: borrowed for the call. Returns: valid until the cluster is freed. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_my_node_id(cluster: *const ck_cluster_t) -> *const c_char {
    plain(std::ptr::null(), || {
        // SAFETY: a live node or NULL, says the header.
        Ok(unsafe { borrow(cluster, "cluster") }?.my_id.as_ptr())
    })
}

/// What this node waits for before it is ready, in words for people: NULL in *out when it is ready, a member that knows a leader
/// and holds a lease. A node that was a member before returns from ck_cluster_start when join_timeout has passed, ready or not.
///
/// cluster: borrowed for the call. out: set on success where it waits, to be freed with ck_text_free; else NULL. Never blocks;
/// a hook may call it.
/// Errors: INVALID_ARGUMENT; why it will never be ready and has to be started anew or given up: REMOVED, DUPLICATE_NODE and the
/// like, IO, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_waiting_for(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            if let Some(what) = borrow(cluster, "cluster")?.node().waiting_for()? {
                slot.put(ck_text_t::new(&what));
            }
            Ok(())
        })
    }
}
