//! Events: a plain struct, and what each kind tells, which is made when it is asked for.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::{Arc, OnceLock};

use clusterkit::hooks::{EventFilter, EventType, HookCompletion};
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode};
use parking_lot::Mutex;

use crate::border::guard::{fallible, fallible_out, plain};
use crate::border::handle::{borrow, store};
use crate::border::record::Record;
use crate::border::text::{CText, text};
use crate::error::ck_error_t;
use crate::hook::ck_completion_t;
use crate::payload::{
    Payload, ck_cluster_health_t, ck_leadership_t, ck_node_join_t, ck_node_leave_t, ck_node_rejoin_t,
    ck_partition_change_t, ck_rebalance_t,
};

/// A node gained or lost a partition, or a role in it: ck_event_partition_change. Where this node gains a copy: copy the data
/// from one of copy_from, and return success when it is there; only then does the cluster count on it.
pub const CK_EVENT_PARTITION_CHANGE: u32 = 1 << 0;
/// A node that was never a member has joined: ck_event_node_join.
pub const CK_EVENT_NODE_JOIN: u32 = 1 << 1;
/// A member is back, or has restarted: ck_event_node_rejoin.
pub const CK_EVENT_NODE_REJOIN: u32 = 1 << 2;
/// A member stopped, failed, or was removed: ck_event_node_leave.
pub const CK_EVENT_NODE_LEAVE: u32 = 1 << 3;
/// Partitions begin to move: ck_event_rebalance.
pub const CK_EVENT_REBALANCE_START: u32 = 1 << 4;
/// Every partition is where it should be: ck_event_rebalance.
pub const CK_EVENT_REBALANCE_COMPLETE: u32 = 1 << 5;
/// The cluster's health changed: ck_event_cluster_health.
pub const CK_EVENT_CLUSTER_HEALTH_CHANGE: u32 = 1 << 6;
/// This node leads now: ck_event_leadership. Told on this node only.
pub const CK_EVENT_BECOME_LEADER: u32 = 1 << 7;
/// This node leads no longer: ck_event_leadership. Told on this node only.
pub const CK_EVENT_LOSE_LEADERSHIP: u32 = 1 << 8;
/// Another node leads now: ck_event_leadership.
pub const CK_EVENT_LEADER_CHANGE: u32 = 1 << 9;
/// Every event, kinds that later libraries add included.
pub const CK_EVENT_ALL: u32 = u32::MAX;

/// One event. The library owns it and all that it points at, which is valid until the callback returns, or, of an event from a
/// queue, until it is acknowledged. New fields go to the end.
#[repr(C)]
pub struct ck_event_t {
    /// The revision that brought it about.
    pub revision: u64,
    /// When, in milliseconds since 1970, by the wall clock of the node that proposed it.
    pub timestamp_ms: u64,
    /// What happened: one of CK_EVENT_*, or one that this header does not know.
    pub kind: u32,
    /// Number of the call for this event, from 1: a failed copy is tried again.
    pub attempt: u32,
}

/// An event in C's form, and everything that it points at. C's struct is the first field, so both have the same address.
#[repr(C)]
pub(crate) struct CEvent {
    public: ck_event_t,
    event: Arc<Event>,
    payload: OnceLock<Payload>,
    json: OnceLock<CText>,
    /// Ends the call that this event is told with; taken by whoever ends it.
    completion: Mutex<Option<HookCompletion>>,
    /// Why the call fails, in the callback's words.
    failure: Mutex<Option<String>>,
}

// SAFETY: what the pointers lead to belongs to the value itself, and is written under its locks only.
unsafe impl Send for CEvent {}
// SAFETY: as above.
unsafe impl Sync for CEvent {}

impl CEvent {
    /// An event, and what ends its call; a call that nothing waits for has no completion.
    pub(crate) fn new(event: Arc<Event>, completion: Option<HookCompletion>) -> Arc<Self> {
        // A box that moves takes what leads to it along: C keeps its pointer wherever the owner goes.
        Arc::new(CEvent {
            public: ck_event_t {
                revision: event.revision,
                timestamp_ms: event.timestamp.as_millis(),
                kind: kind_number(EventType::of(&event.kind)),
                attempt: completion.as_ref().map_or(1, HookCompletion::attempt),
            },
            event,
            payload: OnceLock::new(),
            json: OnceLock::new(),
            completion: Mutex::new(completion),
            failure: Mutex::new(None),
        })
    }

