//! The members' leases and liveness, as the leader knows them.
//!
//! One lock holds both, because of two invariants: once a member is expired, no lease is granted to that incarnation
//! any more; and a member that was heard of a moment ago is never expired. All times are of the leader's own clock and
//! are not replicated: a new leader starts with nothing, and takes every member to be leased until it has led for the
//! failure timeout. A leader that continues with the same epoch after a pause keeps what it knew: no node led in
//! between, and what it has proposed may still be committed.
//!
//! No task. Nothing else is locked under the lock, and `changed`, which wakes the rebalancer, is notified after it.
//!
//! Start with `LeaseManager::grant`, then `try_expire` (failure), `revoke` (removal) and `leased` (a planned move).

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::env::{ChangeNotifier, Instant};
use crate::model::{ClusterConfig, NodeId};

/// Grants the members' leases, and says when a member's leases have certainly run out.
#[derive(Default)]
pub(crate) struct LeaseManager {
    state: Mutex<LeaseState>,
    changed: ChangeNotifier,
}

#[derive(Default)]
struct LeaseState {
    /// The epoch that this node leads or led last, and when that leadership began.
    began: Option<(u64, Instant)>,
    /// The revision that this node had applied then: no lease of an earlier leader names a later one.
    began_at_revision: u64,
    leads: bool,
    members: BTreeMap<NodeId, MemberLeases>,
}

/// The last contact with a member, and its leases.
#[derive(Debug, Clone)]
struct MemberLeases {
    heard_at: Instant,
    /// Its last heartbeat, or last contact with it as the leader. `reset_contacts` does not touch this.
    synced_at: Option<Instant>,
    incarnation: u64,
    /// The revision that it has applied.
    revision: u64,
    /// The leases that may still be valid.
    leases: Vec<GrantedLease>,
    /// The latest revision named by a lease of this leader to this incarnation.
    named: u64,
    /// Revocations under way. While there are any, no lease is granted to this incarnation.
    revocations: u32,
    /// The member is about to be marked as failed: no lease is granted to this incarnation ever again.
    expired: bool,
}

/// A lease as the leader remembers it.
#[derive(Debug, Clone, Copy)]
struct GrantedLease {
    /// The lease is valid once its holder has applied this revision.
    revision: u64,
    /// When the lease has certainly run out, by any clock within the bound on drift.
    ends: Instant,
}

/// Whether a member may still act on roles that were taken from it at some revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leased {
    /// The member acts on them no more.
    No,
    /// The member may act on them until then, unless it confirms earlier that it has applied the revision.
    Until(Instant),
}

impl LeaseManager {
    fn state(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock()
    }

    /// This node leads from now on in `epoch`, and has applied `revision`. What was known in another epoch is
    /// forgotten.
    pub(crate) fn begin_term(&self, epoch: u64, revision: u64) {
        let mut state = self.state();
        let now = Instant::now();
        state.leads = true;
        if state.began.is_none_or(|(known, _)| known != epoch) {
            state.members.clear();
            state.began = Some((epoch, now));
            state.began_at_revision = revision;
        }
        // Heartbeats may have gone elsewhere while this node did not lead.
        state.reset_contacts(now);
    }

    /// Takes over the last contact with the leader before this one: the silence of `node` counts from `heard`, but from
    /// no more than `patience` before this node led, because this node may not have listened for that long. Does
    /// nothing where this leader has heard of `node` itself.
    pub(crate) fn seed_previous_leader(
        &self,
        node: &NodeId,
        incarnation: u64,
        heard: Instant,
        patience: Duration,
    ) {
        let mut state = self.state();
        let Some((_, began)) = state.began else { return };
        if state.members.contains_key(node) || heard > began {
            return;
        }
        let entry = state.entry(node, incarnation, began);
        entry.heard_at = heard.max(began - patience);
        entry.synced_at = Some(heard);
    }

