//! The times of a quorum's acknowledgements: the leader's lease and its reads rest on them.
//!
//! openraft keeps such times, too, but may take them from a request that was never answered: an answer says up to which
//! entry a follower has the log, and openraft takes the newest request that ends there. A request that carries only the
//! commit index ends where the one before it did. A leader that was stopped in between would wake up and believe in its
//! lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::env::{ChangeNotifier, Instant};
use crate::raft::types::RaftId;
use crate::state::MAX_ELECTION_STRETCH;

/// The acknowledgements of one leadership of this node: its latest.
#[derive(Debug)]
pub(in crate::raft) struct QuorumAcks {
    /// How long an acknowledgement without a pledged time is valid.
    lease: Duration,
    table: Mutex<AckTable>,
    changed: ChangeNotifier,
}

#[derive(Debug, Default)]
struct AckTable {
    /// The term of the leadership.
    term: u64,
    acknowledged: BTreeMap<RaftId, Ack>,
}

/// The newest acknowledgement of one node.
#[derive(Debug, Clone, Copy)]
struct Ack {
    /// When the newest acknowledged request was sent.
    sent: Instant,
    /// The end of its pledge: until then it votes for no other candidate.
    until: Instant,
}

/// The part of a pledge that the leader may rely on: shorter by as much as two clocks may drift apart in that time.
const fn lease_of(pledged: Duration) -> Duration {
    let nanos = pledged.as_nanos() / 10 * 9;
    // A pledge of centuries is as good as the longest there is.
    Duration::from_nanos(if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    })
}

impl QuorumAcks {
    /// No acknowledgements yet. A node that acknowledges without naming a time has pledged for `pledged`.
    pub(in crate::raft) fn new(pledged: Duration) -> Self {
        QuorumAcks {
            lease: lease_of(pledged),
            table: Mutex::default(),
            changed: ChangeNotifier::default(),
        }
    }

    /// How long this node may act as leader after a quorum's acknowledgements without a pledged time.
    pub(in crate::raft) fn lease(&self) -> Duration {
        self.lease
    }

    /// Records that `by` acknowledged a request that this node, as the leader of `term`, had sent at `sent`. From then on at
    /// the earliest `by` votes for no other candidate for the time that it `pledged`.
    pub(in crate::raft) fn record(&self, by: RaftId, term: u64, sent: Instant, pledged: Option<Duration>) {
        let mut table = self.table();
        if term < table.term {
            return;
        }
        if term > table.term {
            *table = AckTable {
                term,
                acknowledged: BTreeMap::new(),
            };
        }
        // A pledge is no longer than the longest election timeout, stretched as far as it can be.
        let longest = self.lease * MAX_ELECTION_STRETCH;
        let until = sent + pledged.map_or(self.lease, |pledged| lease_of(pledged).min(longest));
        let known = table.acknowledged.entry(by).or_insert(Ack { sent, until });
        known.sent = sent.max(known.sent);
        // An earlier pledge may last longer.
        known.until = until.max(known.until);
        drop(table);
        self.changed.notify();
    }

    /// When the newest request of `term` that `by` acknowledged was sent.
    pub(in crate::raft) fn last_acked(&self, by: RaftId, term: u64) -> Option<Instant> {
        let table = self.table();
        let acknowledged = table.acknowledged.get(&by).filter(|_| table.term == term);
        acknowledged.map(|acknowledged| acknowledged.sent)
    }