    /// Valid for as long as the event is held.
    pub(crate) fn as_ptr(self: &Arc<Self>) -> *const ck_event_t {
        // Of the whole, not of the field.
        Arc::as_ptr(self).cast()
    }

    /// What ends the call, where nothing has taken it yet.
    pub(crate) fn take_completion(&self) -> Option<HookCompletion> {
        self.completion.lock().take()
    }

    /// The result of a call that returned this number.
    pub(crate) fn result(&self, returned: i32) -> Result<(), String> {
        let failure = self.failure.lock().take();
        match returned {
            0 => Ok(()),
            code => Err(failure.unwrap_or_else(|| format!("the callback returned {code}"))),
        }
    }
}

/// The event that C's pointer leads to.
///
/// # Safety
/// A pointer that is not NULL is that of a [`CEvent`], which lives while the borrow lasts.
pub(crate) unsafe fn event_of<'a>(event: *const ck_event_t) -> clusterkit::Result<&'a CEvent> {
    // SAFETY: the caller's promise: every event of C's is one, for the library makes them all.
    unsafe { borrow(event.cast::<CEvent>(), "event") }
}

/// Event types in the order of their bits.
pub(crate) const EVENT_TYPES: [EventType; 10] = [
    EventType::PartitionChange,
    EventType::NodeJoin,
    EventType::NodeRejoin,
    EventType::NodeLeave,
    EventType::RebalanceStart,
    EventType::RebalanceComplete,
    EventType::ClusterHealthChange,
    EventType::BecomeLeader,
    EventType::LoseLeadership,
    EventType::LeaderChange,
];

/// The event type's bit.
pub(crate) const fn kind_number(event_type: EventType) -> u32 {
    1 << event_type as u32
}

/// The bits of the known types that a filter accepts.
pub(crate) fn mask_of(filter: EventFilter) -> u32 {
    let accepted = EVENT_TYPES.into_iter().filter(|known| filter.accepts(*known));
    accepted.fold(0, |mask, accepted| mask | kind_number(accepted))
}

/// The filter of a mask of C's.
pub(crate) fn filter_of(events: u32) -> clusterkit::Result<EventFilter> {
    if events == CK_EVENT_ALL {
        return Ok(EventFilter::ALL);
    }
    let mut chosen = EVENT_TYPES
        .into_iter()
        .filter(|event_type| events & kind_number(*event_type) != 0);
    match chosen.next() {
        Some(first) if events & !mask_of(EventFilter::ALL) == 0 => {
            Ok(chosen.fold(EventFilter::only(first), EventFilter::and))
        }
        _ => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("events {events:#x} is neither CK_EVENT_ALL nor a sum of CK_EVENT_* of this library"),
        )),
    }
}

/// Answers with a part of what an event tells; NULL where it is of another kind.
///
/// # Safety
/// A live event or NULL.
unsafe fn part<T: 'static>(
    event: *const ck_event_t,
    choose: impl FnOnce(&'static Payload) -> Option<&'static Box<Record<T>>>,
) -> *const T {
    plain(null(), || {
        // SAFETY: the caller's promise. The pointer lives as long as C lets the event live.
        let event: &'static CEvent = unsafe { event_of(event) }?;
        let payload = event.payload.get_or_init(|| Payload::new(&event.event.kind));
        Ok(choose(payload).map_or(null(), |record| record.as_ptr()))
    })
}

/// What a CK_EVENT_PARTITION_CHANGE tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_partition_change(event: *const ck_event_t) -> *const ck_partition_change_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::PartitionChange(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_NODE_JOIN tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_node_join(event: *const ck_event_t) -> *const ck_node_join_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::NodeJoin(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_NODE_REJOIN tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_node_rejoin(event: *const ck_event_t) -> *const ck_node_rejoin_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::NodeRejoin(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_NODE_LEAVE tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_node_leave(event: *const ck_event_t) -> *const ck_node_leave_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::NodeLeave(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_REBALANCE_START or CK_EVENT_REBALANCE_COMPLETE tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_rebalance(event: *const ck_event_t) -> *const ck_rebalance_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::Rebalance(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_CLUSTER_HEALTH_CHANGE tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_cluster_health(event: *const ck_event_t) -> *const ck_cluster_health_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::ClusterHealth(told) => Some(told),
            _ => None,
        })
    }
}

