//! What the unit tests share: they do with the functions what a C program does, and Miri watches (`make miri`). Whole
//! nodes, which need threads and sockets, are tried by the C programs in tests/abi.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clusterkit::model::{
    ClusterConfig, CopyState, Event, EventKind, Node, NodeHealthState, NodeJoinEvent, NodeStatus, Partition,
    PartitionCopy, Timestamp, Topology,
};
use clusterkit::routing::ClusterView;

use crate::view::ck_view_t;

/// The text that C reads at a pointer, up to its NUL.
///
/// # Safety
/// A NUL-terminated text is there, for as long as the answer is used.
pub(crate) unsafe fn text_at<'a>(pointer: *const c_char) -> &'a str {
    assert!(!pointer.is_null());
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
}

/// User data for a callback: counts the calls of [`count_end`].
pub(crate) fn user_data(ends: &Arc<AtomicUsize>) -> *mut c_void {
    Arc::into_raw(Arc::clone(ends)).cast_mut().cast()
}

/// A destroy function for [`user_data`]. A second call for the same data is a use after it was freed.
pub(crate) unsafe extern "C-unwind" fn count_end(user_data: *mut c_void) {
    // SAFETY: made by `user_data`, and ended once.
    let ends = unsafe { Arc::from_raw(user_data.cast_const().cast::<AtomicUsize>()) };
    ends.fetch_add(1, Ordering::Relaxed);
}

/// A member with every field set that C can see.
pub(crate) fn node(id: &str) -> Node {
    Node {
        id: id.into(),
        ip: "10.0.0.1:8080".into(),
        port: 8080,
        name: format!("name of {id}"),
        status: NodeStatus::Active,
        services: BTreeMap::from([
            ("grpc".to_owned(), ":9000".to_owned()),
            ("http".to_owned(), ":9001".to_owned()),
        ]),
        zone: Some("eu-1".into()),
        weight: 100,
        labels: BTreeMap::new(),
        incarnation: 3,
        voter: true,
        health: NodeHealthState::Degraded,
        health_reason: String::new(),
        last_seen: Timestamp::default(),
        joined_at: Timestamp::default(),
        raft_id: 1,
        peer_addr: "10.0.0.1:8080".into(),
    }
}

/// An event of a node that joins.
pub(crate) fn join_event(id: &str) -> Event {
    Event {
        revision: 1,
        timestamp: Timestamp::default(),
        kind: EventKind::NodeJoin(NodeJoinEvent {
            node: Arc::new(node(id)),
            cluster_size: 1,
            is_bootstrap: false,
        }),
    }
}

/// A view of two nodes and two partitions: `a`, which asks, is primary of the first, and `b` of the second.
pub(crate) fn view() -> *mut ck_view_t {
    let copy = |id: &str| PartitionCopy::new(id.into(), CopyState::Synced, 1);
    let partition = |number, primary: &str| {
        Arc::new(Partition {
            number,
            epoch: 5 + u64::from(number),
            primary: Some(primary.into()),
            copies: vec![copy("a"), copy("b")],
            target: None,
            released: None,
            granted: 0,
            idle_since: 0,
        })
    };
    let topology = Topology {
        config: ClusterConfig {
            partition_count: 2,
            replication_factor: 2,
            ..ClusterConfig::default()
        },
        nodes: ["a", "b"].map(|id| (id.into(), Arc::new(node(id)))).into(),
        partitions: [partition(0, "a"), partition(1, "b")].into_iter().collect(),
        leader: Some("b".into()),
        leader_epoch: 3,
        leader_term: 2,
        ..Topology::default()
    };
    crate::view::give(Arc::new(ClusterView::new(Arc::new(topology), 7, "a")))
}
