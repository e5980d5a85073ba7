//! What an operator does to a cluster.

use std::ffi::{c_char, c_void};

use clusterkit::{AsyncClusterKit, Result};

use crate::border::guard::fallible;
use crate::border::handle::{borrow, clear, store};
use crate::border::text::text;
use crate::cluster::{ck_cluster_t, millis};
use crate::done::{Outcome, ck_done_fn};
use crate::error::ck_error_t;

/// Runs a call that answers with a revision.
///
/// # Safety
/// A live node or NULL, and out_revision may be written or is NULL.
unsafe fn with_revision(
    cluster: *mut ck_cluster_t,
    out_revision: *mut u64,
    call: impl FnOnce(&ck_cluster_t) -> Result<u64>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { clear(out_revision) };
    fallible(|| {
        // SAFETY: as above.
        let revision = call(unsafe { borrow(cluster, "cluster") }?)?;
        // SAFETY: as above.
        unsafe { store(out_revision, revision) };
        Ok(())
    })
}

/// Runs a call that answers with a revision and a number of partitions.
///
/// # Safety
/// A live node or NULL, and both may be written or are NULL.
unsafe fn with_count(
    cluster: *mut ck_cluster_t,
    out_revision: *mut u64,
    out_count: *mut usize,
    call: impl FnOnce(&ck_cluster_t) -> Result<(u64, usize)>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { clear(out_count) };
    let counted = |cluster: &ck_cluster_t| {
        let (revision, count) = call(cluster)?;
        // SAFETY: as above.
        unsafe { store(out_count, count) };
        Ok(revision)
    };
    // SAFETY: as above.
    unsafe { with_revision(cluster, out_revision, counted) }
}

fn counted((revision, count): (u64, usize)) -> Outcome {
    Outcome {
        revision,
        count,
        ..Outcome::default()
    }
}

/// Why maintenance begins, or NULL for its end.
///
/// # Safety
/// A readable text of this length, or NULL.
unsafe fn reason_of(reason: *const c_char, reason_len: usize) -> Result<Option<String>> {
    if reason.is_null() && reason_len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    Ok(Some(unsafe { text(reason, reason_len, "reason") }?.to_owned()))
}

/// Begins maintenance, or ends it. During maintenance no partitions are moved, and primaries still fail over. The cluster begins
/// it by itself when more than half of its members have failed.
///
/// cluster: borrowed for the call. reason: for people, UTF-8, copied; NULL ends it. out_revision: the revision, set on success,
/// else 0; may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_maintenance(
    cluster: *mut ck_cluster_t,
    reason: *const c_char,
    reason_len: usize,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, a readable text or NULL, and out_revision may be written or is NULL, says the header.
    unsafe {
        with_revision(cluster, out_revision, |cluster| {
            let reason = reason_of(reason, reason_len)?;
            cluster.node().maintenance(reason.as_deref(), millis(timeout_ms))
        })
    }
}

/// ck_maintenance without waiting for it: the result has the revision.
///
/// cluster: borrowed for the call. reason: UTF-8, copied; NULL ends it. done, user_data: see ck_done_fn. Never blocks; a hook
/// may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_maintenance_async(
    cluster: *mut ck_cluster_t,
    reason: *const c_char,
    reason_len: usize,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text or NULL, says the header.
        let (cluster, reason) = unsafe { (borrow(cluster, "cluster")?, reason_of(reason, reason_len)?) };
        let call = move |node: AsyncClusterKit| async move {
            node.maintenance(reason.as_deref(), millis(timeout_ms)).await
        };
        cluster.begin(done, user_data, call, Outcome::revision)
    })
}

/// Removes a member for ever.
///
/// cluster: borrowed for the call. id: UTF-8, copied. force: also where partitions lose their data by it. out_revision: the
/// revision, set on success, else 0; may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED; NOT_FOUND; REFUSED for the leader, for the last member, and without force for the last
/// one that counts as holding a partition's data; NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_remove_node(
    cluster: *mut ck_cluster_t,
    id: *const c_char,
    id_len: usize,
    force: bool,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, a readable text of this length, and out_revision may be written or is NULL, says the
    // header.
    unsafe {
        with_revision(cluster, out_revision, |cluster| {
            let id = text(id, id_len, "id")?;
            let timeout = millis(timeout_ms);
            if force {
                cluster.node().force_remove_node(id, timeout)
            } else {
                cluster.node().remove_node(id, timeout)
            }
        })
    }
}

