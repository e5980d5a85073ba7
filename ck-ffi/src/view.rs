//! Views: one revision of the cluster, from which strings and nodes are borrowed.

use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::sync::{Arc, OnceLock};

use clusterkit::model::Node;
use clusterkit::routing::{ClusterView, PartitionRef};

use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::guard::{fallible, plain};
use crate::handle::{self, Handle, borrow};
use crate::lookup::{CK_NO_PARTITION, CK_ROLE_NONE, role_number};
use crate::node::{Nodes, ck_node_t};
use crate::text::{bytes, text};

/// The cluster at one revision. It never changes: all answers taken from one view agree with each other. It may be
/// used by any number of threads at once, and outlives the cluster that it came from.
pub struct ck_view_t {
    view: Arc<ClusterView>,
    /// The nodes in C's form, in the view's order, from the first time that somebody asks for one.
    nodes: OnceLock<Nodes>,
}

impl Handle for ck_view_t {}

impl ck_view_t {
    fn nodes(&self) -> &Nodes {
        self.nodes.get_or_init(|| Nodes::new(self.view.nodes()))
    }

    /// The C form of a node of this view.
    fn node(&self, node: Option<&Arc<Node>>) -> *const ck_node_t {
        let index = node.and_then(|node| {
            self.view
                .nodes()
                .binary_search_by(|other| other.id.cmp(&node.id))
                .ok()
        });
        index.map_or(null(), |index| self.nodes().get(index))
    }

    fn partition(&self, number: u32) -> Option<PartitionRef<'_>> {
        self.view.partition_by_number(number)
    }
}

/// Acquires the present view of the cluster.
///
/// cluster: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure.
/// Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_acquire(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_view_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
        let (slot, cluster) = unsafe { (handle::out(out, "out")?, borrow(cluster, "cluster")?) };
        slot.put(ck_view_t {
            view: cluster.0.view().into_owned(),
            nodes: OnceLock::new(),
        });
        Ok(())
    })
}

/// Releases a view: what was borrowed from it ends. NULL is allowed.
///
/// view: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_release(view: *mut ck_view_t) {
    // SAFETY: a view that this library gave and nobody has released, or NULL, says the header.
    unsafe { handle::take_back(view, drop) };
}

/// The revision that the view shows. 0 for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_revision(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(view, "view") }?.view.revision()))
}

/// How many members there are. 0 for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_node_count(view: *const ck_view_t) -> usize {
    // SAFETY: a live view or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(view, "view") }?.view.nodes().len()))
}

/// The member at an index; members are sorted by id. NULL where there is none.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_node(view: *const ck_view_t, index: usize) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    plain(null(), || Ok(unsafe { borrow(view, "view") }?.nodes().get(index)))
}

/// The member with an id. NULL where there is none.
///
/// view: borrowed for the call. id: UTF-8, borrowed for the call. Returns: valid until the view is released. Never
/// blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_find_node(
    view: *const ck_view_t,
    id: *const c_char,
    id_len: usize,
) -> *const ck_node_t {
    plain(null(), || {
        // SAFETY: a live view or NULL, and a readable text of this length, says the header.
        let (view, id) = unsafe { (borrow(view, "view")?, text(id, id_len, "id")?) };
        Ok(view.node(view.view.node(id)))
    })
}

/// This node, when it is a member; else NULL.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_my_node(view: *const ck_view_t) -> *const ck_node_t {
    plain(null(), || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view.node(view.view.my_node()))
    })
}

/// The member whose leadership was recorded last; NULL where there is none. Whether it leads at this moment is a
/// matter of leases, which a view does not know.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_leader(view: *const ck_view_t) -> *const ck_node_t {
    plain(null(), || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view.node(view.view.leader()))
    })
}

/// How many partitions there are; 0 before they exist, and for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partition_count(view: *const ck_view_t) -> u32 {
    // SAFETY: a live view or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(view, "view") }?.view.partition_count()))
}

/// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, and for NULL.
///
/// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_partition_for_key(
    view: *const ck_view_t,
    key: *const c_void,
    key_len: usize,
) -> u32 {
    plain(CK_NO_PARTITION, || {
        // SAFETY: a live view or NULL, and readable bytes of this length, says the header.
        let (view, key) = unsafe { (borrow(view, "view")?, bytes(key, key_len, "key")?) };
        Ok(view
            .view
            .partition(key)
            .map_or(CK_NO_PARTITION, |partition| partition.number()))
    })
}

/// The epoch of a partition, which grows whenever its primary changes: the fencing token for the application's
/// storage. 0 where there is no such partition.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_epoch(view: *const ck_view_t, partition: u32) -> u64 {
    plain(0, || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view.partition(partition).map_or(0, |partition| partition.epoch()))
    })
}

/// What this node is to a partition by this view: CK_ROLE_*. Whether its lease lets it act on that is not known
/// here: ask ck_is_primary.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_role(view: *const ck_view_t, partition: u32) -> i32 {
    plain(CK_ROLE_NONE, || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(role_number(
            view.partition(partition).and_then(|partition| partition.role()),
        ))
    })
}

