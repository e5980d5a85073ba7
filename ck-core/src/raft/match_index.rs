//! The match index of each follower under this leadership (`matchIndex` of the Raft paper, figure 2), and which
//! followers have lost acknowledged entries.
//!
//! A node whose disk was set back to an earlier state (a snapshot of its machine, a backup) has forgotten votes, and
//! entries that the leader counts as stored. openraft assumes that a follower never forgets: if it learns of a conflict
//! below the match index, it panics or continues from an impossible state. Therefore such a conflict is hidden from
//! openraft. The follower itself is informed instead, and takes no part in the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::types::RaftId;
use crate::env::Instant;

/// A follower that was stalled handles its queued requests in any order, so its answer to a later request may report a
/// conflict although the request before it is only delayed. The answer to the delayed request follows at once. A
/// conflict that persists for this long is a real loss.
const CERTAIN_AFTER: Duration = Duration::from_millis(500);

/// The match indexes of one leadership of this node: its latest.
#[derive(Debug, Default)]
pub(super) struct MatchIndex {
    table: Mutex<FollowerTable>,
}

#[derive(Debug, Default)]
struct FollowerTable {
    /// The term of the leadership.
    term: u64,
    /// The match index of each follower.
    upto: BTreeMap<RaftId, u64>,
    /// The followers that seem to have lost entries: the match index that each had, and when the loss was first seen.
    lost: BTreeMap<RaftId, (u64, Instant)>,
}

impl MatchIndex {
    fn table(&self, term: u64) -> MutexGuard<'_, FollowerTable> {
        let mut table = self.table.lock();
        if term > table.term {
            *table = FollowerTable {
                term,
                ..FollowerTable::default()
            };
        }
        table
    }

    /// Records that `by` has durably stored the log of the leader of `term` up to `index`. If `index` is the known
    /// match index, nothing was lost: the answer that reported a conflict was a late one.
    pub(super) fn note(&self, by: RaftId, term: u64, index: u64) {
        let mut table = self.table(term);
        if table.term == term {
            let known = table.upto.entry(by).or_default();
            *known = index.max(*known);
            if index == *known {
                table.lost.remove(&by);
            }
        }
    }

    /// Records that `by` does not have entry `index` of the log of the leader of `term`. True if it had acknowledged
    /// that entry, and so has lost it.
    pub(super) fn lacks(&self, by: RaftId, term: u64, index: u64) -> bool {
        let mut table = self.table(term);
        let known = table.upto.get(&by).copied().filter(|known| index <= *known);
        match known {
            Some(known) if table.term == term => {
                let since = table.lost.get(&by).map_or_else(Instant::now, |(_, since)| *since);
                table.lost.insert(by, (known, since));
                true
            }
            _ => false,
        }
    }

    /// True if `by` has acknowledged entry `index` of the log of the leader of `term`.
    pub(super) fn reaches(&self, by: RaftId, term: u64, index: u64) -> bool {
        let table = self.table(term);
        table.term == term && table.upto.get(&by).is_some_and(|known| index <= *known)
    }

    /// The match index that `by` had under the leader of `term`, if `by` has certainly lost entries up to it.
    pub(super) fn lost_by(&self, by: RaftId, term: u64) -> Option<u64> {
        let table = self.table(term);
        let (known, since) = table.lost.get(&by)?;
        (table.term == term && since.elapsed() >= CERTAIN_AFTER).then_some(*known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acts as if [`CERTAIN_AFTER`] had passed.
    fn is_certain(known: &MatchIndex) {
        let mut table = known.table.lock();
        for (_, since) in table.lost.values_mut() {
            *since -= CERTAIN_AFTER;
        }
    }

    #[test]
    fn what_was_acknowledged_is_known_under_one_leadership() {
        let known = MatchIndex::default();
        known.note(2, 5, 10);
        known.note(2, 5, 8);
        // A later request arrived before an earlier one.
        assert!(!known.lacks(2, 5, 11));
        assert!(known.lacks(2, 5, 10));
        assert!(known.reaches(2, 5, 10) && !known.reaches(2, 5, 11));
        assert!(!known.reaches(2, 4, 10) && !known.reaches(3, 5, 0));
        assert_eq!(known.lost_by(2, 5), None, "the answer may have been a late one");
        is_certain(&known);
        assert_eq!(known.lost_by(2, 5), Some(10));
        assert_eq!(known.lost_by(3, 5), None);
        known.note(2, 5, 9);
        assert_eq!(known.lost_by(2, 5), Some(10));
        // The follower has the entries after all.
        known.note(2, 5, 10);
        assert_eq!(known.lost_by(2, 5), None);
        // If a loss is seen repeatedly, its time counts from the first sighting.
        assert!(known.lacks(2, 5, 10));
        is_certain(&known);
        assert!(known.lacks(2, 5, 9));
        assert_eq!(known.lost_by(2, 5), Some(10));
        // Under an earlier leadership the conflict may have been a late answer.
        assert_eq!(known.lost_by(2, 4), None);
        assert_eq!(known.lost_by(2, 6), None);
        // Entries of an earlier leadership may have been truncated since.
        known.note(3, 6, 4);
        assert_eq!(known.lost_by(2, 6), None);
        known.note(2, 5, 20);
        assert!(!known.lacks(2, 6, 20) && !known.lacks(2, 5, 20));
    }
}
