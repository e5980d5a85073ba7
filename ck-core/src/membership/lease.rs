//! This node's lease: until when it may act as primary.
//!
//! Invariants: a lease counts from the moment at which the node asked for it, by its own clock; it counts only once the
//! node has applied the revision that it names; a lease that was asked for before the node gave its leases back never
//! counts; and the node acts in a role only under a lease that names the revision of the grant, or a later one.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::env::{ChangeNotifier, Instant};

/// The leases that the leader has granted to this node.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// The end of the valid lease, on this machine's clock; 0 for none. It is an atomic outside the lock, because every
    /// lookup reads it.
    until: AtomicU64,
    /// The revision that this lease names: roles that were given later need the next lease.
    names: AtomicU64,
    terms: Mutex<LeaseTerms>,
    /// Notified when a lease becomes valid.
    counted: ChangeNotifier,
}

#[derive(Debug, Default)]
struct LeaseTerms {
    /// Granted leases whose revision is not applied yet.
    waiting: Vec<PendingLease>,
    /// A lease that was asked for up to that moment does not count.
    given_back: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct PendingLease {
    revision: u64,
    until: Instant,
}

impl Lease {
    fn terms(&self) -> MutexGuard<'_, LeaseTerms> {
        self.terms.lock()
    }

    /// The end of the valid lease. A caller reads it first, then what the lease is to cover, and then compares it with
    /// the clock: so there is a moment at which all three held.
    pub(crate) fn until(&self) -> Instant {
        Instant::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// The revision that the valid lease names, or one that ends later: it covers the roles that were given up to that
    /// revision. Read it after [`Lease::until`].
    pub(crate) fn names(&self) -> u64 {
        self.names.load(Ordering::Acquire)
    }

    /// True if this node holds a valid lease at this moment.
    pub(crate) fn holds(&self) -> bool {
        Instant::now() < self.until()
    }

    /// Records a lease from the leader that ends at `until` and names `revision`; this node asked for it at `asked`.
    pub(crate) fn granted(&self, asked: Instant, until: Instant, revision: u64, applied: u64) {
        let mut terms = self.terms();
        if terms.given_back.is_some_and(|moment| asked <= moment) {
            return;
        }
        terms.waiting.push(PendingLease { revision, until });
        self.count(&mut terms, applied);
    }

    /// Makes leases valid that waited for the log to be applied up to `revision`.
    pub(crate) fn applied(&self, revision: u64) {
        let mut terms = self.terms();
        self.count(&mut terms, revision);
    }

    /// Gives all leases back: the node does not act as primary until it is granted a lease that it asks for later.
    pub(crate) fn give_back(&self) {
        let mut terms = self.terms();
        terms.given_back = Some(Instant::now());
        terms.waiting.clear();
        self.until.store(0, Ordering::Release);
    }

    fn count(&self, terms: &mut LeaseTerms, applied: u64) {
        let mut until = self.until();
        let mut names = self.names();
        terms.waiting.retain(|lease| {
            let counts = lease.revision <= applied || planted!("lease-before-applied");
            if counts && lease.until > until {
                (until, names) = (lease.until, lease.revision);
            }
            !counts
        });
        let renewed = until > self.until();
        // Stored before the end: a reader that sees the new end also sees the revision that the new lease names.
        self.names.store(names, Ordering::Release);
        self.until.store(until.nanos(), Ordering::Release);
        if renewed {
            self.counted.notify();
        }
    }

    /// Resolves when the node holds a lease.
    pub(crate) async fn held(&self) {
        let mut seen = self.counted.count();
        while !self.holds() {
            seen = self.counted.after(seen).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_lease_counts_once_its_revision_is_applied() {
        let lease = Lease::default();
        assert!(!lease.holds());
        lease.granted(Instant::now(), soon(), 7, 6);
        assert!(!lease.holds(), "its revision is not applied");
        lease.applied(6);
        assert!(!lease.holds());
        lease.applied(7);
        assert!(lease.holds());
    }

    #[test]
    fn an_earlier_lease_goes_on_counting_until_its_own_end() {
        let lease = Lease::default();
        let first = soon();
        lease.granted(Instant::now(), first, 1, 1);
        lease.granted(Instant::now(), first + Duration::from_secs(60), 9, 1);
        assert_eq!(lease.until(), first);
        lease.applied(9);
        assert!(lease.until() > first);
    }

    #[test]
    fn a_lease_covers_what_was_given_up_to_the_revision_that_it_names() {
        let lease = Lease::default();
        let first = soon();
        lease.granted(Instant::now(), first, 7, 7);
        assert_eq!(lease.names(), 7);
        lease.granted(Instant::now(), first + Duration::from_secs(1), 9, 8);
        assert_eq!(lease.names(), 7, "the later one does not count yet");
        lease.applied(9);
        assert_eq!(lease.names(), 9);
    }

    #[test]
    fn a_late_answer_never_shortens_a_lease() {
        let lease = Lease::default();
        let later = soon();
        lease.granted(Instant::now(), later, 1, 1);
        lease.granted(Instant::now(), Instant::now(), 1, 1);
        assert_eq!(lease.until(), later);
    }

    #[test]
    fn what_was_asked_for_before_it_was_given_back_does_not_count() {
        let lease = Lease::default();
        let asked = Instant::now();
        lease.granted(asked, soon(), 1, 1);
        lease.granted(asked, soon(), 5, 1);
        lease.give_back();
        assert!(!lease.holds());
        lease.applied(5);
        assert!(!lease.holds(), "one that waited is given back too");
        lease.granted(asked, soon(), 5, 5);
        assert!(!lease.holds(), "its answer came late");
        lease.granted(Instant::now() + Duration::from_nanos(1), soon(), 5, 5);
        assert!(lease.holds());
    }

    #[test]
    fn a_lease_ends_by_itself() {
        let lease = Lease::default();
        lease.granted(Instant::now(), Instant::now(), 1, 1);
        assert!(!lease.holds());
    }
}
