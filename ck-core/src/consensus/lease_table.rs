//! What the leader has heard of the members, and which leases it has given them.
//!
//! One lock holds both, because of what must stay true: from the moment at which a member is condemned, nothing is
//! granted to it any more; and nobody is condemned who was heard of a moment ago. By the leader's own clock, and not
//! replicated: a new leader starts anew, and takes every member to be leased until it has led for long enough. One that
//! leads on with the same epoch after a pause knows what it knew: nobody led in between, and what it has proposed may
//! still be committed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::env::{Instant, Signal};
use crate::model::{ClusterConfig, NodeId};
use crate::planted::planted;

/// What the leader has heard and granted.
#[derive(Default)]
pub(crate) struct LeaseTable {
    book: Mutex<Book>,
    changed: Signal,
}

#[derive(Default)]
struct Book {
    /// With which epoch this node leads, or led last, and since when.
    began: Option<(u64, Instant)>,
    /// What it had applied then: no lease of an earlier leader names a later revision.
    began_at: u64,
    leads: bool,
    members: BTreeMap<NodeId, Heard>,
}

/// The last that was heard of a member, and its leases.
#[derive(Debug, Clone)]
struct Heard {
    at: Instant,
    /// When it last synced, or was heard of as the leader; nothing excuses that.
    synced: Option<Instant>,
    incarnation: u64,
    /// How far it has applied the log.
    revision: u64,
    /// The leases that may still count.
    leases: Vec<Granted>,
    /// The latest revision that any lease of this leader to this incarnation has named.
    named: u64,
    /// While there are any, nothing is granted to this incarnation.
    recalls: u32,
    /// It is about to be failed: nothing is granted to this incarnation ever again.
    condemned: bool,
}

/// A lease as the leader remembers it.
#[derive(Debug, Clone, Copy)]
struct Granted {
    /// It counts once its holder has applied this.
    revision: u64,
    /// When it has certainly run out, by any clock within the bound on drift.
    ends: Instant,
}

/// What the leader knows of a member's leases on what it had before some revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leased {
    /// Nobody can think any more that it has what was taken away.
    No,
    /// It may think so until then, unless it says before that it has applied the revision.
    Until(Instant),
}

impl LeaseTable {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node leads from now on, with this epoch, and has applied `revision`. Where that is another epoch, what was
    /// known is forgotten.
    pub(crate) fn lead(&self, epoch: u64, revision: u64) {
        let mut book = self.book();
        let now = Instant::now();
        book.leads = true;
        if book.began.is_none_or(|(known, _)| known != epoch) {
            book.members.clear();
            book.began = Some((epoch, now));
            book.began_at = revision;
        }
        // It may have been deaf while it did not lead.
        book.excuse_everybody(now);
    }

    /// This node had heard of `node` at `heard`, when that one led; unless more is known by now. Its silence counts
    /// from then on, but from no more than `patience` before this node led: that far it may have been deaf itself.
    pub(crate) fn led_before(&self, node: &NodeId, incarnation: u64, heard: Instant, patience: Duration) {
        let mut book = self.book();
        let Some((_, began)) = book.began else { return };
        if book.members.contains_key(node) || heard > began {
            return;
        }
        let entry = book.entry(node, incarnation, began);
        entry.at = heard.max(began - patience);
        entry.synced = Some(heard);
    }

    /// This node does not lead for now.
    pub(crate) fn rest(&self) {
        self.book().leads = false;
    }

    /// Notes a member's sync and grants it a lease that counts from `revision` on. False when its leases have been
    /// recalled: then nothing is noted.
    pub(crate) fn grant(
        &self,
        node: &NodeId,
        incarnation: u64,
        applied: u64,
        revision: u64,
        config: &ClusterConfig,
    ) -> bool {
        let mut book = self.book();
        // Counted from now, though the member counts from when it asked: what is remembered is never too short.
        let now = Instant::now();
        let lease = Granted {
            revision,
            ends: now + config.lease_ttl() + config.lease_margin(),
        };
        let known = book.entry(node, incarnation, now);
        if known.incarnation > incarnation || known.recalls > 0 || known.condemned {
            return false;
        }
        known.at = now;
        known.synced = Some(now);
        known.leases.retain(|granted| granted.ends > now);
        known.leases.push(lease);
        known.named = known.named.max(revision);
        // A report that was overtaken on its way tells nothing new.
        let progress = known.revision < applied;
        known.revision = known.revision.max(applied);
        drop(book);
        // Only progress wakes who waits for it: routine syncs of an idle cluster wake nobody.
        if progress {
            self.changed.notify();
        }
        true
    }

    /// When `node` last synced with this leader, or was heard of as the leader before it.
    pub(crate) fn synced_at(&self, node: &str) -> Option<Instant> {
        self.book().members.get(node).and_then(|heard| heard.synced)
    }

    /// For how long `incarnation` of `node` has been silent, as far as this leader knows: at most for as long as it leads.
    pub(crate) fn silence(&self, node: &str, incarnation: u64) -> Duration {
        let book = self.book();
        let synced = book
            .members
            .get(node)
            .filter(|heard| heard.incarnation == incarnation)
            .and_then(|heard| heard.synced);
        let since = synced.or(book.began.map(|(_, began)| began));
        since.map_or(Duration::ZERO, Instant::elapsed)
    }