/// What a CK_EVENT_BECOME_LEADER, CK_EVENT_LOSE_LEADERSHIP or CK_EVENT_LEADER_CHANGE tells. NULL for other events.
///
/// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_leadership(event: *const ck_event_t) -> *const ck_leadership_t {
    // SAFETY: a live event or NULL, says the header.
    unsafe {
        part(event, |payload| match payload {
            Payload::Leadership(told) => Some(told),
            _ => None,
        })
    }
}

/// The whole event as a JSON object, the same as over HTTP. NULL for NULL.
///
/// event: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid for as long as the
/// event. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_json(event: *const ck_event_t, out_len: *mut usize) -> *const c_char {
    plain(null(), || {
        // SAFETY: out_len may be written or is NULL, and a live event or NULL, says the header.
        unsafe {
            store(out_len, 0);
            let event = event_of(event)?;
            // Events are plain data: their JSON form cannot fail.
            let json = event
                .json
                .get_or_init(|| CText::new(&serde_json::to_string(&*event.event).unwrap_or_default()));
            store(out_len, json.len());
            Ok(json.as_ptr())
        }
    })
}

/// Says in words why a callback is about to return failure: for the log, and for whoever asks why a partition does not move.
///
/// event: the one that the callback was called with, borrowed for the call. reason: UTF-8, copied. Never blocks; for hooks.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_set_failure(
    event: *const ck_event_t,
    reason: *const c_char,
    reason_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live event or NULL, and a readable text of this length, says the header.
        let (event, reason) = unsafe { (event_of(event)?, text(reason, reason_len, "reason")?) };
        *event.failure.lock() = Some(reason.to_owned());
        Ok(())
    })
}

