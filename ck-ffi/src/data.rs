//! Custom data: a few small values that every node has.

use std::ffi::{c_char, c_void};
use std::ptr::null;

use bytes::Bytes;
use clusterkit::model::DataEntry;
use clusterkit::{AsyncClusterKit, Error, ErrorCode, Expect};

use crate::border::guard::{fallible, fallible_out, plain};
use crate::border::handle::{self, Handle, borrow, clear, store};
use crate::border::text::{bytes, quoted, text};
use crate::cluster::{ck_cluster_t, millis};
use crate::done::{Outcome, ck_done_fn};
use crate::error::ck_error_t;
use crate::values::ck_strings_t;

/// Write whatever is there.
pub const CK_EXPECT_ANY: u64 = u64::MAX;
/// Write only where there is no such key.
pub const CK_EXPECT_ABSENT: u64 = 0;

/// A value of the replicated store, and the revision that wrote it.
pub struct ck_data_t(DataEntry);

impl Handle for ck_data_t {
    const IS_MEMORY: bool = true;
}

fn expect(expect_revision: u64) -> Expect {
    match expect_revision {
        CK_EXPECT_ANY => Expect::Any,
        CK_EXPECT_ABSENT => Expect::Absent,
        revision => Expect::Revision(revision),
    }
}

/// Writes a value that every node has. When it returns success, the write is on the disks of a majority.
///
/// cluster: borrowed for the call. key: UTF-8, 1 to 1024 bytes, copied. value: any bytes, at most 1 MiB, copied.
/// expect_revision: CK_EXPECT_ANY, CK_EXPECT_ABSENT, or the revision that wrote the present value (compare and
/// set). out_revision: the revision of the write, set on success, else 0; may be NULL. Blocks: for at most timeout_ms
/// milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, TOO_LARGE; CONFLICT when what is there is not as expected; NOT_STARTED, STOPPED, NO_LEADER, IO: it
/// has not happened; TIMEOUT: it may or may not have happened (ck_error_is_ambiguous).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_set(
    cluster: *mut ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    expect_revision: u64,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, says the header.
    unsafe { clear(out_revision) };
    fallible(|| {
        // SAFETY: a live node or NULL, and readable bytes of these lengths, says the header.
        let (cluster, key, value) = unsafe {
            (
                borrow(cluster, "cluster")?,
                text(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            )
        };
        let value = Bytes::copy_from_slice(value);
        let revision =
            cluster
                .node()
                .set_custom_data(key, value, expect(expect_revision), millis(timeout_ms))?;
        // SAFETY: out_revision may be written or is NULL, says the header.
        unsafe { store(out_revision, revision) };
        Ok(())
    })
}

/// Reads a value as this node has applied it; another node may be ahead (see ck_wait_for_revision).
///
/// cluster: borrowed for the call. key: UTF-8, borrowed for the call. out: set on success, to be freed with
/// ck_data_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND when there is no such key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_get(
    cluster: *const ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    out: *mut *mut ck_data_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, a live node or NULL, and a readable text of this length, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let (cluster, key) = (borrow(cluster, "cluster")?, text(key, key_len, "key")?);
            cluster.refuse_before_start()?;
            let entry = cluster.node().custom_data(key).ok_or_else(|| {
                Error::new(ErrorCode::NotFound, format!("key {} does not exist", quoted(key)))
            })?;
            slot.put(ck_data_t(entry));
            Ok(())
        })
    }
}

/// Deletes a value. Deleting what is not there is no error unless a revision was expected.
///
/// cluster: borrowed for the call. key: UTF-8, copied. expect_revision: CK_EXPECT_ANY, or the revision that wrote
/// the present value. out_existed: whether there was one, out_revision: the revision of the deletion; both set on
/// success, else false and 0; both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: as ck_custom_data_set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_delete(
    cluster: *mut ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    expect_revision: u64,
    timeout_ms: u32,
    out_existed: *mut bool,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: both may be written or are NULL, says the header.
    unsafe {
        clear(out_existed);
        clear(out_revision);
    }
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, text(key, key_len, "key")?) };
        let (revision, existed) =
            cluster
                .node()
                .delete_custom_data(key, expect(expect_revision), millis(timeout_ms))?;
        // SAFETY: both may be written or are NULL, says the header.
        unsafe {
            store(out_existed, existed);
            store(out_revision, revision);
        }
        Ok(())
    })
}

/// ck_custom_data_set without waiting for it: the result has the revision.
///
/// cluster: borrowed for the call. key, value: copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_set_async(
    cluster: *mut ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    expect_revision: u64,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and readable bytes of these lengths, says the header.
        let (cluster, key, value) = unsafe {
            (
                borrow(cluster, "cluster")?,
                text(key, key_len, "key")?.to_owned(),
                bytes(value, value_len, "value")?,
            )
        };
        let value = Bytes::copy_from_slice(value);
        let call = move |node: AsyncClusterKit| async move {
            node.set_custom_data(&key, value, expect(expect_revision), millis(timeout_ms))
                .await
        };
        cluster.begin(done, user_data, call, Outcome::revision)
    })
}