    /// From which revision on no lease of `incarnation` of `node` has named any, whoever granted it: what it was given
    /// there it has not acted on. Ask when nothing is granted to it any more. Nothing where `epoch` is not the one that
    /// this node leads with, or more is known of a later process.
    pub(crate) fn unleased_from(&self, epoch: u64, node: &str, incarnation: u64) -> Option<u64> {
        let book = self.book();
        if !book.leads_with(epoch) {
            return None;
        }
        let named = match book.members.get(node) {
            Some(known) if known.incarnation > incarnation => return None,
            Some(known) if known.incarnation == incarnation => known.named,
            _ => 0,
        };
        if planted("acted-on-nothing") {
            return Some(0);
        }
        Some(named.max(book.began_at) + 1)
    }

    /// What `incarnation` of `node` may still think it has of what was taken away at `revision`.
    pub(crate) fn leased(
        &self,
        node: &str,
        incarnation: u64,
        revision: u64,
        config: &ClusterConfig,
    ) -> Leased {
        if planted("grant-what-is-leased") {
            return Leased::No;
        }
        let book = self.book();
        let known = book
            .members
            .get(node)
            .filter(|heard| heard.incarnation == incarnation);
        if known.is_some_and(|heard| heard.revision >= revision) {
            return Leased::No;
        }
        let now = Instant::now();
        let inherited = book.inherited(now, config);
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

    /// Grants nothing to `incarnation` of `node` any more; gives when all its leases have ended at the latest. Nothing
    /// when `epoch` is not the one that this node leads with.
    pub(crate) fn recall(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        config: &ClusterConfig,
    ) -> Option<Instant> {
        let mut book = self.book();
        if !book.leads_with(epoch) {
            return None;
        }
        let now = Instant::now();
        let inherited = book.inherited(now, config);
        let known = book.entry(node, incarnation, now);
        known.recalls += 1;
        let own = known.leases.iter().map(|granted| granted.ends).max();
        Some(own.map_or(inherited, |own| own.max(inherited)))
    }

    /// What a recall was for did not come about, and never will: the member may have leases again.
    pub(crate) fn pardon(&self, node: &str, incarnation: u64) {
        if let Some(known) = self.book().members.get_mut(node)
            && known.incarnation == incarnation
        {
            known.recalls = known.recalls.saturating_sub(1);
        }
    }

    /// Grants nothing any more to a member that has not been heard of for the failure timeout, and none of whose leases can
    /// count, from whomever they are. Otherwise gives when to look again.
    pub(crate) fn condemn(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        config: &ClusterConfig,
    ) -> Result<(), Instant> {
        let timeout = config.failure_timeout();
        let mut book = self.book();
        let now = Instant::now();
        let Some((_, began)) = book.began.filter(|_| book.leads_with(epoch)) else {
            return Err(now + timeout);
        };
        // What an earlier leader granted last, it granted before this one was elected.
        let others_end = began + config.lease_ttl() + config.lease_margin();
        let known = book.entry(node, incarnation, now);
        let due = (known.at + timeout).max(others_end);
        let leased = known.leases.iter().any(|granted| granted.ends > now);
        if planted("fail-the-leased") && now >= known.at + timeout / 3 {
            known.condemned = true;
            return Ok(());
        }
        if now < due || leased {
            return Err(due.max(now + Duration::from_millis(1)));
        }
        known.condemned = true;
        Ok(())
    }

    /// A member that cannot sync yet was heard of in another way.
    pub(crate) fn excuse(&self, node: &NodeId, incarnation: u64) {
        let now = Instant::now();
        self.book().entry(node, incarnation, now).at = now;
    }

    /// The leader itself was away, paused or starved: nobody's silence counts that may be its own deafness.
    pub(crate) fn excuse_everybody(&self) {
        self.book().excuse_everybody(Instant::now());
    }

    /// The leader did not run for so long, and could not listen either: everybody's silence is shorter by that.
    pub(crate) fn excuse_for(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let now = Instant::now();
        for heard in self.book().members.values_mut() {
            heard.at = now.min(heard.at + time);
        }
    }

    /// Told when a member has made progress.
    pub(crate) fn changed(&self) -> &Signal {
        &self.changed
    }
}

impl Book {
    fn leads_with(&self, epoch: u64) -> bool {
        self.leads && self.began.is_some_and(|(known, _)| known == epoch)
    }

    fn excuse_everybody(&mut self, now: Instant) {
        for heard in self.members.values_mut() {
            heard.at = now;
        }
    }

    /// When all that earlier leaders have granted has run out.
    fn inherited(&self, now: Instant, config: &ClusterConfig) -> Instant {
        self.began.map_or(now, |(_, began)| began) + config.failure_timeout()
    }

    /// The entry of a member; one that is seen for the first time counts as heard of now. A new process of it is
    /// admitted only when the leases of the earlier one have ended: they are forgotten.
    fn entry(&mut self, node: &NodeId, incarnation: u64, now: Instant) -> &mut Heard {
        let fresh = || Heard {
            at: now,
            synced: None,
            incarnation,
            revision: 0,
            leases: Vec::new(),
            named: 0,
            recalls: 0,
            condemned: false,
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
