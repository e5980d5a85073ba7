//! The public name of a node's process.

use serde::{Deserialize, Serialize};

/// Tells processes apart without revealing their numbers. The number of a process is its proof of identity when it
/// joins again, or from another address: a client that knew the number could move a live node to any address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ProcessTag(u64);

impl ProcessTag {
    /// The tag of the process with this number. Finding the number from it takes a search through 2^64 numbers.
    pub(crate) fn of(process: u64) -> Self {
        let mut named = b"the tag of ClusterKit process ".to_vec();
        named.extend_from_slice(&process.to_be_bytes());
        let digest = md5::compute(named).0;
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        ProcessTag(u64::from_be_bytes(first))
    }

    /// The number that everybody is told.
    #[cfg(feature = "sim")]
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_and_their_numbers_kept() {
        assert_eq!(ProcessTag::of(7), ProcessTag::of(7));
        assert_ne!(ProcessTag::of(7), ProcessTag::of(8));
        assert!((0..1000).all(|process| ProcessTag::of(process) != ProcessTag(process)));
    }
}
