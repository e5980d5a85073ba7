//! Custom data: a few small values that every node has.

use std::ffi::{c_char, c_void};
use std::ptr::null;

use bytes::Bytes;
use clusterkit::Expect;
use clusterkit::model::DataEntry;
use clusterkit::{Error, ErrorCode};

use crate::cluster::{ck_cluster_t, millis};
use crate::error::ck_error_t;
use crate::guard::{fallible, plain};
use crate::handle::{self, Handle, borrow, store};
use crate::text::{bytes, text};

/// Write whatever is there.
pub const CK_EXPECT_ANY: u64 = u64::MAX;
/// Write only where there is no such key.
pub const CK_EXPECT_ABSENT: u64 = 0;

/// A value of the replicated store, and the revision that wrote it.
pub struct ck_data_t(DataEntry);

impl Handle for ck_data_t {}

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
/// set). out_revision: the revision of the write, set on success; may be NULL. Blocks: for at most timeout_ms
/// milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, TOO_LARGE; CONFLICT when what is there is not as expected; NOT_STARTED, STOPPED,
/// NO_LEADER: it has not happened; TIMEOUT: it may or may not have happened.
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
        let revision = cluster
            .0
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
/// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_custom_data_get(
    cluster: *const ck_cluster_t,
    key: *const c_char,
    key_len: usize,
    out: *mut *mut ck_data_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: out may be written or is NULL, a live node or NULL, and a readable text of this length, says
        // the header.
        let (slot, cluster, key) = unsafe {
            (
                handle::out(out, "out")?,
                borrow(cluster, "cluster")?,
                text(key, key_len, "key")?,
            )
        };
        let entry = cluster
            .0
            .custom_data(key)
            .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("key {key:?} does not exist")))?;
        slot.put(ck_data_t(entry));
        Ok(())
    })
}

/// Deletes a value. Deleting what is not there is no error unless a revision was expected.
///
/// cluster: borrowed for the call. key: UTF-8, copied. expect_revision: CK_EXPECT_ANY, or the revision that wrote
/// the present value. out_existed: whether there was one, out_revision: the revision of the deletion; both set on
/// success, both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
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
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, text(key, key_len, "key")?) };
        let (revision, existed) =
            cluster
                .0
                .delete_custom_data(key, expect(expect_revision), millis(timeout_ms))?;
        // SAFETY: both may be written or are NULL, says the header.
        unsafe {
            store(out_existed, existed);
            store(out_revision, revision);
        }
        Ok(())
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
/// data: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
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
        let bytes = Bytes::from(vec![1_u8, 0, 255]);
        let data = Box::new(ck_data_t(DataEntry {
            value: bytes.clone(),
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
            assert_eq!(crate::text::bytes(value, len, "value").unwrap(), &bytes[..]);
            ck_data_free(data);
        }
        // The library's own copy is as it was.
        assert_eq!(&bytes[..], [1, 0, 255]);
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
