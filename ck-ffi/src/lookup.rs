//! The hot calls: they fill a plain struct of the caller's, take no lock and allocate nothing.

use std::ffi::{c_char, c_void};

use clusterkit::model::Role;
use clusterkit::{Error, ErrorCode};

use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::guard::{fallible, plain};
use crate::handle::{borrow, null, store};
use crate::text::{bytes, fill};

/// The size of a buffer that holds every node id and a NUL.
pub const CK_NODE_ID_SIZE: usize = 256;

/// Stands for a partition where there is none.
pub const CK_NO_PARTITION: u32 = u32::MAX;

/// The node holds nothing of the partition, or may not act on what it holds.
pub const CK_ROLE_NONE: i32 = 0;
/// The node takes the writes.
pub const CK_ROLE_PRIMARY: i32 = 1;
/// The node holds a copy.
pub const CK_ROLE_REPLICA: i32 = 2;

/// Where a key belongs.
#[repr(C)]
pub struct ck_key_route_t {
    /// The revision of the cluster that the answer was taken from.
    pub revision: u64,
    /// Grows whenever the primary changes: the fencing token for the application's storage.
    pub epoch: u64,
    /// The partition's number, from 0.
    pub partition: u32,
    /// What this node is to the partition at this moment, its lease included: CK_ROLE_*.
    pub role: i32,
    /// How many other nodes hold the data.
    pub replica_count: u32,
    /// The node that takes writes; empty while there is none.
    pub primary_node_id: [c_char; CK_NODE_ID_SIZE],
}

/// Who leads.
#[repr(C)]
pub struct ck_leader_t {
    /// The leader epoch, a fencing token: it only grows.
    pub epoch: u64,
    /// The Raft term; no fencing token.
    pub term: u64,
    /// The leader's node id.
    pub node_id: [c_char; CK_NODE_ID_SIZE],
}

pub(crate) fn role_number(role: Option<Role>) -> i32 {
    match role {
        None => CK_ROLE_NONE,
        Some(Role::Primary) => CK_ROLE_PRIMARY,
        Some(Role::Replica) => CK_ROLE_REPLICA,
    }
}

/// Where a key belongs: its partition, who takes its writes, and what this node is to it.
///
/// cluster: borrowed for the call. key: any bytes, borrowed for the call. out: filled on success, else left
/// alone. Never blocks, takes no lock, allocates nothing where it succeeds; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND before there are partitions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_lookup_key(
    cluster: *const ck_cluster_t,
    key: *const c_void,
    key_len: usize,
    out: *mut ck_key_route_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and readable bytes of this length, says the header.
        let (cluster, key) = unsafe { (borrow(cluster, "cluster")?, bytes(key, key_len, "key")?) };
        if out.is_null() {
            return Err(null("out"));
        }
        // One view for the whole answer, the lease beside it.
        let leased = cluster.0.leased_view();
        let view = leased.view();
        let partition = view
            .partition(key)
            .ok_or_else(|| Error::new(ErrorCode::NotFound, "there are no partitions yet"))?;
        let mut route = ck_key_route_t {
            revision: view.revision(),
            epoch: partition.epoch(),
            partition: partition.number(),
            role: role_number(leased.role(&partition)),
            // A cluster has no four billion nodes.
            replica_count: partition.replicas().len() as u32,
            primary_node_id: [0; CK_NODE_ID_SIZE],
        };
        if let Some(primary) = partition.primary() {
            fill(&mut route.primary_node_id, &primary.id);
        }
        // SAFETY: out may be written, says the header.
        unsafe { store(out, route) };
        Ok(())
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
        Ok(unsafe { borrow(cluster, "cluster") }?.0.is_primary(partition))
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
        Ok(cluster.0.is_primary_for_key(key))
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
        Ok(unsafe { borrow(cluster, "cluster") }?.0.is_leader())
    })
}

/// The leader epoch with which this node leads: a fencing token.
///
/// cluster: borrowed for the call. out: filled on success, else left alone. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, LEASE_EXPIRED when it does not lead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_leader_epoch(cluster: *const ck_cluster_t, out: *mut u64) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        if out.is_null() {
            return Err(null("out"));
        }
        let epoch = cluster.0.leader_epoch()?;
        // SAFETY: out may be written, says the header.
        unsafe { store(out, epoch) };
        Ok(())
    })
}
