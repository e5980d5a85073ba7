//! Who leads, and changing that.

use std::ffi::{c_char, c_void};

use clusterkit::AsyncClusterKit;
use clusterkit::model::{ConsensusStats, LeaderInfo};

use crate::border::guard::{fallible, fallible_out};
use crate::border::handle::{borrow, clear, null, out, store};
use crate::border::record::{Keep, Record};
use crate::border::text::{fill, text};
use crate::cluster::{ck_cluster_t, clear_text, millis};
use crate::done::{Outcome, ck_done_fn};
use crate::error::ck_error_t;

/// The leader. The library owns it; it is valid until it is freed with ck_leader_info_free. New fields go to the end.
#[repr(C)]
pub struct ck_leader_info_t {
    /// The leader's node id.
    pub leader_id: *const c_char,
    /// Its name for people.
    pub leader_name: *const c_char,
    /// The "host:port" at which others reach it.
    pub leader_ip: *const c_char,
    /// The leader epoch, a fencing token: it only grows.
    pub epoch: u64,
    /// The Raft term that it was elected in; no fencing token.
    pub term: u64,
    /// When it was elected, in milliseconds since 1970.
    pub elected_at_ms: u64,
}

fn leader_of(leader: &LeaderInfo, keep: &mut Keep) -> ck_leader_info_t {
    ck_leader_info_t {
        leader_id: keep.text(&leader.leader_id),
        leader_name: keep.text(&leader.leader_name),
        leader_ip: keep.text(&leader.leader_ip),
        epoch: leader.epoch,
        term: leader.term,
        elected_at_ms: leader.elected_at.as_millis(),
    }
}

/// A leader that somebody here holds and C borrows.
pub(crate) fn leader_record(leader: &LeaderInfo) -> Box<Record<ck_leader_info_t>> {
    Record::new(|keep| leader_of(leader, keep))
}

/// Raft statistics of this node. The library owns it; it is valid until it is freed with ck_consensus_stats_free. New fields go
/// to the end.
#[repr(C)]
pub struct ck_consensus_stats_t {
    /// "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
    pub state: *const c_char,
    /// The leader's node id; empty when none is known.
    pub leader: *const c_char,
    /// The Raft term.
    pub term: u64,
    /// The index of the last entry in the log.
    pub last_log_index: u64,
    /// The term of that entry.
    pub last_log_term: u64,
    /// The last index known to be committed.
    pub commit_index: u64,
    /// The last index applied here.
    pub applied_index: u64,
    /// The number of other nodes that take part in Raft.
    pub num_peers: usize,
    /// True when this node leads.
    pub is_leader: bool,
}

fn stats_of(stats: &ConsensusStats, keep: &mut Keep) -> ck_consensus_stats_t {
    ck_consensus_stats_t {
        state: keep.text(&stats.state),
        leader: keep.text(&stats.leader),
        term: stats.term,
        last_log_index: stats.last_log_index,
        last_log_term: stats.last_log_term,
        commit_index: stats.commit_index,
        applied_index: stats.applied_index,
        num_peers: stats.num_peers,
        is_leader: stats.is_leader,
    }
}

/// The leader epoch with which this node leads: a fencing token.
///
/// cluster: borrowed for the call. out: the epoch, set on success, else 0. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, LEASE_EXPIRED when it does not lead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_leader_epoch(cluster: *const ck_cluster_t, out: *mut u64) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, says the header.
    unsafe { clear(out) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        if out.is_null() {
            return Err(null("out"));
        }
        let epoch = cluster.node().leader_epoch()?;
        // SAFETY: out may be written, says the header.
        unsafe { store(out, epoch) };
        Ok(())
    })
}

/// The leader, as this node knows it: NULL in *out when it has had no contact with one for the duration of a lease.
///
/// cluster: borrowed for the call. out: set on success where there is one, to be freed with ck_leader_info_free; else NULL.
/// Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_leader(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_leader_info_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            if let Some(leader) = borrow(cluster, "cluster")?.node().leader() {
                slot.put_pointer(Record::give(|keep| leader_of(&leader, keep)));
            }
            Ok(())
        })
    }
}

/// Frees a leader. NULL is allowed.
///
/// leader: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_leader_info_free(leader: *mut ck_leader_info_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(leader) };
}

/// Waits until a leader is known.
///
/// cluster: borrowed for the call. out_leader: set on success, to be freed with ck_leader_info_free; NULL on failure; may be NULL.
/// Blocks: for at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER when there is none in time, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_wait_for_leader(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    out_leader: *mut *mut ck_leader_info_t,
) -> *mut ck_error_t {
    // SAFETY: it may be written or is NULL, says the header.
    unsafe { clear(out_leader) };
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let found = cluster.node().wait_for_leader(millis(timeout_ms))?;
        if !out_leader.is_null() {
            let record = Record::give(|keep| leader_of(&found, keep));
            // SAFETY: it may be written, says the header.
            unsafe { out(out_leader, "out_leader") }?.put_pointer(record);
        }
        Ok(())
    })
}

