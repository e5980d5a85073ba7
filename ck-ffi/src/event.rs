//! Events as plain structs.

use std::ffi::c_char;
use std::ptr::null;

use clusterkit::hooks::EventType;
use clusterkit::model::{Event, EventKind, RoleChange};

use crate::lookup::CK_NO_PARTITION;
use crate::node::{Nodes, ck_node_t};
use crate::text::CText;

/// A node gained or lost a partition, or a role in it. Where this node gains a copy: copy the data from one of
/// copy_from, and return success when it is there; only then does the cluster count on it.
pub const CK_EVENT_PARTITION_CHANGE: u32 = 1 << 0;
/// A node that was never a member has joined.
pub const CK_EVENT_NODE_JOIN: u32 = 1 << 1;
/// A member is back, or has restarted.
pub const CK_EVENT_NODE_REJOIN: u32 = 1 << 2;
/// A member stopped, failed, or was removed.
pub const CK_EVENT_NODE_LEAVE: u32 = 1 << 3;
/// Partitions begin to move.
pub const CK_EVENT_REBALANCE_START: u32 = 1 << 4;
/// Every partition is where it should be.
pub const CK_EVENT_REBALANCE_COMPLETE: u32 = 1 << 5;
/// The cluster's health changed.
pub const CK_EVENT_CLUSTER_HEALTH_CHANGE: u32 = 1 << 6;
/// This node leads now. Told on this node only.
pub const CK_EVENT_BECOME_LEADER: u32 = 1 << 7;
/// This node leads no longer. Told on this node only.
pub const CK_EVENT_LOSE_LEADERSHIP: u32 = 1 << 8;
/// Another node leads now.
pub const CK_EVENT_LEADER_CHANGE: u32 = 1 << 9;
/// Every event, kinds that later libraries add included.
pub const CK_EVENT_ALL: u32 = u32::MAX;

/// The event is about no partition, or about a change that this header does not know.
pub const CK_CHANGE_NONE: i32 = 0;
/// The node is to hold a copy: copy the data, and return success when it is there.
pub const CK_CHANGE_GAINED_REPLICA: i32 = 1;
/// The node takes the writes from now on.
pub const CK_CHANGE_GAINED_PRIMARY: i32 = 2;
/// The node takes writes no longer; it still holds its copy.
pub const CK_CHANGE_LOST_PRIMARY: i32 = 3;
/// The node holds the partition no longer, and may delete the data.
pub const CK_CHANGE_LOST_COPY: i32 = 4;

/// One event. The library owns it and all that it points at, which is valid until the callback returns. Strings are
/// NUL-terminated UTF-8. New fields go to the end.
#[repr(C)]
pub struct ck_event_t {
    /// What happened: one of CK_EVENT_*, or one that this header does not know.
    pub kind: u32,
    /// A partition change: what the node has of the partition now, CK_CHANGE_*.
    pub change: i32,
    /// The revision that brought it about.
    pub revision: u64,
    /// When, in milliseconds since 1970, by the wall clock of the node that proposed it.
    pub timestamp_ms: u64,
    /// The node that the event is about; NULL when it is about none.
    pub node_id: *const c_char,
    /// That node as a member, whether it gains or loses; NULL when it is none.
    pub node: *const ck_node_t,
    /// A partition change: the partition's epoch after it. A leadership event: the leader epoch. Else 0.
    pub epoch: u64,
    /// A partition change: the partition. Else CK_NO_PARTITION.
    pub partition: u32,
    /// A partition change: live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    pub copy_from: *const ck_node_t,
    /// How many there are.
    pub copy_from_count: usize,
    /// The whole event as a JSON object, the same as over HTTP.
    pub json: *const c_char,
    /// The length of json, without its NUL.
    pub json_len: usize,
}

/// An event in C's form, and everything that it points at.
pub(crate) struct CEvent {
    event: ck_event_t,
    _node_id: Option<CText>,
    _node: Nodes,
    _copy_from: Nodes,
    _json: CText,
}

