//! How partitions move, for people who watch it.

use std::ffi::{c_char, c_void};

use clusterkit::AsyncClusterKit;
use clusterkit::model::{AvoidedCopy, AwayNode, Migration, MigrationState, RebalanceStatus, Timestamp};

use crate::border::guard::{fallible, fallible_out};
use crate::border::handle::borrow;
use crate::border::record::{Keep, Record, list};
use crate::cluster::{ck_cluster_t, millis};
use crate::done::{Outcome, ck_done_fn};
use crate::error::ck_error_t;
use crate::payload::{CK_TRIGGER_UNKNOWN, trigger_number};

/// A state that this header does not know.
pub const CK_MIGRATION_UNKNOWN: i32 = 0;
/// The node has as many copies in progress as it may.
pub const CK_MIGRATION_QUEUED: i32 = 1;
/// The node has to copy the data.
pub const CK_MIGRATION_COPYING: i32 = 2;
/// The node has to copy the data, its hook has failed, and the hook is called again.
pub const CK_MIGRATION_RETRYING: i32 = 3;
/// No node that is up has the data.
pub const CK_MIGRATION_NO_SOURCE: i32 = 4;
/// The copy is there; the primary role is taken from its holder and given to the other node.
pub const CK_MIGRATION_HANDING_OVER: i32 = 5;

/// One step of a partition's migration. The library owns it; it is valid until its status is freed. New fields go to the end.
#[repr(C)]
pub struct ck_migration_t {
    /// The nodes that it can be copied from, or the node that gives up the role.
    pub from: *const *const c_char,
    /// How many they are.
    pub from_count: usize,
    /// The node that gets the copy or the role.
    pub to: *const c_char,
    /// What the step waits for, or why its hook failed last; empty when it makes progress.
    pub reason: *const c_char,
    /// When the step began, in milliseconds since 1970 by the leader's clock; 0 when it has not begun, and when the answer is not
    /// the leader's.
    pub since_ms: u64,
    /// The partition's number.
    pub partition: u32,
    /// The state of the step: CK_MIGRATION_*.
    pub state: i32,
    /// How often the hook of the node that copies has failed.
    pub attempts: u32,
}

/// A member that is away and keeps its copies for now. The library owns it; it is valid until its status is freed. New fields go
/// to the end.
#[repr(C)]
pub struct ck_away_node_t {
    /// The member.
    pub node_id: *const c_char,
    /// When its absence began, in milliseconds since 1970.
    pub since_ms: u64,
    /// When its copies are made elsewhere, in milliseconds since 1970; 0 when the answer is not the leader's.
    pub replaced_after_ms: u64,
}

/// An abandoned copy, which is not planned on that node for a while. The library owns it; it is valid until its status is freed.
/// New fields go to the end.
#[repr(C)]
pub struct ck_avoided_copy_t {
    /// The node that failed to copy it.
    pub node_id: *const c_char,
    /// The time until which the node is avoided, in milliseconds since 1970.
    pub until_ms: u64,
    /// The partition's number.
    pub partition: u32,
    /// How often the copy was abandoned; each time the node is avoided for twice as long.
    pub times: u32,
}

/// How partitions move. The library owns it and all that it points at; it is valid until it is freed with
/// ck_rebalance_status_free, or until the callback returns that it came with. New fields go to the end.
#[repr(C)]
pub struct ck_rebalance_status_t {
    /// The node that this information comes from.
    pub answered_by: *const c_char,
    /// The node that caused the rebalance; empty for one that was asked for, and when nothing moves.
    pub trigger_node_id: *const c_char,
    /// The revision of this information.
    pub revision: u64,
    /// When the rebalance began, in milliseconds since 1970; 0 when none runs.
    pub started_at_ms: u64,
    /// The number of partitions that were to change a holder or their primary.
    pub partitions_to_move: usize,
    /// The number of those that are where they should be, or were given up.
    pub moved: usize,
    /// The steps in progress, then the waiting ones: at most a thousand.
    pub migrations: *const *const ck_migration_t,
    /// How many steps are listed.
    pub migration_count: usize,
    /// The number of all steps.
    pub migrations_total: usize,
    /// The members that are away.
    pub away: *const *const ck_away_node_t,
    /// How many they are.
    pub away_count: usize,
    /// The abandoned copies, which are not tried again for a while.
    pub avoided: *const *const ck_avoided_copy_t,
    /// How many they are.
    pub avoided_count: usize,
    /// The reason of the maintenance during which nothing is moved; NULL where there is none.
    pub maintenance: *const c_char,
    /// What caused the rebalance: CK_TRIGGER_*; CK_TRIGGER_UNKNOWN when nothing moves.
    pub trigger: i32,
    /// True when the answer is the leader's. Other nodes know neither times nor attempts nor avoided copies.
    pub from_leader: bool,
    /// True while partitions are moving.
    pub running: bool,
}

/// A status, and the records that it points at.
pub(crate) struct StatusLists {
    _migrations: (Vec<ck_migration_t>, Vec<*const ck_migration_t>),
    _away: (Vec<ck_away_node_t>, Vec<*const ck_away_node_t>),
    _avoided: (Vec<ck_avoided_copy_t>, Vec<*const ck_avoided_copy_t>),
}