/// ck_wait_for_leader without waiting for it: the result has the leader.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_wait_for_leader_async(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = move |node: AsyncClusterKit| async move { node.wait_for_leader(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, |leader| Outcome {
            leader: Some(leader),
            ..Outcome::default()
        })
    })
}

/// Asks the leader to hand leadership to another voter.
///
/// cluster: borrowed for the call. buffer: size bytes, filled with the id of the leader afterwards and a NUL; CK_NODE_ID_SIZE
/// bytes are enough; an empty text on failure; may be NULL. Blocks: for a few seconds at most. A hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED; REFUSED with the reason when no voter could take over; NO_LEADER; TIMEOUT; TOO_LARGE
/// when the buffer is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_step_down(
    cluster: *mut ck_cluster_t,
    buffer: *mut c_char,
    size: usize,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, and a buffer of `size` bytes or NULL, says the header.
    unsafe { change_leader(cluster, buffer, size, |cluster| cluster.node().step_down()) }
}

/// Asks the leader to hand leadership to a certain voter.
///
/// cluster: borrowed for the call. id: UTF-8, copied. buffer: as for ck_step_down. Blocks: for a few seconds at most. A hook may
/// call it.
/// Errors: as ck_step_down; NOT_FOUND when there is no such member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_promote(
    cluster: *mut ck_cluster_t,
    id: *const c_char,
    id_len: usize,
    buffer: *mut c_char,
    size: usize,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, a readable text of this length, and a buffer of `size` bytes or NULL, says the header.
    unsafe {
        change_leader(cluster, buffer, size, |cluster| {
            cluster.node().promote(text(id, id_len, "id")?)
        })
    }
}

/// ck_step_down, after which the former leader does not stand for election by itself for a while.
///
/// cluster: borrowed for the call. cooldown_ms: for how long, an hour at most. buffer: as for ck_step_down. Blocks: for a few
/// seconds at most. A hook may call it.
/// Errors: as ck_step_down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_demote(
    cluster: *mut ck_cluster_t,
    cooldown_ms: u32,
    buffer: *mut c_char,
    size: usize,
) -> *mut ck_error_t {
    // SAFETY: a live node or NULL, and a buffer of `size` bytes or NULL, says the header.
    unsafe {
        change_leader(cluster, buffer, size, |cluster| {
            cluster.node().demote(millis(cooldown_ms))
        })
    }
}

/// # Safety
/// A live node or NULL, and a buffer of `size` bytes or NULL.
unsafe fn change_leader(
    cluster: *mut ck_cluster_t,
    buffer: *mut c_char,
    size: usize,
    change: impl FnOnce(&ck_cluster_t) -> clusterkit::Result<clusterkit::model::NodeId>,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe { clear_text(buffer, size) };
    fallible(|| {
        // SAFETY: as above.
        let leader = change(unsafe { borrow(cluster, "cluster") }?)?;
        if buffer.is_null() {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { fill(buffer, size, &leader, "buffer") }
    })
}

fn new_leader(leader: clusterkit::model::NodeId) -> Outcome {
    Outcome {
        node_id: leader.to_string(),
        ..Outcome::default()
    }
}

/// ck_step_down without waiting for it: the result has the leader's id.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_step_down_async(
    cluster: *mut ck_cluster_t,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = |node: AsyncClusterKit| async move { node.step_down().await };
        cluster.begin(done, user_data, call, new_leader)
    })
}

/// ck_promote without waiting for it: the result has the leader's id.
///
/// cluster: borrowed for the call. id: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_promote_async(
    cluster: *mut ck_cluster_t,
    id: *const c_char,
    id_len: usize,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, id) = unsafe { (borrow(cluster, "cluster")?, text(id, id_len, "id")?.to_owned()) };
        let call = move |node: AsyncClusterKit| async move { node.promote(&id).await };
        cluster.begin(done, user_data, call, new_leader)
    })
}

/// ck_demote without waiting for it: the result has the leader's id.
///
/// cluster: borrowed for the call. cooldown_ms: an hour at most. done, user_data: see ck_done_fn. Never blocks; a hook may call
/// it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_demote_async(
    cluster: *mut ck_cluster_t,
    cooldown_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call = move |node: AsyncClusterKit| async move { node.demote(millis(cooldown_ms)).await };
        cluster.begin(done, user_data, call, new_leader)
    })
}

/// Raft statistics of this node.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_consensus_stats_free; NULL on failure. Never blocks;
/// a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_consensus_stats(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_consensus_stats_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let stats = borrow(cluster, "cluster")?.node().consensus_stats();
            slot.put_pointer(Record::give(|keep| stats_of(&stats, keep)));
            Ok(())
        })
    }
}

/// Frees Raft statistics. NULL is allowed.
///
/// stats: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_consensus_stats_free(stats: *mut ck_consensus_stats_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(stats) };
}