    /// This node leads no more, or not for now.
    pub(crate) fn end_term(&self) {
        self.state().leads = false;
    }

    /// Records a member's heartbeat and grants it a lease that is valid once it has applied `revision`. False, and
    /// nothing is recorded, where its leases are being revoked, it was expired, or a later incarnation is known.
    pub(crate) fn grant(
        &self,
        node: &NodeId,
        incarnation: u64,
        applied: u64,
        revision: u64,
        config: &ClusterConfig,
    ) -> bool {
        let mut state = self.state();
        // Counted from now, and by the member from when it asked: what the leader remembers is never too short.
        let now = Instant::now();
        let lease = GrantedLease {
            revision,
            ends: now + config.lease_ttl() + config.lease_margin(),
        };
        let known = state.entry(node, incarnation, now);
        if known.incarnation > incarnation || known.revocations > 0 || known.expired {
            return false;
        }
        known.heard_at = now;
        known.synced_at = Some(now);
        known.leases.retain(|granted| granted.ends > now);
        known.leases.push(lease);
        known.named = known.named.max(revision);
        // Heartbeats may arrive out of order.
        let progress = known.revision < applied;
        known.revision = known.revision.max(applied);
        drop(state);
        // Routine heartbeats of an idle cluster wake no task.
        if progress {
            self.changed.notify();
        }
        true
    }

    /// The last heartbeat of `node` to this leader, or the last contact with it as the leader before.
    pub(crate) fn synced_at(&self, node: &str) -> Option<Instant> {
        self.state().members.get(node).and_then(|heard| heard.synced_at)
    }

    /// How long `incarnation` of `node` has been silent, as far as this leader knows: no longer than it leads.
    pub(crate) fn silence(&self, node: &str, incarnation: u64) -> Duration {
        let state = self.state();
        let synced = state
            .members
            .get(node)
            .filter(|heard| heard.incarnation == incarnation)
            .and_then(|heard| heard.synced_at);
        let since = synced.or(state.began.map(|(_, began)| began));
        since.map_or(Duration::ZERO, Instant::elapsed)
    }

    /// The revision from which on no lease of `incarnation` of `node` names any, whichever leader granted it: the
    /// member has not acted on roles given to it from there on. To be asked when no lease is granted to it any more.
    /// `None` where this node does not lead in `epoch`, or knows a later incarnation.
    pub(crate) fn unleased_from(&self, epoch: u64, node: &str, incarnation: u64) -> Option<u64> {
        let state = self.state();
        if !state.leads_in(epoch) {
            return None;
        }
        let named = match state.members.get(node) {
            Some(known) if known.incarnation > incarnation => return None,
            Some(known) if known.incarnation == incarnation => known.named,
            _ => 0,
        };
        planted!("acted-on-nothing", return Some(0));
        Some(named.max(state.began_at_revision) + 1)
    }

    /// Whether `incarnation` of `node` may still act on roles that were taken from it at `revision`.
    pub(crate) fn leased(
        &self,
        node: &str,
        incarnation: u64,
        revision: u64,
        config: &ClusterConfig,
    ) -> Leased {
        planted!("grant-what-is-leased", return Leased::No);
        let state = self.state();
        let known = state
            .members
            .get(node)
            .filter(|heard| heard.incarnation == incarnation);
        if known.is_some_and(|heard| heard.revision >= revision) {
            return Leased::No;
        }
        let now = Instant::now();
        let inherited = state.inherited(now, config);
        let own = known
            .into_iter()
            .flat_map(|heard| &heard.leases)
            .filter(|granted| granted.revision < revision)
            .map(|granted| granted.ends)
            .max();
        let ends = own.map_or(inherited, |own| own.max(inherited));
        if ends <= now {
            Leased::No
        } else {
            Leased::Until(ends)
        }
    }