/// ck_remove_node without waiting for it: the result has the revision.
///
/// cluster: borrowed for the call. id: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_remove_node_async(
    cluster: *mut ck_cluster_t,
    id: *const c_char,
    id_len: usize,
    force: bool,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, id) = unsafe { (borrow(cluster, "cluster")?, text(id, id_len, "id")?.to_owned()) };
        let call = move |node: AsyncClusterKit| async move {
            let timeout = millis(timeout_ms);
            if force {
                node.force_remove_node(&id, timeout).await
            } else {
                node.remove_node(&id, timeout).await
            }
        };
        cluster.begin(done, user_data, call, Outcome::revision)
    })
}

/// Makes the copy on a member the data of a partition that is lost: docs/operations.md, "A partition is lost".
///
/// cluster: borrowed for the call. from: the member's id, UTF-8, copied. force: also where that member does not count as having
/// held the data last. out_revision: the revision, set on success, else 0; may be NULL. Blocks: for at most timeout_ms
/// milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED; NOT_FOUND; REFUSED where a node that is up holds the data, or that member is not up;
/// NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_recover_partition(
    cluster: *mut ck_cluster_t,
    partition: u32,
    from: *const c_char,
    from_len: usize,
    force: bool,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, a readable text of this length, and out_revision may be written or is NULL, says the
    // header.
    unsafe {
        with_revision(cluster, out_revision, |cluster| {
            let from = text(from, from_len, "from")?;
            cluster
                .node()
                .recover_partition(partition, from, force, millis(timeout_ms))
        })
    }
}

/// ck_recover_partition without waiting for it: the result has the revision.
///
/// cluster: borrowed for the call. from: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_recover_partition_async(
    cluster: *mut ck_cluster_t,
    partition: u32,
    from: *const c_char,
    from_len: usize,
    force: bool,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, from) = unsafe {
            (
                borrow(cluster, "cluster")?,
                text(from, from_len, "from")?.to_owned(),
            )
        };
        let call = move |node: AsyncClusterKit| async move {
            node.recover_partition(partition, &from, force, millis(timeout_ms))
                .await
        };
        cluster.begin(done, user_data, call, Outcome::revision)
    })
}

/// Creates the partitions where there are none, which a leader also does by itself.
///
/// cluster: borrowed for the call. out_revision: the revision, out_count: how many partitions there are; both set on success,
/// else 0; both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_create_partitions(
    cluster: *mut ck_cluster_t,
    timeout_ms: u32,
    out_revision: *mut u64,
    out_count: *mut usize,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, and both may be written or are NULL, says the header.
    unsafe {
        with_count(cluster, out_revision, out_count, |cluster| {
            cluster.node().create_partitions(millis(timeout_ms))
        })
    }
}

/// ck_create_partitions without waiting for it: the result has the revision and the count.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_create_partitions_async(
    cluster: *mut ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call =
            move |node: AsyncClusterKit| async move { node.create_partitions(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, counted)
    })
}

/// Plans a rebalance and begins it, which a leader also does by itself. The partitions move afterwards.
///
/// cluster: borrowed for the call. out_revision: the revision, out_count: how many partitions move; both set on success, else 0;
/// both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_rebalance(
    cluster: *mut ck_cluster_t,
    timeout_ms: u32,
    out_revision: *mut u64,
    out_count: *mut usize,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, and both may be written or are NULL, says the header.
    unsafe {
        with_count(cluster, out_revision, out_count, |cluster| {
            cluster.node().rebalance_partitions(millis(timeout_ms))
        })
    }
}

/// ck_rebalance without waiting for it: the result has the revision and the count.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_rebalance_async(
    cluster: *mut ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call =
            move |node: AsyncClusterKit| async move { node.rebalance_partitions(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, counted)
    })
}
