//! Keys in a view, one or many.

use std::ffi::c_void;
use std::ptr::null;

use clusterkit::{Error, ErrorCode, Result};

use crate::border::guard::{fallible, plain};
use crate::border::handle::{null as null_error, store_sized};
use crate::border::text::bytes;
use crate::error::ck_error_t;
use crate::lookup::{CK_NO_PARTITION, CK_ROLE_NONE, ck_key_route_t, role_number};
use crate::node::ck_node_t;
use crate::values::ck_bytes_t;
use crate::view::{ck_view_t, node_at, view_of};

/// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, and for NULL.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partition_for_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
) -> u32 {
    plain(CK_NO_PARTITION, || {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        let partition = view.partition(key);
        Ok(partition.map_or(CK_NO_PARTITION, |partition| partition.number()))
    })
}

/// What this node is to a key by this view: CK_ROLE_*. Whether its lease lets it act on that is not known here: ask
/// ck_role_for_key.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_role_for_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
) -> i32 {
    plain(CK_ROLE_NONE, || {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        Ok(role_number(view.should_handle_key(key)))
    })
}

/// The node that takes the writes of a key. NULL while there is none, and before partitions exist.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. Returns: valid until the view is released. Never blocks,
/// allocates nothing but what all views of the same members share; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_primary_for_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
) -> *const ck_node_t {
    plain(null(), || {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        let index = view
            .partition(key)
            .and_then(|partition| partition.primary_index());
        Ok(node_at(view, index))
    })
}

/// The nodes that hold a key: the one that takes its writes first, where there is one, then the others by id.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. out: filled with up to capacity nodes, each valid until
/// the view is released; may be NULL when capacity is 0. Returns: how many nodes hold the key, which may be more. Never blocks,
/// allocates nothing but what all views of the same members share; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_nodes_for_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
    out: *mut *const ck_node_t,
    capacity: usize,
) -> usize {
    plain(0, || {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        let Some(partition) = view.partition(key) else {
            return Ok(0);
        };
        let holders = partition.primary_index().into_iter();
        let holders = holders.chain(partition.replica_indexes().iter().copied());
        let capacity = if out.is_null() { 0 } else { capacity };
        for (place, holder) in holders.take(capacity).enumerate() {
            // SAFETY: `capacity` nodes may be written at out, says the header.
            unsafe { out.add(place).write(node_at(view, Some(holder))) };
        }
        Ok(usize::from(partition.primary_index().is_some()) + partition.replica_indexes().len())
    })
}

/// Where a key belongs by this view. The role does not regard the lease: ask ck_lookup_key for that.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. out: filled on success, all zero on failure; its primary
/// is valid until the view is released; out_size: sizeof *out. Never blocks, allocates nothing but what all views of the same
/// members share; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND before there are partitions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_route_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
    out: *mut ck_key_route_t,
    out_size: usize,
) -> *mut ck_error_t {
    let error = fallible(|| {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        if out.is_null() {
            return Err(null_error("out"));
        }
        let partition = view.partition(key).ok_or_else(no_partitions)?;
        let mut route = ck_key_route_t::new(&partition, view.revision(), partition.role());
        route.primary = node_at(view, partition.primary_index());
        // SAFETY: out_size bytes may be written at out, says the header.
        unsafe { store_sized(out, out_size, &route) };
        Ok(())
    });
    if !error.is_null() && !out.is_null() {
        // SAFETY: out_size bytes may be written at out, says the header.
        unsafe { out.cast::<u8>().write_bytes(0, out_size) };
    }
    error
}

#[cold]
fn no_partitions() -> Error {
    Error::new(ErrorCode::NotFound, "there are no partitions yet")
}

/// The keys of a call that takes many.
///
/// # Safety
/// `count` keys can be read, and the bytes of each, while the borrow lasts.
unsafe fn keys<'a>(keys: *const ck_bytes_t, count: usize) -> Result<impl Iterator<Item = &'a [u8]>> {
    // No array of C's is longer than memory.
    let bytes_of_all = count.saturating_mul(size_of::<ck_bytes_t>());
    // SAFETY: the caller's promise.
    let keys: &[ck_bytes_t] = match unsafe { bytes(keys.cast(), bytes_of_all, "keys") }? {
        [] => &[],
        // SAFETY: as above, and C aligns its own structs.
        some => unsafe { std::slice::from_raw_parts(some.as_ptr().cast(), count) },
    };
    for key in keys {
        // SAFETY: the caller's promise.
        unsafe { bytes(key.data, key.len, "a key") }?;
    }
    Ok(keys.iter().map(|key| {
        // SAFETY: the caller's promise, and each was looked at above.
        unsafe { bytes(key.data, key.len, "a key") }.unwrap_or_default()
    }))
}

