//! One view of the cluster, and the time until which this node may act on it.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Instant;
use crate::hooks::Copying;
use crate::model::Role;
use crate::routing::{ClusterView, PartitionRef, ViewGuard};

/// The present view of the cluster together with this node's lease. Every answer about what this node may do *now* is
/// taken from one such pair: two views in one answer would be of two revisions, and could name another node as primary
/// beside this node's own role.
///
/// Meant for the length of a call, as [`ViewGuard`] is. Allocates nothing, and takes no lock except while a hook copies
/// partitions.
#[derive(Debug)]
pub struct LeasedView {
    view: ViewGuard,
    /// When this node's lease ends; `None` where the node may not act at all.
    until: Option<Instant>,
    /// The revision that this lease names: a role that was given later waits for the next lease.
    names: u64,
    /// The copies under way; `None` where there were none when the view was taken.
    copying: Option<Arc<Copying>>,
    /// The process of a test cluster whose clock the lease is compared with.
    #[cfg(feature = "testing")]
    process: Option<crate::env::test_cluster::TestProcess>,
}

impl LeasedView {
    /// `until` must be read before `view`, and every question compares it with the clock after that: so there is a
    /// moment within the call at which the lease was valid and the node had applied everything that the lease names.
    /// `names` must be read after both: it belongs to that lease, or to a later one, which ends later. `copying` must
    /// be read after `view`.
    pub(super) fn new(
        until: Option<Instant>,
        view: ViewGuard,
        names: u64,
        copying: Option<Arc<Copying>>,
    ) -> Self {
        LeasedView {
            view,
            until,
            names,
            copying,
            #[cfg(feature = "testing")]
            process: crate::env::test_cluster::current(),
        }
    }

    /// This moment, by the clock of the node.
    #[inline]
    fn now(&self) -> Instant {
        // The caller may look at the lease outside of every call of a node.
        #[cfg(feature = "testing")]
        if let Some(process) = &self.process {
            return Instant::from_nanos(process.clock().now());
        }
        Instant::now()
    }

    /// The view. Its roles are those of the replicated state; the roles of this type also depend on the lease.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// The view, to be kept for any time.
    pub fn into_view(self) -> Arc<ClusterView> {
        self.view.into_owned()
    }

    /// True when this node takes the writes of `partition` at this moment. The partition must be of this view.
    #[inline]
    pub fn is_primary(&self, partition: &PartitionRef<'_>) -> bool {
        partition.is_primary() && self.covers(partition) && !self.is_copying(partition) && self.is_leased()
    }

    /// True when the lease names the revision at which the role was given, or a later one. Without such a lease the
    /// role is not acted on, and the leader relies on that.
    #[inline]
    fn covers(&self, partition: &PartitionRef<'_>) -> bool {
        partition.granted() <= self.names || planted!("act-before-leased-for-it")
    }

    /// True while a hook of this node copies the partition: the copy could overwrite what is written meanwhile. So a
    /// role that was given before the copy was finished is not acted on until the hook has returned.
    #[inline]
    pub(super) fn is_copying(&self, partition: &PartitionRef<'_>) -> bool {
        let copying = self.copying.as_ref();
        copying.is_some_and(|copying| copying.is_copying(partition.number()))
    }

    /// This node's role for `partition` at this moment: primary only under its lease, and none where the node may not act
    /// at all, because it has stopped or is no member. The partition must be of this view.
    #[inline]
    pub fn role(&self, partition: &PartitionRef<'_>) -> Option<Role> {
        self.until?;
        match partition.role() {
            Some(Role::Primary)
                if !self.covers(partition) || self.is_copying(partition) || !self.is_leased() =>
            {
                None
            }
            role => role,
        }
    }

    /// True while the lease runs that the node held when this was taken.
    #[inline]
    pub fn is_leased(&self) -> bool {
        self.until.is_some_and(|until| self.now() < until)
    }

    /// How long that lease still runs; zero without one.
    pub fn lease_left(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.since(self.now()))
    }
}

#[cfg(test)]
impl super::Node {
    /// Makes the node act as a member with a lease, though it never started. It answers from the views that a test
    /// publishes.
    pub(crate) fn stand_in(&self, lease: Duration) {
        self.context.lifecycle.set(super::Phase::Running);
        self.context.applied.admit();
        let now = Instant::now();
        self.context.lease.granted(now, now + lease, u64::MAX, u64::MAX);
    }

    /// Where the node reads its views; a test publishes them here.
    pub(crate) fn shared_view(&self) -> &crate::routing::SharedView {
        self.context.applied.view()
    }
}