    /// The latest time after which a quorum acknowledged a request that `me` sent as the leader of `term`: a quorum of each
    /// of `configs`, which are two while the voters change. `me` acknowledges itself at any time, so `now`.
    pub(in crate::raft) fn quorum_acked_at<'c>(
        &self,
        me: RaftId,
        term: u64,
        configs: impl IntoIterator<Item = &'c BTreeSet<RaftId>>,
        now: Instant,
    ) -> Option<Instant> {
        self.of_quorum(me, term, configs, now, |acknowledged| acknowledged.sent)
    }

    /// The latest time until which a quorum of each of `configs` has pledged to `me`, as the leader of `term`, to vote for
    /// no other candidate. The pledge of `me` itself ends at `own`.
    pub(in crate::raft) fn quorum_pledged_until<'c>(
        &self,
        me: RaftId,
        term: u64,
        configs: impl IntoIterator<Item = &'c BTreeSet<RaftId>>,
        own: Instant,
    ) -> Option<Instant> {
        self.of_quorum(me, term, configs, own, |acknowledged| acknowledged.until)
    }

    fn of_quorum<'c>(
        &self,
        me: RaftId,
        term: u64,
        configs: impl IntoIterator<Item = &'c BTreeSet<RaftId>>,
        own: Instant,
        what: impl Fn(&Ack) -> Instant,
    ) -> Option<Instant> {
        let table = self.table();
        let of = |voter: &RaftId| match *voter == me {
            true => Some(own),
            false => table
                .acknowledged
                .get(voter)
                .filter(|_| table.term == term)
                .map(&what),
        };
        let newest_of_quorum = |voters: &BTreeSet<RaftId>| {
            // There are few voters: comparing all with all needs no memory.
            let acknowledged =
                |since: &Instant| voters.iter().filter_map(of).filter(|at| at >= since).count();
            voters
                .iter()
                .filter_map(of)
                .filter(|since| acknowledged(since) > voters.len() / 2)
                .max()
        };
        let mut oldest: Option<Instant> = None;
        for voters in configs {
            let newest = newest_of_quorum(voters)?;
            oldest = Some(oldest.map_or(newest, |oldest| oldest.min(newest)));
        }
        oldest
    }

    /// Notified at every acknowledgement.
    pub(in crate::raft) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }

    fn table(&self) -> MutexGuard<'_, AckTable> {
        self.table.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 3;
    const PLEDGED: Duration = Duration::from_nanos(100);

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// What a quorum of `configs` has acknowledged to node 1, after what `noted` says.
    fn quorum(noted: &[(RaftId, u64)], configs: &[&[RaftId]]) -> Option<u64> {
        let acks = QuorumAcks::new(PLEDGED);
        for (by, sent) in noted {
            acks.record(*by, TERM, at(*sent), None);
        }
        let configs: Vec<BTreeSet<RaftId>> = configs
            .iter()
            .map(|config| config.iter().copied().collect())
            .collect();
        acks.quorum_acked_at(1, TERM, &configs, at(100))
            .map(Instant::nanos)
    }

    #[test]
    fn a_quorum_is_a_majority_with_this_node_where_it_votes() {
        assert_eq!(quorum(&[], &[&[1]]), Some(100));
        assert_eq!(quorum(&[], &[&[1, 2]]), None);
        assert_eq!(quorum(&[(2, 7)], &[&[1, 2]]), Some(7));
        assert_eq!(quorum(&[(2, 7), (3, 9)], &[&[1, 2, 3]]), Some(9));
        assert_eq!(quorum(&[(2, 7), (3, 9)], &[&[1, 2, 3, 4]]), Some(7));
        assert_eq!(quorum(&[(2, 7)], &[&[1, 2, 3, 4]]), None);
        assert_eq!(quorum(&[(2, 7), (3, 7), (4, 5)], &[&[1, 2, 3, 4, 5]]), Some(7));
        // A learner's does not count, and without a vote its own does not.
        assert_eq!(quorum(&[(4, 9)], &[&[1, 2, 3]]), None);
        assert_eq!(quorum(&[(2, 7), (3, 9)], &[&[2, 3]]), Some(7));
        assert_eq!(quorum(&[], &[]), None);
        assert_eq!(quorum(&[], &[&[]]), None);
    }

    #[test]
    fn while_voters_change_both_sets_must_have_acknowledged() {
        let noted = [(2, 7), (3, 9), (4, 3)];
        assert_eq!(quorum(&noted, &[&[1, 2, 3], &[1, 2, 4]]), Some(7));
        assert_eq!(quorum(&noted, &[&[1, 2, 3], &[1, 4]]), Some(3));
        assert_eq!(quorum(&noted, &[&[1, 2, 3], &[1, 5]]), None);
    }

    #[test]
    fn a_lease_lasts_as_long_as_a_quorum_has_pledged_less_the_margin_for_clocks() {
        let acks = QuorumAcks::new(PLEDGED);
        let voters = [BTreeSet::from([1, 2, 3])];
        let until = || {
            acks.quorum_pledged_until(1, TERM, &voters, at(10_000))
                .map(Instant::nanos)
        };
        assert_eq!(until(), None);
        acks.record(2, TERM, at(50), None);
        assert_eq!(until(), Some(50 + 90));
        acks.record(3, TERM, at(60), Some(PLEDGED * 4));
        assert_eq!(until(), Some(60 + 360));
        // A shorter one that was given later shortens nothing.
        acks.record(3, TERM, at(70), Some(PLEDGED));
        assert_eq!(until(), Some(60 + 360));
        assert_eq!(acks.quorum_acked_at(1, TERM, &voters, at(10_000)), Some(at(70)));
        // This node's own is needed no longer than that of two others.
        assert_eq!(
            acks.quorum_pledged_until(1, TERM, &voters, at(100)),
            Some(at(50 + 90))
        );
    }

    #[test]
    fn the_newest_request_counts_and_only_of_this_leadership() {
        let acks = QuorumAcks::new(PLEDGED);
        let voters = [BTreeSet::from([1, 2])];
        let since = |term| {
            acks.quorum_acked_at(1, term, &voters, at(100))
                .map(Instant::nanos)
        };
        acks.record(2, TERM, at(9), None);
        // An answer that was overtaken.
        acks.record(2, TERM, at(5), None);
        assert_eq!(since(TERM), Some(9));
        assert_eq!(
            since(TERM + 1),
            None,
            "nobody acknowledged the new leadership yet"
        );
        acks.record(2, TERM + 1, at(20), None);
        acks.record(2, TERM, at(30), None);
        assert_eq!(since(TERM + 1), Some(20), "an answer to the leadership before");
        assert_eq!(since(TERM), None);
        assert_eq!(acks.last_acked(2, TERM + 1), Some(at(20)));
        assert_eq!(acks.last_acked(2, TERM), None);
    }
}
