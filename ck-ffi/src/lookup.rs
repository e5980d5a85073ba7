//! The hot calls on a node: what it is to a key or a partition at this moment, its lease included. They take no lock and
//! allocate nothing.

use std::ffi::c_void;
use std::ptr::null;

use clusterkit::model::Role;
use clusterkit::routing::PartitionRef;
use clusterkit::{Error, ErrorCode, LeasedView, Result};

use crate::border::guard::{fallible, plain};
use crate::border::handle::{borrow, clear, null as null_error, store, store_sized};
use crate::border::text::bytes;
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::node::ck_node_t;
use crate::view::{ck_view_t, give, node_at, take_back};

/// Stands for a partition where there is none.
pub const CK_NO_PARTITION: u32 = u32::MAX;

/// The node holds nothing of the partition, or may not act on what it holds.
pub const CK_ROLE_NONE: i32 = 0;
/// The node takes the writes.
pub const CK_ROLE_PRIMARY: i32 = 1;
/// The node holds a copy.
pub const CK_ROLE_REPLICA: i32 = 2;

/// Where a key belongs. The caller owns it, and passes its size to the calls that fill it: a later library may have more
/// fields at the end, which it does not fill then.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ck_key_route_t {
    /// The revision of the cluster that the answer was taken from.
    pub revision: u64,
    /// Grows whenever the primary changes: the fencing token for the application's storage.
    pub epoch: u64,
    /// The node that takes the writes, valid until its view is released; NULL while there is none, and where no view was
    /// asked for.
    pub primary: *const ck_node_t,
    /// The partition's number, from 0.
    pub partition: u32,
    /// What this node is to the partition: CK_ROLE_*.
    pub role: i32,
    /// How many other nodes hold the data.
    pub replica_count: u32,
    /// The index of that primary in its view; UINT32_MAX while there is none.
    pub primary_index: u32,
}

/// Stands for a node of a view where there is none.
pub(crate) const NO_NODE: u32 = u32::MAX;

#[inline]
pub(crate) fn role_number(role: Option<Role>) -> i32 {
    match role {
        None => CK_ROLE_NONE,
        Some(Role::Primary) => CK_ROLE_PRIMARY,
        Some(Role::Replica) => CK_ROLE_REPLICA,
    }
}

impl ck_key_route_t {
    /// Where the keys of a partition belong, by a view of this revision. No pointer into the view.
    #[inline]
    pub(crate) fn new(partition: &PartitionRef<'_>, revision: u64, role: Option<Role>) -> Self {
        ck_key_route_t {
            revision,
            epoch: partition.epoch(),
            primary: null(),
            partition: partition.number(),
            role: role_number(role),
            // A cluster has no four billion nodes.
            replica_count: partition.replica_indexes().len() as u32,
            primary_index: partition.primary_index().unwrap_or(NO_NODE),
        }
    }
}

#[cold]
pub(crate) fn no_partitions(cluster: &ck_cluster_t) -> Error {
    match cluster.refuse_before_start() {
        Err(not_started) => not_started,
        Ok(()) => Error::new(ErrorCode::NotFound, "there are no partitions yet"),
    }
}

/// Places the view of an answer where C wants it, and the primary in the answer.
///
/// # Safety
/// `place` is NULL, or holds NULL or a live view that only this thread uses.
#[inline]
unsafe fn hand_out(leased: LeasedView, place: *mut *mut ck_view_t, route: &mut ck_key_route_t) {
    if place.is_null() {
        return;
    }
    let index = (route.primary_index != NO_NODE).then_some(route.primary_index);
    route.primary = node_at(leased.view(), index);
    // SAFETY: the caller's promise.
    unsafe {
        if !std::ptr::eq((*place).cast_const().cast(), leased.view()) {
            let old = std::ptr::replace(place, give(leased.into_view()));
            take_back(old);
        }
    }
}

/// Where a key belongs: its partition, who takes its writes, and what this node is to it at this moment, its lease included.
/// All of the answer is from one view of the cluster.
///
/// cluster: borrowed for the call. key: any bytes, borrowed for the call. view: NULL, or a place that holds NULL or a view of
/// this cluster, which no other thread uses meanwhile: on success it holds the view that the answer was taken from, as after
/// ck_view_refresh, and out->primary is a node of it. out: filled on success, all zero on failure; out_size: sizeof *out. Never
/// blocks, takes no lock, allocates nothing where it succeeds; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND before there are partitions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_lookup_key(
    cluster: *const ck_cluster_t,
    key: *const c_void,
    key_len: usize,
    view: *mut *mut ck_view_t,
    out: *mut ck_key_route_t,
    out_size: usize,
) -> *mut ck_error_t {
    let error = fallible(|| {
        // SAFETY: a live node or NULL, and readable bytes of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, bytes(key, key_len, "key")?) };
        if out.is_null() {
            return Err(null_error("out"));
        }
        let leased = cluster.node().leased_view();
        let partition = leased
            .view()
            .partition(key)
            .ok_or_else(|| no_partitions(cluster))?;
        let mut route = ck_key_route_t::new(&partition, leased.view().revision(), leased.role(&partition));
        // SAFETY: the place is as the header says, and out_size bytes may be written at out.
        unsafe {
            hand_out(leased, view, &mut route);
            store_sized(out, out_size, &route);
        }
        Ok(())
    });
    if !error.is_null() && !out.is_null() {
        // SAFETY: out_size bytes may be written at out, says the header.
        unsafe { out.cast::<u8>().write_bytes(0, out_size) };
    }
    error
}

/// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, for NULL and in a forked child.
///
/// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates nothing; a
/// hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_partition_for_key(
    cluster: *const ck_cluster_t,
    key: *const c_void,
    key_len: usize,
) -> u32 {
    plain(CK_NO_PARTITION, || {
        // SAFETY: a live node or NULL, and readable bytes of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, bytes(key, key_len, "key")?) };
        Ok(cluster.node().partition_number(key).unwrap_or(CK_NO_PARTITION))
    })
}

/// True when this node takes the writes of a partition at this moment: it is the primary, and its lease runs.
/// False for NULL and in a forked child.
///
/// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_is_primary(cluster: *const ck_cluster_t, partition: u32) -> bool {
    plain(false, || {
        // SAFETY: a live node or NULL, says the header.
        Ok(unsafe { borrow(cluster, "cluster") }?
            .node()
            .is_primary(partition))
    })
}

/// True when this node takes the writes of a key at this moment. False for NULL and in a forked child.
///
/// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates
/// nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_is_primary_for_key(
    cluster: *const ck_cluster_t,
    key: *const c_void,
    key_len: usize,
) -> bool {
    plain(false, || {
        // SAFETY: a live node or NULL, and readable bytes of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, bytes(key, key_len, "key")?) };
        Ok(cluster.node().is_primary_for_key(key))
    })
}

/// What this node is to a partition at this moment, its lease included: CK_ROLE_*. CK_ROLE_NONE for NULL and in a forked
/// child.
///
/// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_role(cluster: *const ck_cluster_t, partition: u32) -> i32 {
    plain(CK_ROLE_NONE, || {
        // SAFETY: a live node or NULL, says the header.
        Ok(role_number(
            unsafe { borrow(cluster, "cluster") }?.node().role(partition),
        ))
    })
}

/// What this node is to a key at this moment, its lease included: CK_ROLE_*. CK_ROLE_NONE for NULL and in a forked child.
///
/// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates
/// nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_role_for_key(
    cluster: *const ck_cluster_t,
    key: *const c_void,
    key_len: usize,
) -> i32 {
    plain(CK_ROLE_NONE, || {
        // SAFETY: a live node or NULL, and readable bytes of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, bytes(key, key_len, "key")?) };
        Ok(role_number(cluster.node().should_handle_key(key)))
    })
}

/// The epoch of a partition that this node takes the writes of at this moment: the fencing token with which the application's
/// storage refuses an earlier primary. Ask right before the write, and hand the number to the storage with it.
///
/// cluster: borrowed for the call. out: the epoch, set on success, else 0. Never blocks, takes no lock, allocates nothing where
/// it succeeds; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED; LEASE_EXPIRED when this node would be primary but holds no lease; CONFLICT when
/// another node is primary, or none; NOT_FOUND when there is no such partition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_primary_epoch(
    cluster: *const ck_cluster_t,
    partition: u32,
    out: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, says the header.
    unsafe { clear(out) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        if out.is_null() {
            return Err(null_error("out"));
        }
        let epoch = epoch_of(cluster, partition)?;
        // SAFETY: out may be written, says the header.
        unsafe { store(out, epoch) };
        Ok(())
    })
}

fn epoch_of(cluster: &ck_cluster_t, partition: u32) -> Result<u64> {
    cluster
        .node()
        .primary_epoch(partition)
        .map_err(|error| cluster.refuse_before_start().err().unwrap_or(error))
}

/// True while this node holds a lease, without which it is primary of nothing. False for NULL and in a forked child.
///
/// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_is_leased(cluster: *const ck_cluster_t) -> bool {
    plain(false, || {
        // SAFETY: a live node or NULL, says the header.
        Ok(unsafe { borrow(cluster, "cluster") }?.node().is_leased())
    })
}

/// True when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead. False
/// for NULL and in a forked child.
///
/// cluster: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_is_leader(cluster: *const ck_cluster_t) -> bool {
    plain(false, || {
        // SAFETY: a live node or NULL, says the header.
        Ok(unsafe { borrow(cluster, "cluster") }?.node().is_leader())
    })
}
