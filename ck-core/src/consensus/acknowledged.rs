//! How far each follower has acknowledged the log of this leadership, and which has lost some of that again.
//!
//! A node whose disk was set back to an earlier state (a snapshot of its machine, a backup) has forgotten entries that count
//! as stored, and votes. openraft takes a follower for one that never forgets: told of a conflict before what the follower has
//! acknowledged it panics, or goes on from a state that cannot be. So it is not told; the node is told, and takes no part.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::types::RaftId;

/// The acknowledgements of one leadership of this node: its latest.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The term of the leadership.
    term: u64,
    /// The last index that each follower has.
    upto: BTreeMap<RaftId, u64>,
    /// Those that have lost some, with what they had.
    lost: BTreeMap<RaftId, u64>,
}

impl Acknowledged {
    fn table(&self, term: u64) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if term > table.term {
            *table = Table {
                term,
                ..Table::default()
            };
        }
        table
    }

    /// `by` has the log of the leader of `term` up to `index`, durably.
    pub(super) fn note(&self, by: RaftId, term: u64, index: u64) {
        let mut table = self.table(term);
        if table.term == term {
            let known = table.upto.entry(by).or_default();
            *known = index.max(*known);
        }
    }

    /// `by` has not got entry `index` of that log. True where it had, and so has lost it.
    pub(super) fn lacks(&self, by: RaftId, term: u64, index: u64) -> bool {
        let mut table = self.table(term);
        let known = table.upto.get(&by).copied().filter(|known| index <= *known);
        match known {
            Some(known) if table.term == term => {
                table.lost.insert(by, known);
                true
            }
            _ => false,
        }
    }

    /// How far `by` had acknowledged the log, where it was found to lack some of that.
    pub(super) fn lost_by(&self, by: RaftId) -> Option<u64> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.lost.get(&by).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_is_known_under_one_leadership() {
        let acknowledged = Acknowledged::default();
        acknowledged.note(2, 5, 10);
        acknowledged.note(2, 5, 8);
        // A later request arrived before an earlier one.
        assert!(!acknowledged.lacks(2, 5, 11));
        assert_eq!(acknowledged.lost_by(2), None);
        assert!(acknowledged.lacks(2, 5, 10));
        assert_eq!(
            (acknowledged.lost_by(2), acknowledged.lost_by(3)),
            (Some(10), None)
        );
        // Of what an earlier leadership sent the log may have been truncated since.
        acknowledged.note(3, 6, 4);
        assert_eq!(acknowledged.lost_by(2), None);
        acknowledged.note(2, 5, 20);
        assert!(!acknowledged.lacks(2, 6, 20) && !acknowledged.lacks(2, 5, 20));
    }
}
