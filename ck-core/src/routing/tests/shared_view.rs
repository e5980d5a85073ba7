use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{Partition, Topology};

use super::super::{ClusterView, SharedView};
use super::{partition, small, topology};

const NODE_IDS: [&str; 4] = ["n0", "n1", "n2", "n3"];
const PARTITION_COUNT: u32 = 64;

/// A cluster whose data shows its generation: the epoch of each partition is the generation, and primary and replica are
/// derived from it.
fn generation(number: u64) -> Arc<Topology> {
    let name = |turn: u64| NODE_IDS[(turn % 4) as usize];
    let partitions = (0..PARTITION_COUNT)
        .map(|p| {
            let built = partition(p, &[name(number), name(number + 1)], &[]);
            Arc::new(Partition {
                epoch: number,
                ..(*built).clone()
            })
        })
        .collect();
    Arc::new(topology(&NODE_IDS, partitions))
}

/// Every answer of one view must be of the generation that its revision names.
fn check(view: &ClusterView) {
    let revision = view.revision();
    let primary = NODE_IDS[(revision % 4) as usize];
    let replica = NODE_IDS[((revision + 1) % 4) as usize];
    for found in view.partitions() {
        assert_eq!(found.epoch(), revision);
        assert_eq!(&*found.primary().unwrap().id, primary);
        assert!(found.replicas().map(|node| &*node.id).eq([replica]));
    }
    let key = revision.to_le_bytes();
    assert_eq!(&*view.primary_node(&key).unwrap().id, primary);
    assert_eq!(view.is_primary_for_key(&key), primary == "n0");
    assert_eq!(view.is_replica_for_key(&key), replica == "n0");
    assert_eq!(
        view.partitions_for_node(primary).unwrap().primary.len(),
        PARTITION_COUNT as usize
    );
}

#[test]
fn readers_see_whole_views_only_while_a_writer_swaps() {
    const MIN_VIEWS_SEEN: u64 = 50;
    const MAX_SWAPS: u64 = 100_000;
    let shared = SharedView::new(ClusterView::new(generation(0), 0, "n0"));
    let done = AtomicBool::new(false);
    let seen = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
    // Set when a reader ends, also by a failed assertion, so that the writer does not wait for it.
    struct SetOnDrop<'a>(&'a AtomicBool);
    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    std::thread::scope(|scope| {
        for seen in &seen {
            let (shared, done) = (&shared, &done);
            scope.spawn(move || {
                let _ended = SetOnDrop(done);
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let view = shared.load();
                    check(&view);
                    assert!(view.revision() >= last, "a thread saw the cluster go back");
                    if view.revision() > last {
                        seen.fetch_add(1, Ordering::Relaxed);
                        last = view.revision();
                    }
                }
            });
        }
        // Swaps until each reader has seen many views, so that reads and swaps have overlapped. Far more swaps than that
        // mean that readers do not see the stored views.
        for revision in 1..MAX_SWAPS {
            if done.load(Ordering::Acquire) {
                break;
            }
            let next = shared.load().updated(&generation(revision), revision);
            shared.store(next);
            if seen
                .iter()
                .all(|seen| seen.load(Ordering::Relaxed) >= MIN_VIEWS_SEEN)
            {
                break;
            }
        }
        done.store(true, Ordering::Release);
    });
    for seen in seen {
        assert!(seen.into_inner() >= MIN_VIEWS_SEEN);
    }
}

#[test]
fn a_guard_keeps_its_view_whatever_is_stored() {
    let shared = SharedView::new(ClusterView::new(generation(1), 1, "n0"));
    let (guard, owned) = (shared.load(), shared.load().into_owned());
    shared.store(ClusterView::new(Arc::new(small()), 2, "a"));
    assert_eq!(shared.load().revision(), 2);
    check(&guard);
    check(&owned);
    let kept = guard.into_owned();
    drop(shared);
    check(&kept);
}
