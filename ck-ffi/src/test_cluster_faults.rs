//! What a test does to the nodes of a test cluster, their network and their disks.

use clusterkit::testing::{DiskFault, LinkFaults};
use clusterkit::{Error, ErrorCode, Result};

use crate::border::guard::fallible;
use crate::border::handle::null;
use crate::cluster::millis;
use crate::error::ck_error_t;
use crate::test_cluster::{ck_testing_t, testing_of};

/// Nothing more can be written: the disk is full.
pub const CK_TESTING_DISK_FULL: i32 = 1;
/// Nothing more can be written: the disk has turned read-only.
pub const CK_TESTING_DISK_READ_ONLY: i32 = 2;
/// Writes that should have become durable have not: the next sync fails.
pub const CK_TESTING_DISK_SYNC_FAILS: i32 = 3;
/// Writes do not return until the disk is mended.
pub const CK_TESTING_DISK_HANGS: i32 = 4;

fn fault_of(number: i32) -> Result<DiskFault> {
    match number {
        CK_TESTING_DISK_FULL => Ok(DiskFault::Full),
        CK_TESTING_DISK_READ_ONLY => Ok(DiskFault::ReadOnly),
        CK_TESTING_DISK_SYNC_FAILS => Ok(DiskFault::SyncFails),
        CK_TESTING_DISK_HANGS => Ok(DiskFault::Hangs),
        number => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("fault is {number}; it is one of CK_TESTING_DISK_*, 1 to 4"),
        )),
    }
}

/// Pauses a node, as SIGSTOP does: it answers nobody, and no hook of it is called, but for one that was called already and goes
/// on to its end. The handle still answers what needs no other node; calls that do wait until it is resumed, or for their
/// timeout.
///
/// testing: borrowed for the call. Blocks: microseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that does not run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_pause(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.pause(index))
}

/// Resumes a paused node: it goes on where it stood, with what it was sent meanwhile. Without effect on another.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_resume(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.resume(index))
}

/// Loses all messages between two nodes, in both directions.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_cut(
    testing: *mut ck_testing_t,
    one: usize,
    other: usize,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.cut(one, other))
}

/// Loses all messages from one node to another, answers of that direction included.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_cut_one_way(
    testing: *mut ck_testing_t,
    from: usize,
    to: usize,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.cut_one_way(from, to))
}

/// Ends the cuts between two nodes, in both directions. An isolation stays.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_restore(
    testing: *mut ck_testing_t,
    one: usize,
    other: usize,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.restore(one, other))
}

/// Cuts a node off from all others, also from those that are added later, until ck_testing_heal.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_isolate(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.isolate(index))
}

/// Divides the nodes: those that are named lose all messages to and from those that are not, until ck_testing_heal.
///
/// testing: borrowed for the call. indexes: count of them, borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND, and nothing is cut then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_split(
    testing: *mut ck_testing_t,
    indexes: *const usize,
    count: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live test cluster or NULL, says the header.
        let testing = unsafe { testing_of(testing) }?;
        if count == 0 {
            return Ok(());
        }
        if indexes.is_null() {
            return Err(null("indexes"));
        }
        if count > testing.node_count() {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("count is {count}; there are {} nodes", testing.node_count()),
            ));
        }
        // SAFETY: so many numbers can be read, says the header.
        testing.split(unsafe { std::slice::from_raw_parts(indexes, count) })
    })
}

/// Sets the conditions of the link from one node to another: how long each message takes, and how many of a thousand are lost,
/// which are sent again and arrive 200 ms later, as over TCP. 0 and 0 end them.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, also when lost_per_thousand is more than 1000; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_set_link(
    testing: *mut ck_testing_t,
    from: usize,
    to: usize,
    delay_ms: u32,
    lost_per_thousand: u32,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live test cluster or NULL, says the header.
        let testing = unsafe { testing_of(testing) }?;
        if lost_per_thousand > 1000 {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("lost_per_thousand is {lost_per_thousand}; it is 0 to 1000"),
            ));
        }
        let mut faults = LinkFaults::delay(millis(delay_ms));
        faults.loss = f64::from(lost_per_thousand) / 1000.0;
        testing.set_link(from, to, faults)
    })
}

/// Mends the network: no cut, no isolation, no fault of a link is left. Paused nodes stay paused, disks as they are.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_heal(testing: *mut ck_testing_t) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live test cluster or NULL, says the header.
        unsafe { testing_of(testing) }?.heal();
        Ok(())
    })
}

/// Lets the disk of a node fail from now on, until ck_testing_mend_disk or the node's next process. A node whose log cannot be
/// written leaves its leadership and its roles to others, and has to be restarted.
///
/// testing: borrowed for the call. fault: CK_TESTING_DISK_*. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_fail_disk(
    testing: *mut ck_testing_t,
    index: usize,
    fault: i32,
) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.fail_disk(index, fault_of(fault)?))
}

/// Mends the disk of a node. A node whose log has failed has to be restarted all the same.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_mend_disk(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.mend_disk(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_one_number() {
        assert_eq!(fault_of(CK_TESTING_DISK_HANGS).unwrap(), DiskFault::Hangs);
        for wrong in [0, 5, -1] {
            let error = fault_of(wrong).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
        }
    }
}
