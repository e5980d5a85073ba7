//! How far each follower has acknowledged the log of this leadership (`matchIndex` of the Raft paper, figure 2), and which
//! has lost some of that again.
//!
//! A node whose disk was set back to an earlier state (a snapshot of its machine, a backup) has forgotten entries that count
//! as stored, and votes. openraft takes a follower for one that never forgets: told of a conflict before what the follower has
//! acknowledged it panics, or goes on from a state that cannot be. So it is not told; the node is told, and takes no part.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::types::RaftId;
use crate::env::Instant;

/// A process that stood still handles what waits for it in any order, and the answer to a later request may say that the one
/// before it has not come. That one's answer follows at once. After this time nothing of the kind is left.
const CERTAIN_AFTER: Duration = Duration::from_millis(500);

/// What followers have in one leadership of this node: its latest.
#[derive(Debug, Default)]
pub(super) struct MatchIndex {
    table: Mutex<FollowerTable>,
}

#[derive(Debug, Default)]
struct FollowerTable {
    /// The term of the leadership.
    term: u64,
    /// The last index that each follower has.
    upto: BTreeMap<RaftId, u64>,
    /// Those that seem to have lost some, with what they had, and since when.
    lost: BTreeMap<RaftId, (u64, Instant)>,
}

impl MatchIndex {
    fn table(&self, term: u64) -> MutexGuard<'_, FollowerTable> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if term > table.term {
            *table = FollowerTable {
                term,
                ..FollowerTable::default()
            };
        }
        table
    }

    /// `by` has the log of the leader of `term` up to `index`, durably. Where that is all that it had, it has lost nothing:
    /// the answer that said so was a late one.
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

    /// `by` has not got entry `index` of that log. True where it had, and so has lost it.
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

    /// How far `by` had acknowledged the log of the leader of `term`, where it has certainly lost some of that.
    pub(super) fn lost_by(&self, by: RaftId, term: u64) -> Option<u64> {
        let table = self.table(term);
        let (known, since) = table.lost.get(&by)?;
        (table.term == term && since.elapsed() >= CERTAIN_AFTER).then_some(*known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if half a second had passed.
    fn is_certain(known: &MatchIndex) {
        let mut table = known.table.lock().unwrap();
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
        assert_eq!(known.lost_by(2, 5), None, "the answer may have been a late one");
        is_certain(&known);
        assert_eq!(known.lost_by(2, 5), Some(10));
        assert_eq!(known.lost_by(3, 5), None);
        known.note(2, 5, 9);
        assert_eq!(known.lost_by(2, 5), Some(10));
        // It has it after all.
        known.note(2, 5, 10);
        assert_eq!(known.lost_by(2, 5), None);
        // Found again and again, it is lost since the first time.
        assert!(known.lacks(2, 5, 10));
        is_certain(&known);
        assert!(known.lacks(2, 5, 9));
        assert_eq!(known.lost_by(2, 5), Some(10));
        // What seemed so in an earlier leadership may have been an answer on its way.
        assert_eq!(known.lost_by(2, 4), None);
        assert_eq!(known.lost_by(2, 6), None);
        // Of what an earlier leadership sent the log may have been truncated since.
        known.note(3, 6, 4);
        assert_eq!(known.lost_by(2, 6), None);
        known.note(2, 5, 20);
        assert!(!known.lacks(2, 6, 20) && !known.lacks(2, 5, 20));
    }
}
