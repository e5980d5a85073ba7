//! Partitions of a view.

use std::ffi::c_char;
use std::ptr::null;

use clusterkit::model::PartitionState;
use clusterkit::routing::{ClusterView, PartitionRef};
use clusterkit::{Error, ErrorCode};

use crate::border::guard::{fallible, plain};
use crate::border::handle::{clear, out};
use crate::border::text::{quoted, text};
use crate::error::ck_error_t;
use crate::lookup::{CK_NO_PARTITION, CK_ROLE_NONE, role_number};
use crate::node::ck_node_t;
use crate::values::ck_numbers_t;
use crate::view::{ask, ck_view_t, node_at, view_of};

/// There is no such partition, or its state is one that this header does not know.
pub const CK_PARTITION_UNKNOWN: i32 = 0;
/// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor requires.
pub const CK_PARTITION_OK: i32 = 1;
/// It has a primary and enough copies, and a copy or the primary role is moving to another node.
pub const CK_PARTITION_MOVING: i32 = 2;
/// It has a primary, and fewer nodes that are up hold the data than the replication factor requires.
pub const CK_PARTITION_UNDER_REPLICATED: i32 = 3;
/// The primary role is between two holders, or no node has it yet.
pub const CK_PARTITION_NO_PRIMARY: i32 = 4;
/// No node that is up holds the data.
pub const CK_PARTITION_LOST: i32 = 5;

fn state_number(state: PartitionState) -> i32 {
    match state {
        PartitionState::Ok => CK_PARTITION_OK,
        PartitionState::Moving => CK_PARTITION_MOVING,
        PartitionState::UnderReplicated => CK_PARTITION_UNDER_REPLICATED,
        PartitionState::NoPrimary => CK_PARTITION_NO_PRIMARY,
        PartitionState::Lost => CK_PARTITION_LOST,
        _ => CK_PARTITION_UNKNOWN,
    }
}

/// Answers a question about a partition of a view, `otherwise` where there is none.
///
/// # Safety
/// A live view or NULL.
#[inline]
unsafe fn ask_partition<T: Copy>(
    view: *const ck_view_t,
    partition: u32,
    otherwise: T,
    answer: impl FnOnce(&'static ClusterView, PartitionRef<'static>) -> T,
) -> T {
    let answer = |view: &'static ClusterView| match view.partition_by_number(partition) {
        Some(partition) => answer(view, partition),
        None => otherwise,
    };
    // SAFETY: the caller's promise.
    unsafe { ask(view, otherwise, answer) }
}

/// How many partitions there are; 0 before they exist, and for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partition_count(view: *const ck_view_t) -> u32 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, ClusterView::partition_count) }
}

/// The epoch of a partition, which grows whenever its primary changes: the fencing token for the application's
/// storage. 0 where there is no such partition.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_epoch(view: *const ck_view_t, partition: u32) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask_partition(view, partition, 0, |_, partition| partition.epoch()) }
}

/// What this node is to a partition by this view: CK_ROLE_*. Whether its lease lets it act on that is not known
/// here: ask ck_is_primary.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_role(view: *const ck_view_t, partition: u32) -> i32 {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, CK_ROLE_NONE, |_, partition| {
            role_number(partition.role())
        })
    }
}

/// The condition of a partition: CK_PARTITION_*.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partition_state(view: *const ck_view_t, partition: u32) -> i32 {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, CK_PARTITION_UNKNOWN, |_, partition| {
            state_number(partition.state())
        })
    }
}

/// The node that takes the writes of a partition. NULL while there is none, and where there is no such partition.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_primary(view: *const ck_view_t, partition: u32) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, null(), |view, partition| {
            node_at(view, partition.primary_index())
        })
    }
}

/// How many nodes besides the primary hold the data of a partition. 0 where there is no such partition.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_replica_count(view: *const ck_view_t, partition: u32) -> usize {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, 0, |_, partition| {
            partition.replica_indexes().len()
        })
    }
}

/// One of the nodes besides the primary that hold the data of a partition; they are sorted by id. NULL where there
/// is none.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_replica(
    view: *const ck_view_t,
    partition: u32,
    index: usize,
) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, null(), |view, partition| {
            node_at(view, partition.replica_indexes().get(index).copied())
        })
    }
}

/// How many nodes are still copying the data of a partition. 0 where there is no such partition.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_pending_count(view: *const ck_view_t, partition: u32) -> usize {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, 0, |_, partition| {
            partition.pending_indexes().len()
        })
    }
}

/// One of the nodes that are still copying the data of a partition, and hold no role yet; they are sorted by id. NULL where
/// there is none.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_pending(
    view: *const ck_view_t,
    partition: u32,
    index: usize,
) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask_partition(view, partition, null(), |view, partition| {
            node_at(view, partition.pending_indexes().get(index).copied())
        })
    }
}

/// The partitions that a member holds: those that it takes the writes of, and those that it holds another copy of, by number.
///
/// view: borrowed for the call. id: UTF-8, borrowed for the call. out_primary, out_replica: set on success, to be freed with
/// ck_numbers_free; NULL on failure; each may be NULL. Never blocks, takes time in proportion to the partitions; a hook may
/// call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partitions_of(
    view: *const ck_view_t,
    id: *const c_char,
    id_len: usize,
    out_primary: *mut *mut ck_numbers_t,
    out_replica: *mut *mut ck_numbers_t,
) -> *mut ck_error_t {
    // SAFETY: both may be written or are NULL, says the header.
    unsafe {
        clear(out_primary);
        clear(out_replica);
    }
    fallible(|| {
        // SAFETY: a live view or NULL, and a readable text of this length, says the header.
        let (view, id) = unsafe { (view_of(view)?, text(id, id_len, "id")?) };
        let held = view
            .partitions_for_node(id)
            .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no member {}", quoted(id))))?;
        for (place, numbers) in [(out_primary, held.primary), (out_replica, held.replica)] {
            if !place.is_null() {
                // SAFETY: it may be written, says the header.
                unsafe { out(place, "out") }?.put(ck_numbers_t::new(numbers));
            }
        }
        Ok(())
    })
}

