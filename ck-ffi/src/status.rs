//! What a node tells of itself, and what its application tells it.

use std::ffi::c_char;
use std::ptr::null;

use clusterkit::hooks::{EventFilter, HookStats};
use clusterkit::model::{HealthStatus, Metrics, NodeHealth};
use clusterkit::{Error, ErrorCode};

use crate::border::guard::{fallible, fallible_out, plain};
use crate::border::handle::{self, Handle, borrow};
use crate::border::record::{Keep, Record};
use crate::border::text::text;
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::event::{CK_EVENT_ALL, mask_of};
use crate::node::health_state;
use crate::values::ck_text_t;

/// Counters and gauges of this node. The library owns it; it is valid until it is freed with ck_metrics_free. New fields go to
/// the end.
#[repr(C)]
pub struct ck_metrics_t {
    /// The number of members.
    pub node_count: usize,
    /// The number of partitions.
    pub partition_count: usize,
    /// The number of HTTP requests answered by this node.
    pub request_count: u64,
    /// The number of those that were answered with a 4xx or 5xx status.
    pub error_count: u64,
    /// When this node last heard from the leader, or led, in milliseconds since 1970.
    pub last_sync_ms: u64,
    /// Seconds since this node started.
    pub uptime_seconds: u64,
    /// As in ck_consensus_stats_t.
    pub raft_state: *const c_char,
    /// True when this node leads.
    pub is_leader: bool,
}

fn metrics_of(metrics: &Metrics, keep: &mut Keep) -> ck_metrics_t {
    ck_metrics_t {
        node_count: metrics.node_count,
        partition_count: metrics.partition_count,
        request_count: metrics.request_count,
        error_count: metrics.error_count,
        last_sync_ms: metrics.last_sync.as_millis(),
        uptime_seconds: metrics.uptime_seconds,
        raft_state: keep.text(&metrics.raft_state),
        is_leader: metrics.is_leader,
    }
}

/// The health of this node. The library owns it; it is valid until it is freed with ck_health_status_free. New fields go to the
/// end.
#[repr(C)]
pub struct ck_health_status_t {
    /// This node's id.
    pub node_id: *const c_char,
    /// Its name for people.
    pub node_name: *const c_char,
    /// As in ck_consensus_stats_t.
    pub raft_state: *const c_char,
    /// How long it has been running, such as "1h2m3.5s".
    pub uptime: *const c_char,
    /// Why it is not healthy; empty when it is.
    pub message: *const c_char,
    /// The number of members.
    pub node_count: usize,
    /// The number of partitions.
    pub partition_count: usize,
    /// When this node last heard from the leader, or led, in milliseconds since 1970.
    pub last_sync_ms: u64,
    /// How late this node's timers and messages from the leader were recently, in milliseconds.
    pub delay_ms: u64,
    /// The factor by which the cluster stretches election timeouts: 1 on quiet machines.
    pub election_stretch: u32,
    /// True when it is a member, knows a leader and applies the log.
    pub healthy: bool,
    /// True when it leads.
    pub is_leader: bool,
}

fn health_of(health: &HealthStatus, keep: &mut Keep) -> ck_health_status_t {
    ck_health_status_t {
        node_id: keep.text(&health.node_id),
        node_name: keep.text(&health.node_name),
        raft_state: keep.text(&health.raft_state),
        uptime: keep.text(&health.uptime),
        message: keep.text(&health.message),
        node_count: health.node_count,
        partition_count: health.partition_count,
        last_sync_ms: health.last_sync.as_millis(),
        delay_ms: health.delay_ms,
        election_stretch: health.election_stretch,
        healthy: health.healthy,
        is_leader: health.is_leader,
    }
}

/// The health of a member, which the leader knows best. The library owns it; it is valid until it is freed with
/// ck_node_health_free. New fields go to the end.
#[repr(C)]
pub struct ck_node_health_t {
    /// The member.
    pub node_id: *const c_char,
    /// When it was last heard from, in milliseconds since 1970.
    pub last_seen_ms: u64,
    /// The number of heartbeats missed in a row.
    pub failures: u32,
    /// True when it is up and healthy.
    pub healthy: bool,
}

fn node_health_of(health: &NodeHealth, keep: &mut Keep) -> ck_node_health_t {
    ck_node_health_t {
        node_id: keep.text(&health.node_id),
        last_seen_ms: health.last_seen.as_millis(),
        failures: health.failures,
        healthy: health.healthy,
    }
}

/// Statistics of one hook since it was added. The library owns it; it is valid until its list is freed. New fields go to the
/// end.
#[repr(C)]
pub struct ck_hook_stats_t {
    /// The hook, as ck_hook_add named it.
    pub hook: u64,
    /// Calls that have ended, however.
    pub calls: u64,
    /// Ended calls that did not return success.
    pub failures: u64,
    /// Failed calls of hooks of other languages that ended with a panic.
    pub panics: u64,
    /// Calls that were made again for a partition that this node gains.
    pub retries: u64,
    /// Events that were removed before they were told, because a later one made them pointless.
    pub coalesced: u64,
    /// Events that wait to be told.
    pub queued: usize,
    /// Calls that run.
    pub running: usize,
    /// The events that it is called for: a sum of CK_EVENT_*, or CK_EVENT_ALL.
    pub events: u32,
}

