//! One view, and until when this node may act on what it says of it.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Instant;
use crate::hooks::Copying;
use crate::model::Role;
use crate::planted::planted;
use crate::routing::{ClusterView, PartitionRef, ViewGuard};

/// The present view of the cluster and this node's lease, taken together: what a question that asks what this node may
/// do *now* is answered from, whole. Two views in one answer would be of two revisions, and could name another node
/// beside the role of this one.
///
/// Meant for the length of a call, as [`ViewGuard`] is. Takes no lock and allocates nothing.
#[derive(Debug)]
pub struct LeasedView {
    view: ViewGuard,
    /// When this node's lease ends; `None` when it may not act at all.
    until: Option<Instant>,
    /// The revision that this lease names: a role that was given later waits for the next one.
    names: u64,
    /// What the application was copying, where it was copying anything.
    copying: Option<Arc<Copying>>,
}

impl LeasedView {
    /// `until` is read before `view`, and compared with the clock after it, by every question: so there is a moment within
    /// the call at which the lease counted and the node had applied all that the lease names. `names` is read after both: it
    /// is what that lease names, or a later one, which ends later. `copying` is looked at after `view`.
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
        }
    }

    /// The view. Roles in it are those of the replicated state; those of this type count the lease too.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// True when this node takes the writes of `partition`, one of this view, at this moment.
    #[inline]
    pub fn is_primary(&self, partition: &PartitionRef<'_>) -> bool {
        partition.is_primary() && self.covers(partition) && !self.is_copying(partition) && self.is_leased()
    }

    /// True when the lease is one for the role that was given last: until then the leader knows that it was not acted on.
    #[inline]
    fn covers(&self, partition: &PartitionRef<'_>) -> bool {
        partition.granted() <= self.names || planted("act-before-leased-for-it")
    }

    /// True while a hook of this node copies the partition: what was written meanwhile could be lost under what it copies.
    /// So a role that came before the copy was made is not acted on before the hook has returned.
    #[inline]
    pub(super) fn is_copying(&self, partition: &PartitionRef<'_>) -> bool {
        let copying = self.copying.as_ref();
        copying.is_some_and(|copying| copying.is_copying(partition.number()))
    }

    /// What this node is to `partition`, one of this view, at this moment: primary only under its lease.
    #[inline]
    pub fn role(&self, partition: &PartitionRef<'_>) -> Option<Role> {
        match partition.role() {
            Some(Role::Primary)
                if !self.covers(partition) || self.is_copying(partition) || !self.is_leased() =>
            {
                None
            }
            role => role,
        }
    }

    /// True while the lease runs that was there when this was taken.
    #[inline]
    pub fn is_leased(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// For how long that lease still runs; zero without one.
    pub fn lease_left(&self) -> Duration {
        self.until
            .map_or(Duration::ZERO, |until| until.since(Instant::now()))
    }
}

#[cfg(test)]
impl super::Node {
    /// Has the node act as a member with a lease, though it never started: what it answers is the views' that a test
    /// gives it.
    pub(crate) fn stand_in(&self, lease: Duration) {
        self.set_phase(super::Phase::Running);
        self.applied.admit();
        let now = Instant::now();
        self.lease.granted(now, now + lease, u64::MAX, u64::MAX);
    }

    /// Where it finds its views.
    pub(crate) fn shared_view(&self) -> &crate::routing::SharedView {
        self.applied.view()
    }
}
