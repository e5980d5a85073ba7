//! What a node says in public of the process that it is.

use serde::{Deserialize, Serialize};

/// Tells processes apart, and does not tell their numbers: a process's number is its proof that it is that process, when it
/// asks to be let in again, or at another address. Whoever had it could move a live node to wherever he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ProcessTag(u64);

impl ProcessTag {
    /// The tag of a process with this number. Nobody finds the number from it but by trying 2^64 of them.
    pub(crate) fn of(process: u64) -> Self {
        let mut named = b"the tag of ClusterKit process ".to_vec();
        named.extend_from_slice(&process.to_be_bytes());
        let digest = md5::compute(named).0;
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        ProcessTag(u64::from_be_bytes(first))
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