fn with_pointers<T>(records: Vec<T>) -> (Vec<T>, Vec<*const T>) {
    let pointers = records.iter().map(std::ptr::from_ref).collect();
    (records, pointers)
}

fn state_number(state: MigrationState) -> i32 {
    match state {
        MigrationState::Queued => CK_MIGRATION_QUEUED,
        MigrationState::Copying => CK_MIGRATION_COPYING,
        MigrationState::Retrying => CK_MIGRATION_RETRYING,
        MigrationState::NoSource => CK_MIGRATION_NO_SOURCE,
        MigrationState::HandingOver => CK_MIGRATION_HANDING_OVER,
        _ => CK_MIGRATION_UNKNOWN,
    }
}

/// 0 where there is no moment.
fn moment(timestamp: Option<Timestamp>) -> u64 {
    timestamp.map_or(0, Timestamp::as_millis)
}

fn migration_of(step: &Migration, keep: &mut Keep) -> ck_migration_t {
    let (from, from_count) = keep.texts(step.from.iter().map(|node| &**node));
    ck_migration_t {
        from,
        from_count,
        to: keep.text(&step.to),
        reason: keep.text(&step.reason),
        since_ms: moment(step.since),
        partition: step.number,
        state: state_number(step.state),
        attempts: step.attempts,
    }
}

fn away_of(away: &AwayNode, keep: &mut Keep) -> ck_away_node_t {
    ck_away_node_t {
        node_id: keep.text(&away.node),
        since_ms: away.since.as_millis(),
        replaced_after_ms: moment(away.replaced_after),
    }
}

fn avoided_of(avoided: &AvoidedCopy, keep: &mut Keep) -> ck_avoided_copy_t {
    ck_avoided_copy_t {
        node_id: keep.text(&avoided.node),
        until_ms: avoided.until.as_millis(),
        partition: avoided.number,
        times: avoided.times,
    }
}

fn status_of(status: &RebalanceStatus, keep: &mut Keep) -> ck_rebalance_status_t {
    let migrations = with_pointers(
        status
            .migrations
            .iter()
            .map(|step| migration_of(step, keep))
            .collect(),
    );
    let away = with_pointers(status.away.iter().map(|away| away_of(away, keep)).collect());
    let avoided = with_pointers(status.avoided.iter().map(|copy| avoided_of(copy, keep)).collect());
    let of_c = ck_rebalance_status_t {
        answered_by: keep.text(&status.answered_by),
        trigger_node_id: keep.text(&status.trigger_node_id),
        revision: status.revision,
        started_at_ms: moment(status.started_at),
        partitions_to_move: status.partitions_to_move,
        moved: status.moved,
        migrations: list(&migrations.1).0,
        migration_count: migrations.1.len(),
        migrations_total: status.migrations_total,
        away: list(&away.1).0,
        away_count: away.1.len(),
        avoided: list(&avoided.1).0,
        avoided_count: avoided.1.len(),
        maintenance: match &status.maintenance {
            Some(maintenance) => keep.text(&maintenance.reason),
            None => std::ptr::null(),
        },
        trigger: status.trigger.map_or(CK_TRIGGER_UNKNOWN, trigger_number),
        from_leader: status.from_leader,
        running: status.running,
    };
    keep.lists(StatusLists {
        _migrations: migrations,
        _away: away,
        _avoided: avoided,
    });
    of_c
}

/// A status that somebody here holds and C borrows.
pub(crate) fn status_record(status: &RebalanceStatus) -> Box<Record<ck_rebalance_status_t>> {
    Record::new(|keep| status_of(status, keep))
}

/// How partitions move: as the leader knows it, or, when it does not answer in time, as this node does. The answer says which.
///
/// cluster: borrowed for the call. out: set on success, to be freed with ck_rebalance_status_free; NULL on failure. Blocks: for
/// at most timeout_ms milliseconds. A hook may call it.
/// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_rebalance_status(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    out: *mut *mut ck_rebalance_status_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let cluster = borrow(cluster, "cluster")?;
            cluster.refuse_before_start()?;
            let status = cluster.node().rebalance_status(millis(timeout_ms))?;
            slot.put_pointer(Record::give(|keep| status_of(&status, keep)));
            Ok(())
        })
    }
}

/// ck_rebalance_status without waiting for it: the result has the status.
///
/// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_rebalance_status_async(
    cluster: *const ck_cluster_t,
    timeout_ms: u32,
    done: ck_done_fn,
    user_data: *mut c_void,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let call =
            move |node: AsyncClusterKit| async move { node.rebalance_status(millis(timeout_ms)).await };
        cluster.begin(done, user_data, call, |status| Outcome {
            revision: status.revision,
            rebalance_status: Some(status),
            ..Outcome::default()
        })
    })
}

/// Frees a status. NULL is allowed.
///
/// status: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_rebalance_status_free(status: *mut ck_rebalance_status_t) {
    // SAFETY: a record that this library gave and nobody has freed, or NULL, says the header.
    unsafe { Record::take_back(status) };
}