/// The partitions that many keys belong to, in one call: less than a quarter of the time per key, where the processor can.
///
/// view: borrowed for the call. keys: count keys, any bytes, borrowed for the call. out: count numbers, filled on success.
/// Never blocks, allocates nothing; a hook may call it.
/// Errors: INVALID_ARGUMENT, also for a NULL key with a length; NOT_FOUND before there are partitions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_route_many(
    view: *const ck_view_t,
    keys: *const ck_bytes_t,
    count: usize,
    out: *mut u32,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { view_of(view) }?;
        match view.partition_count() {
            0 => Err(no_partitions()),
            // SAFETY: as the header says of keys and out.
            partitions => unsafe { route_many(keys, count, partitions, out) },
        }
    })
}

/// # Safety
/// `count` keys can be read, with their bytes, and as many numbers written.
unsafe fn route_many(
    keys_of_c: *const ck_bytes_t,
    count: usize,
    partitions: u32,
    out: *mut u32,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let keys = unsafe { keys(keys_of_c, count) }?;
    if count == 0 {
        return Ok(());
    }
    if out.is_null() {
        return Err(null_error("out"));
    }
    // SAFETY: the caller's promise. Written before it is borrowed, because C may not have set it.
    let out = unsafe {
        out.write_bytes(0, count);
        std::slice::from_raw_parts_mut(out, count)
    };
    clusterkit::routing::partitions_for_many(keys, partitions, out);
    Ok(())
}

/// The partition that a key belongs to among partition_count: the published mapping, for programs that are no member. The first
/// four bytes of the key's MD5 as a big-endian number, modulo the count; 0 for a count of 0.
///
/// key: any bytes, borrowed for the call; CK_NO_PARTITION for NULL with a length. Never blocks, allocates nothing, works in a
/// forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_partition_for(key: *const c_void, key_len: usize, partition_count: u32) -> u32 {
    // SAFETY: readable bytes of this length, says the header.
    match unsafe { bytes(key, key_len, "key") } {
        Ok(key) => clusterkit::routing::partition_for(key, partition_count),
        Err(_) => CK_NO_PARTITION,
    }
}