/// How many partitions the member at an index takes the writes of. 0 where there is none.
///
/// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_primaries_of(view: *const ck_view_t, index: usize) -> usize {
    let count = |view: &'static ClusterView| {
        let is_its =
            |partition: &PartitionRef<'_>| partition.primary_index().map(|at| at as usize) == Some(index);
        view.partitions().filter(is_its).count()
    };
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, count) }
}

/// How many partitions have lost their data: no node that is up holds it. 0 for NULL.
///
/// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_lost_count(view: *const ck_view_t) -> usize {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| lost(view).count()) }
}

/// The number of one of the partitions that have lost their data, in ascending order. CK_NO_PARTITION where there is none.
///
/// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_lost(view: *const ck_view_t, index: usize) -> u32 {
    // SAFETY: a live view or NULL, says the header.
    unsafe {
        ask(view, CK_NO_PARTITION, |view| {
            lost(view).nth(index).unwrap_or(CK_NO_PARTITION)
        })
    }
}

fn lost(view: &ClusterView) -> impl Iterator<Item = u32> {
    let is_lost = |partition: &PartitionRef<'_>| partition.state() == PartitionState::Lost;
    view.partitions()
        .filter(is_lost)
        .map(|partition| partition.number())
}

/// The number in the public name of a partition, such as "partition-5". CK_NO_PARTITION when it is no such name.
///
/// name: UTF-8, borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_partition_number(name: *const c_char, name_len: usize) -> u32 {
    plain(CK_NO_PARTITION, || {
        // SAFETY: a readable text of this length, says the header.
        let name = unsafe { text(name, name_len, "name") }?;
        Ok(clusterkit::model::partition_number(name).unwrap_or(CK_NO_PARTITION))
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::error::{CK_ERROR_NOT_FOUND, ck_error_code, ck_error_free};
    use crate::testing::{text_at, view as acquired};
    use crate::values::{ck_numbers_data, ck_numbers_free};
    use crate::view::ck_view_release;

    #[test]
    fn partitions_are_told_by_number() {
        let view = acquired();
        // SAFETY: a live view, released at the end.
        unsafe {
            assert_eq!(ck_view_partition_count(view), 2);
            assert_eq!(text_at((*ck_view_primary(view, 1)).id), "b");
            assert_eq!(text_at((*ck_view_replica(view, 1, 0)).id), "a");
            assert_eq!(
                (ck_view_replica_count(view, 1), ck_view_pending_count(view, 1)),
                (1, 0)
            );
            assert_eq!(ck_view_partition_state(view, 0), CK_PARTITION_OK);
            assert_eq!(
                (ck_view_primaries_of(view, 0), ck_view_primaries_of(view, 2)),
                (1, 0)
            );
            assert_eq!(
                (ck_view_lost_count(view), ck_view_lost(view, 0)),
                (0, CK_NO_PARTITION)
            );
            ck_view_release(view);
        }
    }

    #[test]
    fn partitions_are_told_by_member() {
        let view = acquired();
        let (mut primary, mut replica) = (null_mut(), null_mut());
        // SAFETY: a live view, released at the end, and numbers that are freed once.
        unsafe {
            let error = ck_view_partitions_of(view, c"a".as_ptr(), 1, &raw mut primary, &raw mut replica);
            assert!(error.is_null());
            let numbers = |numbers| {
                let mut count = 0;
                let data = ck_numbers_data(numbers, &raw mut count);
                std::slice::from_raw_parts(data, count).to_vec()
            };
            assert_eq!((numbers(primary), numbers(replica)), (vec![0], vec![1]));
            ck_numbers_free(primary);
            ck_numbers_free(replica);
            let error = ck_view_partitions_of(view, c"x".as_ptr(), 1, &raw mut primary, null_mut());
            assert_eq!(ck_error_code(error), CK_ERROR_NOT_FOUND);
            assert!(primary.is_null());
            ck_error_free(error);
            ck_view_release(view);
        }
    }

    #[test]
    fn what_is_not_there_is_null_or_zero() {
        let view = acquired();
        // SAFETY: a live view, released at the end, or NULL.
        unsafe {
            assert!(ck_view_primary(view, 2).is_null() && ck_view_replica(view, 0, 1).is_null());
            assert!(ck_view_pending(view, 0, 0).is_null());
            assert_eq!((ck_view_epoch(view, 2), ck_view_replica_count(view, 2)), (0, 0));
            assert_eq!(ck_view_partition_state(view, 2), CK_PARTITION_UNKNOWN);
            assert_eq!(ck_view_role(null(), 0), CK_ROLE_NONE);
            assert_eq!(ck_partition_number(c"partition-5".as_ptr(), 11), 5);
            assert_eq!(ck_partition_number(c"partition-".as_ptr(), 10), CK_NO_PARTITION);
            assert_eq!(ck_partition_number(null(), 3), CK_NO_PARTITION);
            ck_view_release(view);
        }
    }
}