/// ck_custom_data_delete without waiting for it: the result has the revision, and whether there was a value.
///
/// cluster: borrowed for the call. key: copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_delete_async(
    cluster: *mut ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    expect_revision: u64,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, text(key, key_len, "key")?.to_owned()) };
        let call = move |node: AsyncClusterKit| async move {
            node.delete_custom_data(&key, expect(expect_revision), millis(timeout_ms))
                .await
        };
        cluster.begin(done, user_data, call, |(revision, existed)| Outcome {
            revision,
            existed,
            ..Outcome::default()
        })
    })
}

/// The keys that begin with a prefix and come after another key, in order, as this node has applied them.
///
/// cluster: borrowed for the call. prefix, after: UTF-8, borrowed for the call; both may be empty. limit: how many at most. out:
/// set on success, to be freed with ck_strings_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_keys(
    cluster: *const ck_cluster_t,
    prefix: *const c_char,
    prefix_len: usize,
    after: *const c_char,
    after_len: usize,
    limit: usize,
    out: *mut *mut ck_strings_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, a live node or NULL, and readable texts of these lengths, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let cluster = borrow(cluster, "cluster")?;
            let (prefix, after) = (
                text(prefix, prefix_len, "prefix")?,
                text(after, after_len, "after")?,
            );
            cluster.refuse_before_start()?;
            let after = Some(after).filter(|after| !after.is_empty());
            slot.put(ck_strings_t::new(
                cluster.node().list_custom_data_keys(prefix, after, limit),
            ));
            Ok(())
        })
    }
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
        cluster.node().wait_for_revision(revision, millis(timeout_ms))
    })
}

/// ck_wait_for_revision without waiting for it.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_wait_for_revision_async(
    cluster: *const ck_cluster_t,
    revision: u64,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = move |node: AsyncClusterKit| async move {
            node.wait_for_revision(revision, millis(timeout_ms)).await
        };
        cluster.begin(done, user_data, call, move |()| Outcome::revision(revision))
    })
}

/// Waits until this node has applied everything that any node acknowledged before this call: a read that follows is
/// linearizable.
///
/// cluster: borrowed for the call. out_revision: the revision that is applied, set on success, else 0; may be NULL. Blocks: for
/// at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_read_barrier(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    out_revision: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_revision may be written or is NULL, says the header.
    unsafe { clear(out_revision) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let revision = cluster.node().read_barrier(millis(timeout_ms))?;
        // SAFETY: as above.
        unsafe { store(out_revision, revision) };
        Ok(())
    })
}

/// ck_read_barrier without waiting for it: the result has the revision.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_read_barrier_async(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = move |node: AsyncClusterKit| async move { node.read_barrier(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, Outcome::revision)
    })
}

/// The bytes of a value. NULL for NULL.
///
/// data: borrowed for the call. out_len: how many there are; may be NULL. Returns: valid until the data is freed.
/// Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_data_value(data: *const ck_data_t, out_len: *mut usize) -> *const c_void {
    plain(null(), || {
        // SAFETY: out_len may be written or is NULL, and live data or NULL, says the header.
        unsafe {
            store(out_len, 0);
            let value = &borrow(data, "data")?.0.value;
            store(out_len, value.len());
            Ok(value.as_ptr().cast())
        }
    })
}

/// The revision that wrote a value. 0 for NULL.
///
/// data: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_data_revision(data: *const ck_data_t) -> u64 {
    // SAFETY: live data or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(data, "data") }?.0.revision))
}

/// Frees a value. NULL is allowed.
///
/// data: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_data_free(data: *mut ck_data_t) {
    // SAFETY: data that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(data, drop) };
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;

    #[test]
    fn a_value_is_read_where_it_is_until_it_is_freed() {
        let stored = Bytes::from(vec![1_u8, 0, 255]);
        let data = Box::new(ck_data_t(DataEntry {
            value: stored.clone(),
            revision: 7,
        }))
        .give();
        // SAFETY: live data, freed once; the length may be written.
        unsafe {
            let mut len = 0;
            let value = ck_data_value(data, &raw mut len);
            assert_eq!(ck_data_revision(data), 7);
            // Again, without a length.
            assert_eq!(ck_data_value(data, null_mut()), value);
            assert_eq!(bytes(value, len, "value").unwrap(), &stored[..]);
            ck_data_free(data);
        }
        // The library's own copy is as it was.
        assert_eq!(&stored[..], [1, 0, 255]);
    }

    #[test]
    fn no_data_has_no_value() {
        let mut len = 1;
        // SAFETY: NULL is allowed, and the length may be written.
        unsafe {
            assert!(ck_data_value(null(), &raw mut len).is_null());
            assert_eq!((len, ck_data_revision(null())), (0, 0));
            ck_data_free(null_mut());
        }
    }
}