/// Statistics of every hook.
pub struct ck_hook_stats_list_t(Vec<ck_hook_stats_t>);

impl Handle for ck_hook_stats_list_t {
    const IS_MEMORY: bool = true;
}

fn hook_stats_of(stats: &HookStats) -> ck_hook_stats_t {
    ck_hook_stats_t {
        hook: stats.hook.0,
        calls: stats.calls,
        failures: stats.failures,
        panics: stats.panics,
        retries: stats.retries,
        coalesced: stats.coalesced,
        queued: stats.queued,
        running: stats.running,
        events: if stats.filter == EventFilter::ALL {
            CK_EVENT_ALL
        } else {
            mask_of(stats.filter)
        },
    }
}

/// Counters and gauges of this node.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_metrics_free; NULL on failure. Never blocks; a hook
/// may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_metrics(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_metrics_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let metrics = borrow(cluster, "cluster")?.node().metrics();
            slot.put_pointer(Record::give(|keep| metrics_of(&metrics, keep)));
            Ok(())
        })
    }
}

/// Frees metrics. NULL is allowed.
///
/// metrics: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_metrics_free(metrics: *mut ck_metrics_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(metrics) };
}

/// The health of this node.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_health_status_free; NULL on failure. Never blocks; a
/// hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_health_check(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_health_status_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let health = borrow(cluster, "cluster")?.node().health_check();
            slot.put_pointer(Record::give(|keep| health_of(&health, keep)));
            Ok(())
        })
    }
}

/// Frees a node's health. NULL is allowed.
///
/// health: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_health_status_free(health: *mut ck_health_status_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(health) };
}

/// The health of a member, which the leader knows best.
///
/// cluster: borrowed for the call. id: UTF-8, borrowed for the call. out: set on success, to be freed with ck_node_health_free;
/// NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND when there is no such member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_node_health(
    cluster: *const ck_cluster_t,
    id: *const c_char,
    id_len: usize,
    out: *mut *mut ck_node_health_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, a live node or NULL, and a readable text of this length, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let (cluster, id) = (borrow(cluster, "cluster")?, text(id, id_len, "id")?);
            cluster.refuse_before_start()?;
            let health = cluster.node().node_health(id)?;
            slot.put_pointer(Record::give(|keep| node_health_of(&health, keep)));
            Ok(())
        })
    }
}

/// Frees a member's health. NULL is allowed.
///
/// health: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_node_health_free(health: *mut ck_node_health_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(health) };
}

/// Tells every node how this node's application is. It counts for the health of the cluster, not for the placement of
/// partitions.
///
/// cluster: borrowed for the call. health: CK_HEALTH_HEALTHY, CK_HEALTH_DEGRADED or CK_HEALTH_FAILING. reason: for people,
/// UTF-8, copied, cut after 256 characters. Never blocks: the next heartbeat carries it; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_report_health(
    cluster: *mut ck_cluster_t,
    health: i32,
    reason: *const c_char,
    reason_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, and a readable text of this length, says the header.
        let (cluster, reason) = unsafe { (borrow(cluster, "cluster")?, text(reason, reason_len, "reason")?) };
        let health = health_state(health).ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!("health {health} is none of CK_HEALTH_HEALTHY, _DEGRADED and _FAILING"),
            )
        })?;
        cluster.node().report_health(health, reason);
        Ok(())
    })
}

/// The whole cluster as a JSON object, custom data included: as GET /cluster?include=custom_data has it. Its leader is empty
/// when this node has had no contact with one for the duration of a lease; then the rest is as old too.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks, takes time
/// in proportion to all of it; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_cluster_json(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            slot.put(ck_text_t::json(&borrow(cluster, "cluster")?.node().cluster())?);
            Ok(())
        })
    }
}

/// Statistics of every hook of this node, in the order in which they were added.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_hook_stats_free; NULL on failure. Never blocks; a
/// hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_stats(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_hook_stats_list_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let stats = borrow(cluster, "cluster")?.node().hook_stats();
            slot.put(ck_hook_stats_list_t(stats.iter().map(hook_stats_of).collect()));
            Ok(())
        })
    }
}

/// How many hooks there are. 0 for NULL.
///
/// stats: borrowed for the call. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_stats_count(stats: *const ck_hook_stats_list_t) -> usize {
    // SAFETY: live statistics or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(stats, "stats") }?.0.len()))
}

/// The statistics of the hook at an index. NULL where there is none.
///
/// stats: borrowed for the call. Returns: valid until the statistics are freed. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_stats_get(
    stats: *const ck_hook_stats_list_t,
    index: usize,
) -> *const ck_hook_stats_t {
    plain(null(), || {
        // SAFETY: live statistics or NULL, says the header.
        let found = unsafe { borrow(stats, "stats") }?.0.get(index);
        Ok(found.map_or(null(), std::ptr::from_ref))
    })
}

/// Frees statistics of hooks. NULL is allowed.
///
/// stats: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_stats_free(stats: *mut ck_hook_stats_list_t) {
    // SAFETY: statistics that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(stats, drop) };
}