/// The node that takes the writes of a partition. NULL while there is none, and where there is no such partition.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_primary(view: *const ck_view_t, partition: u32) -> *const ck_node_t {
    plain(null(), || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view.node(
            view.partition(partition)
                .and_then(|partition| partition.primary()),
        ))
    })
}

/// How many nodes besides the primary hold the data of a partition. 0 where there is no such partition.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_replica_count(view: *const ck_view_t, partition: u32) -> usize {
    plain(0, || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view
            .partition(partition)
            .map_or(0, |partition| partition.replicas().len()))
    })
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
    plain(null(), || {
        // SAFETY: a live view or NULL, says the header.
        let view = unsafe { borrow(view, "view") }?;
        Ok(view.node(
            view.partition(partition)
                .and_then(|partition| partition.replicas().nth(index)),
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;
    use std::thread;

    use clusterkit::model::{ClusterConfig, CopyState, Partition, PartitionCopy, Topology};

    use super::*;
    use crate::lookup::{CK_ROLE_PRIMARY, CK_ROLE_REPLICA};
    use crate::testing::{node, text_at};

    /// A view of two nodes and two partitions: `a`, which asks, is primary of the first, and `b` of the second.
    fn acquired() -> *mut ck_view_t {
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
            ..Topology::default()
        };
        Box::new(ck_view_t {
            view: Arc::new(ClusterView::new(Arc::new(topology), 7, "a")),
            nodes: OnceLock::new(),
        })
        .give()
    }

    /// C shares a pointer between threads without being asked.
    #[derive(Clone, Copy)]
    struct Shared(*mut ck_view_t);

    // SAFETY: the header says that views may be used by any number of threads.
    unsafe impl Send for Shared {}
    // SAFETY: as above.
    unsafe impl Sync for Shared {}

    impl Shared {
        fn get(self) -> *mut ck_view_t {
            self.0
        }
    }

    #[test]
    fn what_is_borrowed_from_a_view_lives_until_it_is_released() {
        let view = acquired();
        // SAFETY: a live view, released at the end; nothing that was borrowed from it is used afterwards.
        unsafe {
            let primary = ck_view_primary(view, 0);
            let name = (*primary).name;
            // The same node, however it is found, and whatever else was asked in between.
            assert_eq!(ck_view_my_node(view), primary);
            assert_eq!(ck_view_node(view, 0), primary);
            assert_eq!(ck_view_find_node(view, c"a".as_ptr(), 1), primary);
            assert_eq!(ck_view_leader(view), ck_view_replica(view, 0, 0));
            assert_eq!(text_at((*ck_view_leader(view)).id), "b");
            assert_eq!(text_at(name), "name of a");
            assert_eq!((ck_view_revision(view), ck_view_node_count(view)), (7, 2));
            assert_eq!((ck_view_epoch(view, 0), ck_view_epoch(view, 1)), (5, 6));
            assert_eq!(
                (ck_view_role(view, 0), ck_view_role(view, 1)),
                (CK_ROLE_PRIMARY, CK_ROLE_REPLICA)
            );
            let key = "user:123";
            let partition = ck_view_partition_for_key(view, key.as_ptr().cast(), key.len());
            assert!(partition < ck_view_partition_count(view));
            ck_view_release(view);
        }
    }

    #[test]
    fn threads_ask_one_view_at_once_and_another_releases_it() {
        let view = Shared(acquired());
        // The first of them makes the nodes that all borrow.
        thread::scope(|scope| {
            for partition in [0, 1, 0] {
                // SAFETY: a live view: it is released when these have returned.
                scope.spawn(move || unsafe {
                    let view = view.get();
                    let primary = text_at((*ck_view_primary(view, partition)).id);
                    assert_eq!(primary, ["a", "b"][partition as usize]);
                });
            }
        });
        thread::scope(|scope| {
            // SAFETY: nobody else uses it any more.
            scope.spawn(move || unsafe { ck_view_release(view.get()) });
        });
    }

    #[test]
    fn what_a_view_has_not_is_null() {
        let view = acquired();
        // SAFETY: a live view, released at the end, or NULL.
        unsafe {
            assert!(ck_view_node(view, 2).is_null());
            assert!(ck_view_primary(view, 2).is_null());
            assert!(ck_view_replica(view, 0, 1).is_null());
            assert!(ck_view_find_node(view, c"c".as_ptr(), 1).is_null());
            assert!(ck_view_find_node(view, null(), 0).is_null());
            assert_eq!((ck_view_epoch(view, 2), ck_view_replica_count(view, 2)), (0, 0));
            ck_view_release(view);
            assert!(ck_view_node(null(), 0).is_null() && ck_view_my_node(null()).is_null());
            assert_eq!(ck_view_partition_for_key(null(), null(), 0), CK_NO_PARTITION);
            ck_view_release(null_mut());
        }
    }
}
