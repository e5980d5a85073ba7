//! Who acknowledged this leader, and when what they acknowledged was sent: its lease and its reads rest on that.
//!
//! openraft keeps such times, too, but may take them from a request that nobody answered: an answer says up to which
//! entry a follower has the log, and it takes the newest request that ends there. One that only tells what is committed
//! ends where the one before did. A leader that was stopped in between would wake up and believe in its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::types::RaftId;
use crate::env::{Instant, Signal};

/// The acknowledgements of one leadership of this node: its latest.
#[derive(Debug, Default)]
pub(super) struct Acks {
    table: Mutex<Table>,
    changed: Signal,
}

#[derive(Debug, Default)]
struct Table {
    /// The term of the leadership.
    term: u64,
    /// When the newest request was sent that was acknowledged.
    sent: BTreeMap<RaftId, Instant>,
}

impl Acks {
    /// Notes that `by` took what this node, as the leader of `term`, had sent at `sent`: it follows this leader, and
    /// keeps still for a lease that began no earlier.
    pub(super) fn note(&self, by: RaftId, term: u64, sent: Instant) {
        let mut table = self.table();
        if term < table.term {
            return;
        }
        if term > table.term {
            *table = Table {
                term,
                sent: BTreeMap::new(),
            };
        }
        let newest = table.sent.entry(by).or_insert(sent);
        *newest = sent.max(*newest);
        drop(table);
        self.changed.notify();
    }

    /// When the newest request of `term` was sent that `by` acknowledged.
    pub(super) fn of(&self, by: RaftId, term: u64) -> Option<Instant> {
        let table = self.table();
        table.sent.get(&by).copied().filter(|_| table.term == term)
    }

    /// The latest moment since which a quorum has acknowledged something that `me` sent as the leader of `term`: a quorum
    /// of each of `configs`, of which there are two while the voters change. `me` itself does so at any moment, `now`.
    pub(super) fn quorum<'c>(
        &self,
        me: RaftId,
        term: u64,
        configs: impl IntoIterator<Item = &'c BTreeSet<RaftId>>,
        now: Instant,
    ) -> Option<Instant> {
        let table = self.table();
        let of = |voter: &RaftId| match *voter == me {
            true => Some(now),
            false => table.sent.get(voter).copied().filter(|_| table.term == term),
        };
        let newest_of_quorum = |voters: &BTreeSet<RaftId>| {
            // There are a few voters at most: comparing all with all needs no memory.
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

    /// Told at every acknowledgement.
    pub(super) fn changed(&self) -> &Signal {
        &self.changed
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 3;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// What a quorum of `configs` has acknowledged to node 1, after what `noted` says.
    fn quorum(noted: &[(RaftId, u64)], configs: &[&[RaftId]]) -> Option<u64> {
        let acks = Acks::default();
        for (by, sent) in noted {
            acks.note(*by, TERM, at(*sent));
        }
        let configs: Vec<BTreeSet<RaftId>> = configs
            .iter()
            .map(|config| config.iter().copied().collect())
            .collect();
        acks.quorum(1, TERM, &configs, at(100)).map(Instant::nanos)
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
    fn the_newest_request_counts_and_only_of_this_leadership() {
        let acks = Acks::default();
        let voters = [BTreeSet::from([1, 2])];
        let since = |term| acks.quorum(1, term, &voters, at(100)).map(Instant::nanos);
        acks.note(2, TERM, at(9));
        // An answer that was overtaken.
        acks.note(2, TERM, at(5));
        assert_eq!(since(TERM), Some(9));
        assert_eq!(
            since(TERM + 1),
            None,
            "nobody acknowledged the new leadership yet"
        );
        acks.note(2, TERM + 1, at(20));
        acks.note(2, TERM, at(30));
        assert_eq!(since(TERM + 1), Some(20), "an answer to the leadership before");
        assert_eq!(since(TERM), None);
        assert_eq!(acks.of(2, TERM + 1), Some(at(20)));
        assert_eq!(acks.of(2, TERM), None);
    }
}
