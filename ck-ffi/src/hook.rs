//! Hooks: one registration for any events.

use std::ffi::c_void;

use clusterkit::hooks::{EventFilter, EventType, Hook, HookId};
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode, Result};

use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::event::{CEvent, CK_EVENT_ALL, ck_event_t, kind_number};
use crate::foreign::Foreign;
use crate::guard::fallible;
use crate::handle::{borrow, null, store};

/// Called for an event. Returns 0 for success; anything else is a failure: it is logged, and where this node gains
/// a copy of a partition the call is made again later. event: valid until the callback returns.
///
/// Called on threads of the library, for partition changes on several at once. It may block, and may call every
/// function whose comment says so. It must return: no exception, no longjmp.
pub type ck_hook_fn =
    Option<unsafe extern "C-unwind" fn(event: *const ck_event_t, user_data: *mut c_void) -> i32>;

/// Ends user data that was given with a callback. Called exactly once, on any thread, when no call of the callback
/// runs or will. It must return: no exception, no longjmp.
pub type ck_destroy_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Event types in the order of their bits.
const TYPES: [EventType; 10] = [
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

fn filter(events: u32) -> Result<EventFilter> {
    if events == CK_EVENT_ALL {
        return Ok(EventFilter::ALL);
    }
    let known = TYPES
        .iter()
        .fold(0, |known, event_type| known | kind_number(*event_type));
    let mut chosen = TYPES
        .into_iter()
        .filter(|event_type| events & kind_number(*event_type) != 0);
    match chosen.next() {
        Some(first) if events & !known == 0 => Ok(chosen.fold(EventFilter::only(first), EventFilter::and)),
        _ => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("events {events:#x} is neither CK_EVENT_ALL nor a sum of CK_EVENT_* of this library"),
        )),
    }
}

/// Calls a hook of C's with an event, which lives until it returns.
fn call(
    callback: unsafe extern "C-unwind" fn(*const ck_event_t, *mut c_void) -> i32,
    event: &Event,
    user_data: &Foreign,
) -> std::result::Result<(), String> {
    let event = CEvent::new(event)?;
    // SAFETY: C gave the function for such a call, with this data, which is borrowed and so has not ended. An exception that
    // gets out of it ends the process: Rust catches none of another language.
    match unsafe { callback(event.as_ptr(), user_data.data()) } {
        0 => Ok(()),
        code => Err(format!("the callback returned {code}")),
    }
}

/// Adds a hook: callback is called for every event of the kinds in events, a sum of CK_EVENT_* or CK_EVENT_ALL, in
/// the order in which they happened. docs/hooks.md tells of order and concurrency. Any number of hooks may be added.
///
/// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
/// is not NULL, is called with it exactly once, when the hook has been removed, the node has stopped or was freed,
/// and no call of the hook runs or will. When ck_cluster_stop has returned success it has been, also where the two were
/// called at the same time. On failure destroy is not called and user_data is still the caller's.
/// out_id: set on success, names the hook to ck_hook_remove; may be NULL. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_add(
    cluster: *mut ck_cluster_t,
    events: u32,
    callback: ck_hook_fn,
    user_data: *mut c_void,
    destroy: ck_destroy_fn,
    out_id: *mut u64,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        let callback = callback.ok_or_else(|| null("callback"))?;
        let filter = filter(events)?;
        let foreign = Foreign::new(user_data, destroy);
        let claim = foreign.claim();
        let hook = Hook::blocking(move |event| call(callback, event, &foreign));
        let id = cluster.0.try_register_hook(filter, hook).map_err(|rejected| {
            claim.give_back();
            rejected.into_error()
        })?;
        // SAFETY: out_id may be written or is NULL, says the header.
        unsafe { store(out_id, id.0) };
        Ok(())
    })
}

/// Removes a hook. When it returns, no call of the hook runs or will, and its destroy function has run, unless it
/// was called inside a hook of this node: then both are true when the call under way returns.
///
/// cluster: borrowed for the call. Blocks: until a call of the hook that is under way returns. A hook may call it,
/// for itself too, and is not waited for.
/// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such hook (any more).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_hook_remove(cluster: *mut ck_cluster_t, id: u64) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        if cluster.0.remove_hook(HookId(id)) {
            Ok(())
        } else {
            Err(Error::new(ErrorCode::NotFound, format!("there is no hook {id}")))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clusterkit::model::{EventKind, NodeJoinEvent, Timestamp};

    use super::*;
    use crate::event::*;
    use crate::testing::{count_end, node, text_at, user_data};

    /// A hook as C has one: it reads the event and its data, and answers with how often it was called.
    unsafe extern "C-unwind" fn counts(event: *const ck_event_t, user_data: *mut c_void) -> i32 {
        // SAFETY: both are there until this returns.
        unsafe {
            assert_eq!(text_at((*(*event).node).id), "joined");
            let calls = &*user_data.cast_const().cast::<AtomicUsize>();
            i32::try_from(calls.fetch_add(1, Ordering::Relaxed)).unwrap()
        }
    }

    #[test]
    fn a_hook_of_c_reads_the_event_and_says_how_it_went() {
        let calls = Arc::new(AtomicUsize::new(0));
        let foreign = Foreign::new(user_data(&calls), Some(count_end));
        let event = Event {
            revision: 1,
            timestamp: Timestamp::default(),
            kind: EventKind::NodeJoin(NodeJoinEvent {
                node: Arc::new(node("joined")),
                cluster_size: 1,
                is_bootstrap: false,
            }),
        };
        assert_eq!(call(counts, &event, &foreign), Ok(()));
        let failed = call(counts, &event, &foreign).unwrap_err();
        assert_eq!(failed, "the callback returned 1");
        drop(foreign);
        // Two calls, and one end.
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        assert_eq!(Arc::strong_count(&calls), 1);
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
        assert_eq!(TYPES.map(kind_number), constants);
    }

    #[test]
    fn a_mask_becomes_a_filter_or_an_error() {
        let one = filter(CK_EVENT_NODE_LEAVE).unwrap();
        assert_eq!(one, EventFilter::only(EventType::NodeLeave));
        let two = filter(CK_EVENT_NODE_LEAVE | CK_EVENT_NODE_JOIN).unwrap();
        assert_eq!(
            two,
            EventFilter::only(EventType::NodeLeave).and(EventType::NodeJoin)
        );
        assert_eq!(filter(CK_EVENT_ALL).unwrap(), EventFilter::ALL);
        for bad in [0, 1 << 10, CK_EVENT_NODE_JOIN | 1 << 31] {
            assert_eq!(
                filter(bad).unwrap_err().code(),
                ErrorCode::InvalidArgument,
                "{bad:#x}"
            );
        }
    }
}
