//! A node of a cluster: its life, and what waits for the cluster.

use std::ffi::c_char;
use std::time::Duration;

use clusterkit::{ClusterKit, Error, ErrorCode};

use crate::error::ck_error_t;
use crate::guard::{fallible, watch_forks};
use crate::handle::{self, Handle, borrow, store};
use crate::lookup::{CK_NODE_ID_SIZE, ck_leader_t};
use crate::options::ck_options_t;
use crate::text::fill;

/// The size of a buffer that holds every address: "host:port" and a NUL.
pub const CK_ADDRESS_SIZE: usize = 272;

/// A node of a cluster, embedded in this process. Several in one process share one set of threads, which start
/// with the first and end with the last.
pub struct ck_cluster_t(pub(crate) ClusterKit);

impl Handle for ck_cluster_t {}

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
    fallible(|| {
        // SAFETY: out may be written or is NULL, and live options or NULL, says the header.
        let (slot, options) = unsafe { (handle::out(out, "out")?, borrow(options, "options")?) };
        watch_forks()?;
        let options = options.lock().clone();
        slot.put(ck_cluster_t(ClusterKit::new(options)?));
        Ok(())
    })
}

/// Ends a node and frees it: closes its files and sockets, without telling the other nodes where ck_cluster_stop
/// has not. Views that were acquired from it live on. NULL is allowed.
///
/// When it returns, no hook and no log callback of this node runs or will, all messages were told, every destroy
/// function has run, and with the last node of the process the threads of the library have ended. Two exceptions: a hook
/// that does not return within 5 s, and a log callback that does not within 1 s, are left to themselves: each is called no
/// more, and its destroy function runs when it returns. Inside a hook of this node nothing is waited for: all that happens
/// soon afterwards, in the background. Inside its log callback that call is not waited for, and it is the last one.
///
/// cluster: consumed; no other call with it may be under way or follow. Blocks: for as long as closing takes,
/// milliseconds as a rule, and never longer than 6 s and what the disk takes. A hook may call it. In a forked child it
/// leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_free(cluster: *mut ck_cluster_t) {
    // SAFETY: a node that this library gave and nobody has freed, or NULL, says the header.
    unsafe {
        handle::take_back(cluster, |cluster| {
            // Inside a hook it refuses to wait, and is dropped instead. Nobody is left to hear of other errors.
            drop(cluster.0.close());
        });
    }
}

/// Starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data_dir
/// say. Returns when it is a member. A node starts once; after a failure free it.
///
/// cluster: borrowed for the call. Blocks: for at most the option join_timeout and a little; a node that was a
/// member before then returns success and goes on trying. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT, ALREADY_STARTED, STOPPED, JOIN_FAILED with what every address answered,
/// JOIN_REFUSED, ADDRESS_IN_USE, DATA_DIR_IN_USE, WRONG_CLUSTER, CLUSTER_MISMATCH, DUPLICATE_NODE, REMOVED,
/// CORRUPT, IO, IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_start(cluster: *mut ck_cluster_t) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        unsafe { borrow(cluster, "cluster") }?.0.start()
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
/// another call, or when a hook has not returned after 5 s, everything else being closed; IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_stop(cluster: *mut ck_cluster_t, timeout_ms: u32) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        unsafe { borrow(cluster, "cluster") }?
            .0
            .stop_within(millis(timeout_ms))
    })
}

/// The address at which others reach this node, "host:port": what another node is given as join_addrs.
///
/// cluster: borrowed for the call. buffer: size bytes, filled with the address and a NUL; CK_ADDRESS_SIZE bytes
/// are enough. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, TOO_LARGE when the buffer is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_http_addr(
    cluster: *const ck_cluster_t,
    buffer: *mut c_char,
    size: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        if buffer.is_null() {
            return Err(handle::null("buffer"));
        }
        let address = cluster
            .0
            .http_addr()
            .ok_or_else(|| Error::new(ErrorCode::NotStarted, "the node does not listen yet"))?;
        if address.len() >= size {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "the address and its NUL take {} bytes, the buffer has {size}",
                    address.len() + 1
                ),
            ));
        }
        // SAFETY: the buffer has `size` bytes, says the header, which is more than the text has.
        unsafe {
            std::ptr::copy_nonoverlapping(address.as_ptr().cast(), buffer, address.len());
            buffer.add(address.len()).write(0);
        }
        Ok(())
    })
}

/// Waits until a leader is known.
///
/// cluster: borrowed for the call. out: filled on success; may be NULL. Blocks: for at most timeout_ms
/// milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NO_LEADER when there is none in time, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_wait_for_leader(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    out: *mut ck_leader_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let leader = cluster.0.wait_for_leader(millis(timeout_ms))?;
        let mut node_id = [0; CK_NODE_ID_SIZE];
        fill(&mut node_id, &leader.leader_id);
        let leader = ck_leader_t {
            epoch: leader.epoch,
            term: leader.term,
            node_id,
        };
        // SAFETY: out may be written or is NULL, says the header.
        unsafe { store(out, leader) };
        Ok(())
    })
}

/// Waits until this node has applied a revision: read your writes, also those made through another node.
///
/// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, TIMEOUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_wait_for_revision(
    cluster: *const ck_cluster_t,
    revision: u64,
    timeout_ms: u32,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        cluster.0.wait_for_revision(revision, millis(timeout_ms))
    })
}