/// ck_partition_for of many keys in one call.
///
/// keys: count keys, any bytes, borrowed for the call. out: count numbers, filled on success. Never blocks, allocates nothing;
/// a hook may call it.
/// Errors: INVALID_ARGUMENT, also for a NULL key with a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_partitions_for(
    keys: *const ck_bytes_t,
    count: usize,
    partition_count: u32,
    out: *mut u32,
) -> *mut ck_error_t {
    // SAFETY: as the header says of keys and out.
    fallible(|| unsafe { route_many(keys, count, partition_count, out) })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::error::{CK_ERROR_INVALID_ARGUMENT, ck_error_code, ck_error_free};
    use crate::lookup::CK_ROLE_REPLICA;
    use crate::testing::{text_at, view as acquired};
    use crate::view::ck_view_release;

    fn bytes_of(key: &str) -> ck_bytes_t {
        ck_bytes_t {
            data: key.as_ptr().cast(),
            len: key.len(),
        }
    }

    #[test]
    fn a_key_is_routed_with_its_nodes() {
        let view = acquired();
        let key = "user:1";
        let (data, len) = (key.as_ptr().cast(), key.len());
        // SAFETY: a live view, released at the end; the places may be written.
        unsafe {
            let partition = ck_view_partition_for_key(view, data, len);
            assert_eq!(partition, clusterkit::routing::partition_for(b"user:1", 2));
            assert_eq!(partition, ck_partition_for(data, len, 2));
            let mut route = std::mem::zeroed();
            let size = size_of::<ck_key_route_t>();
            assert!(ck_view_route_key(view, data, len, &raw mut route, size).is_null());
            let primary = ck_view_primary_for_key(view, data, len);
            assert_eq!(
                (route.partition, route.primary, route.revision),
                (partition, primary, 7)
            );
            let mut nodes = [null(); 2];
            assert_eq!(ck_view_nodes_for_key(view, data, len, nodes.as_mut_ptr(), 2), 2);
            assert_eq!(nodes[0], primary);
            assert_eq!(ck_view_nodes_for_key(view, data, len, null_mut(), 0), 2);
            assert_eq!(ck_view_role_for_key(view, data, len), route.role);
            assert_ne!(text_at((*nodes[0]).id), text_at((*nodes[1]).id));
            ck_view_release(view);
        }
    }

    /// A program of before, whose struct was shorter, and one of later, whose struct is longer.
    #[test]
    fn as_much_of_a_route_is_written_as_the_caller_has_room_for() {
        let view = acquired();
        // SAFETY: a live view, released at the end; the places may be written.
        unsafe {
            let mut short = [u64::MAX; 3];
            let error = ck_view_route_key(view, null(), 0, short.as_mut_ptr().cast(), 16);
            assert!(error.is_null());
            assert_eq!((short[0], short[2]), (7, u64::MAX));
            let mut long = [u64::MAX; 10];
            let error = ck_view_route_key(view, null(), 0, long.as_mut_ptr().cast(), 80);
            assert!(error.is_null());
            assert_eq!((long[0], long[9]), (7, 0));
            ck_view_release(view);
        }
    }

    #[test]
    fn many_keys_are_routed_as_each_is() {
        let view = acquired();
        let texts: Vec<String> = (0..100).map(|i| format!("key-{i}")).collect();
        let keys: Vec<ck_bytes_t> = texts.iter().map(|text| bytes_of(text)).collect();
        let mut out = vec![9; 100];
        // SAFETY: a live view, released at the end; the keys are there, and the numbers may be written.
        unsafe {
            assert!(ck_view_route_many(view, keys.as_ptr(), 100, out.as_mut_ptr()).is_null());
            for (text, partition) in texts.iter().zip(&out) {
                assert_eq!(
                    ck_view_partition_for_key(view, text.as_ptr().cast(), text.len()),
                    *partition
                );
            }
            assert!(ck_partitions_for(keys.as_ptr(), 100, 64, out.as_mut_ptr()).is_null());
            assert_eq!(out[0], clusterkit::routing::partition_for(b"key-0", 64));
            assert!(ck_partitions_for(null(), 0, 64, null_mut()).is_null());
            let bad = [ck_bytes_t { data: null(), len: 3 }];
            for error in [
                ck_partitions_for(bad.as_ptr(), 1, 64, out.as_mut_ptr()),
                ck_partitions_for(null(), 1, 64, out.as_mut_ptr()),
                ck_partitions_for(keys.as_ptr(), 1, 64, null_mut()),
                ck_partitions_for(keys.as_ptr(), usize::MAX, 64, out.as_mut_ptr()),
                ck_view_route_many(null(), keys.as_ptr(), 1, out.as_mut_ptr()),
            ] {
                assert_eq!(ck_error_code(error), CK_ERROR_INVALID_ARGUMENT);
                ck_error_free(error);
            }
            ck_view_release(view);
        }
    }

    #[test]
    fn without_a_view_there_is_nothing() {
        let mut route = ck_key_route_t {
            revision: 1,
            epoch: 1,
            primary: null(),
            partition: 1,
            role: CK_ROLE_REPLICA,
            replica_count: 1,
            primary_index: 1,
        };
        // SAFETY: NULL is allowed, and the route may be written.
        unsafe {
            assert_eq!(ck_view_partition_for_key(null(), null(), 0), CK_NO_PARTITION);
            assert_eq!(ck_partition_for(null(), 3, 64), CK_NO_PARTITION);
            assert_eq!(ck_view_nodes_for_key(null(), null(), 0, null_mut(), 0), 0);
            let error = ck_view_route_key(null(), null(), 0, &raw mut route, size_of_val(&route));
            assert_eq!(ck_error_code(error), CK_ERROR_INVALID_ARGUMENT);
            assert_eq!((route.revision, route.role), (0, CK_ROLE_NONE));
            ck_error_free(error);
        }
    }
}