    /// Grants no lease to `incarnation` of `node` from now on; gives when all its leases have certainly run out. `None`
    /// where this node does not lead in `epoch`.
    pub(crate) fn revoke(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        config: &ClusterConfig,
    ) -> Option<Instant> {
        let mut state = self.state();
        if !state.leads_in(epoch) {
            return None;
        }
        let now = Instant::now();
        let inherited = state.inherited(now, config);
        let known = state.entry(node, incarnation, now);
        known.revocations += 1;
        let own = known.leases.iter().map(|granted| granted.ends).max();
        Some(own.map_or(inherited, |own| own.max(inherited)))
    }

    /// Undoes one `revoke`: the change that it was made for did not happen and never will.
    pub(crate) fn cancel_revocation(&self, node: &str, incarnation: u64) {
        if let Some(known) = self.state().members.get_mut(node)
            && known.incarnation == incarnation
        {
            known.revocations = known.revocations.saturating_sub(1);
        }
    }

    /// Expires a member that was silent for the failure timeout and has no valid lease of any leader: no lease is
    /// granted to `incarnation` any more. Otherwise an error with the time of the next try.
    pub(crate) fn try_expire(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        config: &ClusterConfig,
    ) -> Result<(), Instant> {
        let timeout = config.failure_timeout();
        let mut state = self.state();
        let now = Instant::now();
        let Some((_, began)) = state.began.filter(|_| state.leads_in(epoch)) else {
            return Err(now + timeout);
        };
        // The last lease of an earlier leader was granted before this leader was elected.
        let others_end = began + config.lease_ttl() + config.lease_margin();
        let known = state.entry(node, incarnation, now);
        let due = (known.heard_at + timeout).max(others_end);
        let leased = known.leases.iter().any(|granted| granted.ends > now);
        if planted!("fail-the-leased") && now >= known.heard_at + timeout / 3 {
            known.expired = true;
            return Ok(());
        }
        if now < due || leased {
            return Err(due.max(now + Duration::from_millis(1)));
        }
        known.expired = true;
        Ok(())
    }

    /// Records contact with a member in another way than by its heartbeat.
    pub(crate) fn record_contact(&self, node: &NodeId, incarnation: u64) {
        let now = Instant::now();
        self.state().entry(node, incarnation, now).heard_at = now;
    }

    /// The leader itself was paused or starved: its own absence is not the members' silence.
    pub(crate) fn reset_contacts(&self) {
        self.state().reset_contacts(Instant::now());
    }

    /// The leader did not run for `time`, and could not listen: every member's silence is shorter by that.
    pub(crate) fn discount_silence(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let now = Instant::now();
        for heard in self.state().members.values_mut() {
            heard.heard_at = now.min(heard.heard_at + time);
        }
    }

    /// Notified when a member has applied more of the log.
    pub(crate) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }
}

impl LeaseState {
    fn leads_in(&self, epoch: u64) -> bool {
        self.leads && self.began.is_some_and(|(known, _)| known == epoch)
    }

    fn reset_contacts(&mut self, now: Instant) {
        for heard in self.members.values_mut() {
            heard.heard_at = now;
        }
    }

    /// When all leases of earlier leaders have run out.
    fn inherited(&self, now: Instant, config: &ClusterConfig) -> Instant {
        self.began.map_or(now, |(_, began)| began) + config.failure_timeout()
    }

    /// The entry of a member, as of `now` where it is new. A new incarnation joins only when the leases of the earlier
    /// one have run out, so those are forgotten.
    fn entry(&mut self, node: &NodeId, incarnation: u64, now: Instant) -> &mut MemberLeases {
        let fresh = || MemberLeases {
            heard_at: now,
            synced_at: None,
            incarnation,
            revision: 0,
            leases: Vec::new(),
            named: 0,
            revocations: 0,
            expired: false,
        };
        let known = self.members.entry(node.clone()).or_insert_with(fresh);
        if known.incarnation < incarnation {
            *known = fresh();
        }
        known
    }
}

#[cfg(test)]
mod tests;
