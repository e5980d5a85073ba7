//! Views: one revision of the cluster, from which strings and nodes are borrowed.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::Arc;

use clusterkit::Result;
use clusterkit::model::Node;
use clusterkit::routing::{ClusterView, ViewGuard};

use crate::border::guard::{self, fallible, fallible_out, plain};
use crate::border::handle::{borrow, clear, null as null_error, store};
use crate::border::text::text;
use crate::cluster::ck_cluster_t;
use crate::error::ck_error_t;
use crate::node::{Nodes, ck_node_t};
use crate::values::ck_text_t;

/// The cluster at one revision. It never changes: all answers taken from one view agree with each other. It may be
/// used by any number of threads at once, and outlives the cluster that it came from.
// In truth a ClusterView, of which C's pointer holds an Arc: acquiring one allocates nothing.
pub struct ck_view_t(());

/// The view that C's pointer leads to.
///
/// # Safety
/// A pointer that is not NULL came from [`give`], and is not released while the borrow lasts.
#[inline]
pub(crate) unsafe fn view_of<'a>(view: *const ck_view_t) -> Result<&'a ClusterView> {
    // SAFETY: the caller's promise.
    unsafe { borrow(view.cast::<ClusterView>(), "view") }
}

/// Makes a share of a view C's to release.
#[inline]
pub(crate) fn give(view: Arc<ClusterView>) -> *mut ck_view_t {
    Arc::into_raw(view).cast_mut().cast()
}

/// A view that C borrows for as long as it is borrowed here.
pub(crate) fn as_pointer(view: &Arc<ClusterView>) -> *const ck_view_t {
    Arc::as_ptr(view).cast()
}

/// Puts the newest view into a place of C's, unless it is there.
///
/// # Errors
/// INVALID_ARGUMENT when there is no place.
///
/// # Safety
/// The place holds NULL or a live view that only this thread uses.
#[inline]
pub(crate) unsafe fn refresh(view: *mut *mut ck_view_t, newest: ViewGuard) -> Result<()> {
    if view.is_null() {
        return Err(null_error("view"));
    }
    // SAFETY: the caller's promise.
    unsafe {
        if !std::ptr::eq((*view).cast_const().cast(), &raw const *newest) {
            let old = std::ptr::replace(view, give(newest.into_owned()));
            take_back(old);
        }
    }
    Ok(())
}

/// Takes C's share of a view back.
///
/// # Safety
/// As for [`view_of`], and the pointer is not used again.
#[inline]
pub(crate) unsafe fn take_back(view: *mut ck_view_t) {
    if !view.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Arc::from_raw(view.cast::<ClusterView>().cast_const()) });
    }
}

/// The nodes of a view in C's form, in the view's order: made once for all views of the same members.
#[inline]
pub(crate) fn nodes_of(view: &ClusterView) -> Option<&Nodes> {
    view.binding(|nodes| Nodes::new(nodes))
}

/// The C form of the node at an index of a view.
#[inline]
pub(crate) fn node_at(view: &ClusterView, index: Option<u32>) -> *const ck_node_t {
    match (nodes_of(view), index) {
        (Some(nodes), Some(index)) => nodes.get(index as usize),
        _ => null(),
    }
}

/// The C form of a node of a view.
fn node_pointer(view: &ClusterView, node: Option<&Arc<Node>>) -> *const ck_node_t {
    let index = node.and_then(|node| index_of(view, &node.id));
    node_at(view, index)
}

/// Where a member is in a view's order.
pub(crate) fn index_of(view: &ClusterView, id: &str) -> Option<u32> {
    let found = view.nodes().binary_search_by(|other| (*other.id).cmp(id));
    found.ok().and_then(|index| u32::try_from(index).ok())
}

/// Runs the body of a function that answers a question about a view, `otherwise` where it cannot.
///
/// # Safety
/// As for [`view_of`].
#[inline]
pub(crate) unsafe fn ask<T>(
    view: *const ck_view_t,
    otherwise: T,
    answer: impl FnOnce(&'static ClusterView) -> T,
) -> T {
    // SAFETY: the caller's promise. The answer's pointers live as long as C lets the view live.
    plain(otherwise, || Ok(answer(unsafe { view_of(view) }?)))
}

/// Acquires the present view of the cluster.
///
/// cluster: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure.
/// Never blocks, allocates nothing; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_acquire(
    cluster: *const ck_cluster_t,
    out: *mut *mut ck_view_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let cluster = borrow(cluster, "cluster")?;
            slot.put_pointer(give(cluster.node().view().into_owned()));
            Ok(())
        })
    }
}

/// Sees to it that *view is the present view of the cluster. Where it is already, this costs a few nanoseconds and changes
/// nothing; otherwise *view is released and replaced, so what was borrowed from it ends. For loops that ask again and again.
///
/// cluster: borrowed for the call. view: a place that holds NULL or a view of this cluster, which no other thread uses
/// meanwhile; on failure it stays as it is. Never blocks, allocates nothing; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_refresh(
    cluster: *const ck_cluster_t,
    view: *mut *mut ck_view_t,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live node or NULL, says the header.
        let cluster = unsafe { borrow(cluster, "cluster") }?;
        // SAFETY: the place holds NULL or a live view that only this thread uses, says the header.
        unsafe { refresh(view, cluster.node().view()) }
    })
}

/// Another share of a view, for another owner: each is released once. NULL for NULL.
///
/// view: borrowed for the call. Returns: the same pointer, to be released with ck_view_release. Never fails, never blocks,
/// allocates nothing; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_ref(view: *const ck_view_t) -> *mut ck_view_t {
    if view.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: a live view, says the header, and so an Arc that C holds a share of.
    unsafe { Arc::increment_strong_count(view.cast::<ClusterView>()) };
    view.cast_mut()
}

