//! The partitions that the application is copying at this moment.
//!
//! Invariant: a reader that has seen a topology in which this node is primary finds here every copy that was begun
//! under an earlier topology. Therefore a copy is recorded first, and whether there is anything to copy is looked up
//! after that, under the lock under which topologies are applied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// The partitions whose data a hook is copying to this node.
#[derive(Debug, Default)]
pub(crate) struct Copying {
    /// Number of entries, so that a lookup takes no lock while there are none.
    count: AtomicUsize,
    /// Number of hooks that copy each partition.
    numbers: Mutex<BTreeMap<u32, usize>>,
}

impl Copying {
    fn numbers(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        self.numbers.lock()
    }

    /// Records that a hook copies a partition, until the returned guard is dropped.
    pub(in crate::hooks) fn begin(self: &Arc<Self>, number: u32) -> CopyGuard {
        let mut numbers = self.numbers();
        *numbers.entry(number).or_default() += 1;
        self.count.store(numbers.len(), Ordering::Release);
        drop(numbers);
        CopyGuard {
            copying: self.clone(),
            number,
        }
    }

    /// True while no partition is being copied.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// True while a hook copies this partition.
    pub(crate) fn is_copying(&self, number: u32) -> bool {
        !self.is_idle() && self.numbers().contains_key(&number)
    }
}

/// A hook copies the partition until this is dropped.
#[derive(Debug)]
pub(in crate::hooks) struct CopyGuard {
    copying: Arc<Copying>,
    number: u32,
}

impl Drop for CopyGuard {
    fn drop(&mut self) {
        let mut numbers = self.copying.numbers();
        if let Some(hooks) = numbers.get_mut(&self.number) {
            *hooks -= 1;
            if *hooks == 0 {
                numbers.remove(&self.number);
            }
        }
        self.copying.count.store(numbers.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_copied_until_the_last_hook_has_ended() {
        let copying = Arc::new(Copying::default());
        assert!(copying.is_idle());
        let (first, second) = (copying.begin(3), copying.begin(3));
        let other = copying.begin(4);
        drop(first);
        assert!(copying.is_copying(3) && copying.is_copying(4) && !copying.is_copying(5));
        drop(second);
        assert!(!copying.is_copying(3) && !copying.is_idle());
        drop(other);
        assert!(copying.is_idle() && !copying.is_copying(4));
    }
}
