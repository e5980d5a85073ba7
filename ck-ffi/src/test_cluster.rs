//! A cluster of nodes in memory, for the tests of programs: its life, and that of its nodes.

use std::ffi::c_char;
use std::sync::Arc;

use clusterkit::Result;
use clusterkit::testing::TestCluster;

use crate::border::guard::{self, caught, fallible, fallible_out, plain, prepare_process};
use crate::border::handle::{borrow, clear, store};
use crate::border::text::text;
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::test_cluster_options::{Slots, ck_testing_options_t};

/// Real nodes in one process, without sockets and files, for the tests of programs: each is an ordinary ck_cluster_t, so the
/// code of the program runs on it unchanged. The test kills nodes, pauses them, cuts them off, and moves their clock: what takes
/// minutes elsewhere takes milliseconds here. Nodes are named by their index, from 0; node 0 has the id "node-0". They have one
/// clock, by which all times here are: it passes with real time, or faster where a call moves it. The nodes listen on no socket,
/// and serve no HTTP. docs/testing.md has recipes.
pub struct ck_testing_t {
    cluster: TestCluster,
    slots: Slots,
}

impl ck_testing_t {
    pub(crate) fn cluster(&self) -> &TestCluster {
        &self.cluster
    }
}

/// The test cluster that C's pointer leads to.
///
/// # Safety
/// A pointer that is not NULL came from [`ck_testing_start`], and is not freed while the borrow lasts.
pub(crate) unsafe fn testing_of<'a>(testing: *const ck_testing_t) -> Result<&'a TestCluster> {
    // SAFETY: the caller's promise.
    Ok(unsafe { borrow(testing, "testing") }?.cluster())
}

/// Runs a call that answers with the index of a node.
///
/// # Safety
/// As for [`testing_of`]; `out_index` may be written or is NULL.
pub(crate) unsafe fn index_answer(
    testing: *const ck_testing_t,
    out_index: *mut usize,
    call: impl FnOnce(&TestCluster) -> Result<usize>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { clear(out_index) };
    fallible(|| {
        // SAFETY: as above.
        let index = call(unsafe { testing_of(testing) }?)?;
        // SAFETY: as above.
        unsafe { store(out_index, index) };
        Ok(())
    })
}

/// Starts a test cluster. Returns when all nodes are members, every partition has its copies and a primary, and nothing moves.
///
/// options: copied, may be freed at once; NULL for the defaults. out: set on success, to be freed with ck_testing_free; NULL on
/// failure. Blocks: for some tens of milliseconds as a rule. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; INVALID_OPTION; REFUSED when a callback did; those of ck_cluster_start; TIMEOUT with what is
/// missing; IO when the system has no more threads to give; IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_start(
    options: *const ck_testing_options_t,
    out: *mut *mut ck_testing_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and live options or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            prepare_process()?;
            let options = options
                .as_ref()
                .map(ck_testing_options_t::read)
                .unwrap_or_default();
            let slots = Slots::default();
            let cluster = options.builder(Arc::clone(&slots)).start()?;
            slot.put_pointer(Box::into_raw(Box::new(ck_testing_t { cluster, slots })));
            Ok(())
        })
    }
}

/// Ends everything of a test cluster before it is freed, and says how that went. Nodes of which there are shares answer STOPPED
/// from then on. Closing again is legal.
///
/// testing: borrowed for the call. Blocks: milliseconds as a rule, 20 s of real time at most. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; IN_HOOK; TIMEOUT when a hook does not return, while everything else has ended: the message names it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_close(testing: *mut ck_testing_t) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.close())
}

/// Ends everything of a test cluster and frees it: see ck_testing_close. Inside a hook it does not wait: the end happens in the
/// background. NULL is allowed.
///
/// testing: consumed; no other call with it may be under way or follow. Blocks: as ck_testing_close. A hook may call it. In a
/// forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_free(testing: *mut ck_testing_t) {
    if testing.is_null() || guard::forked() {
        return;
    }
    // SAFETY: a test cluster that this library gave and nobody has freed, says the header.
    let ck_testing_t { cluster, slots } = *unsafe { Box::from_raw(testing) };
    drop(caught(|| {
        drop(cluster);
        let slots = std::mem::take(&mut *slots.lock());
        slots.into_iter().flatten().for_each(ck_cluster_t::end);
    }));
}

/// The number of nodes, those included that do not run. 0 for NULL.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_node_count(testing: *const ck_testing_t) -> usize {
    // SAFETY: a live test cluster or NULL, says the header.
    plain(0, || Ok(unsafe { testing_of(testing) }?.node_count()))
}