/// Releases a view: what was borrowed from it ends. NULL is allowed.
///
/// view: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_release(view: *mut ck_view_t) {
    // SAFETY: a view that this library gave and nobody has released, or NULL, says the header. It is only memory.
    drop(guard::caught(|| unsafe { take_back(view) }));
}

/// The revision that the view shows. 0 for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_revision(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, ClusterView::revision) }
}

/// How many members there are. 0 for NULL.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_node_count(view: *const ck_view_t) -> usize {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.nodes().len()) }
}

/// The member at an index; members are sorted by id. NULL where there is none.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_node(view: *const ck_view_t, index: usize) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, null(), |view| node_at(view, u32::try_from(index).ok())) }
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
        let (view, id) = unsafe { (view_of(view)?, text(id, id_len, "id")?) };
        Ok(node_at(view, index_of(view, id)))
    })
}

/// This node, when it is a member; else NULL.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_my_node(view: *const ck_view_t) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, null(), |view| node_pointer(view, view.my_node())) }
}

/// The member whose leadership was recorded last; NULL where there is none. Whether it leads at this moment is a
/// matter of leases, which a view does not know: ask ck_leader.
///
/// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_leader(view: *const ck_view_t) -> *const ck_node_t {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, null(), |view| node_pointer(view, view.leader())) }
}

/// The leader epoch of the leadership that was recorded last, a fencing token: it only grows. 0 before there was a leader.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_leader_epoch(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.topology().leader_epoch) }
}

/// The Raft term of that leadership; no fencing token.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_leader_term(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.topology().leader_term) }
}

/// When that leadership began, in milliseconds since 1970 by the leader's wall clock.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_leader_elected_at_ms(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.topology().elected_at.as_millis()) }
}

/// The number of copies that each partition should have. 0 before there is a cluster.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_replication_factor(view: *const ck_view_t) -> u32 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.topology().config.replication_factor) }
}

/// How long a lease lasts in this cluster, in milliseconds.
///
/// view: borrowed for the call. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_lease_ttl_ms(view: *const ck_view_t) -> u64 {
    // SAFETY: a live view or NULL, says the header.
    unsafe { ask(view, 0, |view| view.topology().config.lease_ttl_ms) }
}

/// True during maintenance, while no partitions are moved and primaries still fail over.
///
/// view: borrowed for the call. out_automatic: whether the cluster began it by itself, because more than half of its members
/// had failed; may be NULL. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_maintenance(view: *const ck_view_t, out_automatic: *mut bool) -> bool {
    // SAFETY: out_automatic may be written or is NULL, and a live view or NULL, says the header.
    unsafe {
        clear(out_automatic);
        ask(view, false, |view| {
            let maintenance = view.topology().maintenance.as_ref();
            store(
                out_automatic,
                maintenance.is_some_and(|maintenance| maintenance.automatic),
            );
            maintenance.is_some()
        })
    }
}

/// The whole cluster as a JSON object, the same as "cluster" in the answer of GET /cluster: its id and name, members,
/// partitions, and the reason of a maintenance, without custom data.
///
/// view: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks, takes time
/// in proportion to members and partitions; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_view_json(view: *const ck_view_t, out: *mut *mut ck_text_t) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live view or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            slot.put(ck_text_t::json(&view_of(view)?.cluster(None))?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;
    use std::thread;

    use super::*;
    use crate::lookup::{CK_ROLE_PRIMARY, CK_ROLE_REPLICA};
    use crate::testing::{text_at, view as acquired};
    use crate::view_keys::ck_view_partition_for_key;
    use crate::view_partitions::{
        ck_view_epoch, ck_view_partition_count, ck_view_primary, ck_view_replica, ck_view_role,
    };

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
        // SAFETY: a live view, released as often as it is held; nothing that was borrowed from it is used afterwards.
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
            let other = ck_view_ref(view);
            assert_eq!(other, view);
            ck_view_release(view);
            let key = "user:123";
            let partition = ck_view_partition_for_key(other, key.as_ptr().cast(), key.len());
            assert!(partition < ck_view_partition_count(other));
            assert_eq!(text_at(name), "name of a");
            ck_view_release(other);
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
    fn a_view_tells_of_its_cluster() {
        let view = acquired();
        let mut text = null_mut();
        // SAFETY: a live view and a live text, each freed once.
        unsafe {
            assert_eq!(
                (ck_view_replication_factor(view), ck_view_lease_ttl_ms(view)),
                (2, 1500)
            );
            assert_eq!((ck_view_leader_epoch(view), ck_view_leader_term(view)), (3, 2));
            let mut automatic = true;
            assert!(!ck_view_maintenance(view, &raw mut automatic) && !automatic);
            assert!(ck_view_json(view, &raw mut text).is_null());
            let json = text_at(crate::values::ck_text_data(text, null_mut()));
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(json["nodes"][1]["id"], "b");
            crate::values::ck_text_free(text);
            ck_view_release(view);
        }
    }

    #[test]
    fn what_a_view_has_not_is_null() {
        let view = acquired();
        // SAFETY: a live view, released at the end, or NULL.
        unsafe {
            assert!(ck_view_node(view, 2).is_null() && ck_view_node(view, usize::MAX).is_null());
            assert!(ck_view_find_node(view, c"c".as_ptr(), 1).is_null());
            assert!(ck_view_find_node(view, null(), 0).is_null());
            ck_view_release(view);
            assert!(ck_view_node(null(), 0).is_null() && ck_view_my_node(null()).is_null());
            assert_eq!((ck_view_revision(null()), ck_view_lease_ttl_ms(null())), (0, 0));
            assert!(ck_view_ref(null()).is_null());
            ck_view_release(null_mut());
        }
    }
}