/// Lets a callback return before its work is done: the call ends when ck_completion_end is called with the completion, on any
/// thread, and what the callback returns counts no more. Until then what must wait for the call waits, but no thread of the
/// library does. When the node stops, the call ends without a result; the completion is still to be ended.
///
/// event: the one that the callback was called with, borrowed for the call; it is not valid after the callback has returned. out:
/// set on success, to be ended once with ck_completion_end; NULL on failure. Never blocks; for hooks.
/// Errors: INVALID_ARGUMENT, also the second time, and for an event of a queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_event_defer(
    event: *const ck_event_t,
    out: *mut *mut ck_completion_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live event or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let completion = event_of(event)?.take_completion().ok_or_else(|| {
                Error::new(
                    ErrorCode::InvalidArgument,
                    "the call of this event was deferred before, or it is from a queue, where ck_events_ack ends it",
                )
            })?;
            slot.put(ck_completion_t::new(completion));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use clusterkit::model::{
        ChangeReason, EventKind, LeadershipEvent, PartitionChangeEvent, RoleChange, Timestamp,
    };

    use super::*;
    use crate::payload::{CK_CHANGE_GAINED_REPLICA, CK_REASON_NODE_JOIN};
    use crate::testing::{node, text_at};

    fn partition_change() -> Event {
        Event {
            revision: 9,
            timestamp: Timestamp::default(),
            kind: EventKind::PartitionChange(PartitionChangeEvent {
                partition_id: "partition-5".into(),
                number: 5,
                node_id: "a".into(),
                change: RoleChange::GainedReplica,
                copy_from_nodes: vec![Arc::new(node("b")), Arc::new(node("c"))],
                copy_to_node: Some(Arc::new(node("a"))),
                change_reason: ChangeReason::NodeJoin,
                old_primary: "b".into(),
                new_primary: "b".into(),
                epoch: 4,
            }),
        }
    }

    #[test]
    fn what_an_event_points_at_stays_where_it_is() {
        let event = CEvent::new(Arc::new(partition_change()), None);
        let pointer = event.as_ptr();
        let kept = [event];
        // SAFETY: `kept` owns all of it and lives.
        unsafe {
            assert_eq!(
                ((*pointer).kind, (*pointer).revision),
                (CK_EVENT_PARTITION_CHANGE, 9)
            );
            let told = ck_event_partition_change(pointer);
            assert_eq!(ck_event_partition_change(pointer), told);
            let told = &*told;
            assert_eq!(
                (told.change, told.reason),
                (CK_CHANGE_GAINED_REPLICA, CK_REASON_NODE_JOIN)
            );
            assert_eq!((told.epoch, told.partition), (4, 5));
            assert_eq!((text_at(told.node_id), text_at((*told.node).id)), ("a", "a"));
            let from = std::slice::from_raw_parts(told.copy_from, told.copy_from_count);
            let from: Vec<_> = from.iter().map(|node| text_at((**node).id)).collect();
            assert_eq!(from, ["b", "c"]);
            let mut len = 0;
            let json = text_at(ck_event_json(pointer, &raw mut len));
            assert_eq!(json.len(), len);
            assert_eq!(serde_json::from_str::<Event>(json).unwrap(), partition_change());
        }
        drop(kept);
    }

    #[test]
    fn an_event_tells_nothing_of_other_kinds() {
        let event = CEvent::new(
            Arc::new(Event {
                revision: 1,
                timestamp: Timestamp::default(),
                kind: EventKind::BecomeLeader(LeadershipEvent { epoch: 3 }),
            }),
            None,
        );
        // SAFETY: `event` lives; NULL is allowed.
        unsafe {
            let pointer = event.as_ptr();
            assert_eq!((*ck_event_leadership(pointer)).epoch, 3);
            assert!((*ck_event_leadership(pointer)).node_id.is_null());
            assert!(ck_event_partition_change(pointer).is_null() && ck_event_node_join(pointer).is_null());
            assert!(ck_event_node_rejoin(pointer).is_null() && ck_event_node_leave(pointer).is_null());
            assert!(ck_event_rebalance(pointer).is_null() && ck_event_cluster_health(pointer).is_null());
            assert!(ck_event_leadership(null()).is_null() && ck_event_json(null(), null_mut()).is_null());
            let mut completion = null_mut();
            let error = ck_event_defer(pointer, &raw mut completion);
            assert!(completion.is_null());
            crate::error::ck_error_free(error);
        }
    }

    #[test]
    fn every_constant_is_the_bit_of_its_type() {
        let constants = [
            CK_EVENT_PARTITION_CHANGE,
            CK_EVENT_NODE_JOIN,
            CK_EVENT_NODE_REJOIN,
            CK_EVENT_NODE_LEAVE,
            CK_EVENT_REBALANCE_START,
            CK_EVENT_REBALANCE_COMPLETE,
            CK_EVENT_CLUSTER_HEALTH_CHANGE,
            CK_EVENT_BECOME_LEADER,
            CK_EVENT_LOSE_LEADERSHIP,
            CK_EVENT_LEADER_CHANGE,
        ];
        assert_eq!(EVENT_TYPES.map(kind_number), constants);
        assert_eq!(mask_of(EventFilter::ALL), constants.iter().sum::<u32>());
    }

    #[test]
    fn a_mask_becomes_a_filter_or_an_error() {
        let one = filter_of(CK_EVENT_NODE_LEAVE).unwrap();
        assert_eq!(one, EventFilter::only(EventType::NodeLeave));
        let two = filter_of(CK_EVENT_NODE_LEAVE | CK_EVENT_NODE_JOIN).unwrap();
        assert_eq!(
            two,
            EventFilter::only(EventType::NodeLeave).and(EventType::NodeJoin)
        );
        assert_eq!(mask_of(two), CK_EVENT_NODE_LEAVE | CK_EVENT_NODE_JOIN);
        assert_eq!(filter_of(CK_EVENT_ALL).unwrap(), EventFilter::ALL);
        for bad in [0, 1 << 10, CK_EVENT_NODE_JOIN | 1 << 31] {
            assert_eq!(
                filter_of(bad).unwrap_err().code(),
                ErrorCode::InvalidArgument,
                "{bad:#x}"
            );
        }
    }
}