/// The present process of a node, or its last.
///
/// testing: borrowed for the call. out: a share, set on success, to be freed with ck_cluster_free, which does not end the node:
/// it is the test cluster's; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no node with this index; STOPPED when the test cluster has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_node(
    testing: *const ck_testing_t,
    index: usize,
    out: *mut *mut ck_cluster_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live test cluster or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let testing = borrow(testing, "testing")?;
            // For its error: a node that is there has a slot.
            let kit = testing.cluster().node(index)?;
            let slots = testing.slots.lock();
            let share = slots.get(index).and_then(Option::as_ref).map(Arc::clone);
            let share = share.unwrap_or_else(|| Arc::new(ck_cluster_t::of_test_cluster(kit)));
            slot.put_pointer(Arc::into_raw(share).cast_mut());
            Ok(())
        })
    }
}

/// Whether there is a node with an id.
///
/// testing: borrowed for the call. id: UTF-8, borrowed for the call. out_index: its index where there is one, else 0; may be NULL.
/// Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_index_of(
    testing: *const ck_testing_t,
    id: *const c_char,
    id_len: usize,
    out_index: *mut usize,
) -> bool {
    // SAFETY: out_index may be written or is NULL, a live test cluster or NULL, and a readable text of this length, says the
    // header.
    unsafe {
        clear(out_index);
        let index = plain(
            None,
            || Ok(testing_of(testing)?.index_of(text(id, id_len, "id")?)),
        );
        store(out_index, index.unwrap_or_default());
        index.is_some()
    }
}

/// True while a node runs: it was started, and neither stopped nor killed. A paused one runs. False where there is no node with
/// this index.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_is_running(testing: *const ck_testing_t, index: usize) -> bool {
    // SAFETY: a live test cluster or NULL, says the header.
    plain(false, || Ok(unsafe { testing_of(testing) }?.is_running(index)))
}

/// True while a node is paused.
///
/// testing: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_is_paused(testing: *const ck_testing_t, index: usize) -> bool {
    // SAFETY: a live test cluster or NULL, says the header.
    plain(false, || Ok(unsafe { testing_of(testing) }?.is_paused(index)))
}

/// Adds a node and starts it. ck_testing_wait_settled waits until it has its partitions.
///
/// testing: borrowed for the call. out_index: its index, set on success, else 0; may be NULL. Blocks: until it is a member. A
/// hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; those of ck_cluster_start, and then the node is there and does not run; REFUSED when there are
/// 1000 nodes, or a callback refused; IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_add_node(
    testing: *mut ck_testing_t,
    out_index: *mut usize,
) -> *mut ck_error_t {
    // SAFETY: out_index may be written or is NULL, and a live test cluster or NULL, says the header.
    unsafe { index_answer(testing, out_index, TestCluster::add_node) }
}

/// Adds a node and does not start it: the program does, with ck_cluster_start of ck_testing_node.
///
/// testing: borrowed for the call. out_index: its index, set on success, else 0; may be NULL. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; REFUSED when there are 1000 nodes, or a callback refused; INVALID_OPTION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_create_node(
    testing: *mut ck_testing_t,
    out_index: *mut usize,
) -> *mut ck_error_t {
    // SAFETY: out_index may be written or is NULL, and a live test cluster or NULL, says the header.
    unsafe { index_answer(testing, out_index, TestCluster::create_node) }
}

/// Starts a new process of a node that was killed or stopped, on its disk: ck_testing_node has it from then on. Shares of the
/// process before stay as they are, stopped.
///
/// testing: borrowed for the call. Blocks: until it is a member again, as ck_cluster_start. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that runs, or when a callback refused; those of ck_cluster_start;
/// IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_restart(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.restart(index).map(drop))
}

/// Makes a new process of a node that was killed or stopped, on its disk, and does not start it: the program does, with
/// ck_cluster_start of ck_testing_node.
///
/// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
/// Errors: as ck_testing_restart, without those of ck_cluster_start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_recreate(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.recreate(index).map(drop))
}

/// Stops a node in an orderly way, as ck_cluster_stop: the others take over its roles at once. It keeps its disk.
///
/// testing: borrowed for the call. Blocks: as ck_cluster_stop. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that is paused, or does not run; those of ck_cluster_stop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_stop(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.stop(index))
}

/// Ends a node's process without a word, as SIGKILL and a loss of power do: the others find out by its silence. Its disk keeps
/// what was durable, and parts of what was not; its hooks are not called any more, and one that runs goes on to its end. Calls
/// with it answer STOPPED. A paused node can be killed.
///
/// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that does not run; IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_kill(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.kill(index))
}

/// Gives a node an empty disk. A node that runs is killed first. ck_testing_restart then starts it as a process that has lost
/// its data directory: under its old id it is a member again once the others have found its process before dead, and copies its
/// partitions anew.
///
/// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
/// Errors: INVALID_ARGUMENT; NOT_FOUND; IN_HOOK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_testing_wipe(testing: *mut ck_testing_t, index: usize) -> *mut ck_error_t {
    // SAFETY: a live test cluster or NULL, says the header.
    fallible(|| unsafe { testing_of(testing) }?.wipe(index))
}