impl CEvent {
    pub(crate) fn new(event: &Event) -> Result<Self, String> {
        let json =
            serde_json::to_string(event).map_err(|error| format!("the event has no JSON form: {error}"))?;
        let json = CText::new(&json);
        let mut change = CK_CHANGE_NONE;
        let mut partition = CK_NO_PARTITION;
        let mut epoch = 0;
        let mut copy_from = Nodes::default();
        let (node_id, node) = match &event.kind {
            EventKind::PartitionChange(told) => {
                change = change_number(told.change);
                partition = told.number;
                epoch = told.epoch;
                copy_from = Nodes::new(&told.copy_from_nodes);
                (Some(&told.node_id), told.copy_to_node.as_ref())
            }
            EventKind::NodeJoin(told) => (Some(&told.node.id), Some(&told.node)),
            EventKind::NodeRejoin(told) => (Some(&told.node.id), Some(&told.node)),
            EventKind::NodeLeave(told) => (Some(&told.node.id), Some(&told.node)),
            EventKind::RebalanceStart(told) | EventKind::RebalanceComplete(told) => {
                (Some(&told.trigger_node_id).filter(|id| !id.is_empty()), None)
            }
            EventKind::BecomeLeader(told) | EventKind::LoseLeadership(told) => {
                epoch = told.epoch;
                (None, None)
            }
            EventKind::LeaderChange(told) => {
                epoch = told.epoch;
                (Some(&told.node_id), None)
            }
            _ => (None, None),
        };
        let node_id = node_id.map(|id| CText::new(id));
        let node = Nodes::new(node);
        Ok(CEvent {
            event: ck_event_t {
                kind: kind_number(EventType::of(&event.kind)),
                change,
                revision: event.revision,
                timestamp_ms: event.timestamp.as_millis(),
                node_id: node_id.as_ref().map_or(null(), CText::as_ptr),
                node: node.all_or_null(),
                epoch,
                partition,
                copy_from: copy_from.all_or_null(),
                copy_from_count: copy_from.len(),
                json: json.as_ptr(),
                json_len: json.len(),
            },
            _node_id: node_id,
            _node: node,
            _copy_from: copy_from,
            _json: json,
        })
    }

    /// Valid for as long as `self` lives.
    pub(crate) fn as_ptr(&self) -> *const ck_event_t {
        &self.event
    }
}

/// The event type's bit.
pub(crate) const fn kind_number(event_type: EventType) -> u32 {
    1 << event_type as u32
}

fn change_number(change: RoleChange) -> i32 {
    match change {
        RoleChange::GainedReplica => CK_CHANGE_GAINED_REPLICA,
        RoleChange::GainedPrimary => CK_CHANGE_GAINED_PRIMARY,
        RoleChange::LostPrimary => CK_CHANGE_LOST_PRIMARY,
        RoleChange::LostCopy => CK_CHANGE_LOST_COPY,
        _ => CK_CHANGE_NONE,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clusterkit::model::{ChangeReason, LeadershipEvent, PartitionChangeEvent, Timestamp};

    use super::*;
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
        let event = Box::new(CEvent::new(&partition_change()).unwrap());
        // SAFETY: `event` owns all of it and lives.
        unsafe {
            let told = &*event.as_ptr();
            assert_eq!(
                (told.kind, told.change),
                (CK_EVENT_PARTITION_CHANGE, CK_CHANGE_GAINED_REPLICA)
            );
            assert_eq!((told.revision, told.epoch, told.partition), (9, 4, 5));
            assert_eq!((text_at(told.node_id), text_at((*told.node).id)), ("a", "a"));
            let from = std::slice::from_raw_parts(told.copy_from, told.copy_from_count);
            assert_eq!(
                from.iter().map(|node| text_at(node.id)).collect::<Vec<_>>(),
                ["b", "c"]
            );
            let json = text_at(told.json);
            assert_eq!(json.len(), told.json_len);
            assert_eq!(serde_json::from_str::<Event>(json).unwrap(), partition_change());
        }
    }

    #[test]
    fn an_event_without_a_node_points_at_none() {
        let event = CEvent::new(&Event {
            revision: 1,
            timestamp: Timestamp::default(),
            kind: EventKind::BecomeLeader(LeadershipEvent { epoch: 3 }),
        })
        .unwrap();
        // SAFETY: `event` lives.
        let told = unsafe { &*event.as_ptr() };
        assert_eq!((told.kind, told.epoch), (CK_EVENT_BECOME_LEADER, 3));
        assert!(told.node_id.is_null() && told.node.is_null() && told.copy_from.is_null());
        assert_eq!((told.copy_from_count, told.partition), (0, CK_NO_PARTITION));
    }
}
