//! Every node applies the same commands in the same order: the same revision is the same state (State
//! Machine Safety, Raft dissertation 3.2).

use std::collections::BTreeMap;

use clusterkit::state::State;

use crate::trace::FNV;

/// Every so many revisions are compared: encoding a state takes longer than applying a command.
const EVERY: u64 = 16;

#[derive(Default)]
pub(crate) struct Digests {
    seen: BTreeMap<u64, (u64, String)>,
}

impl Digests {
    pub(crate) fn check(&mut self, node: &str, state: &State) -> Result<(), String> {
        let revision = state.revision();
        if !revision.is_multiple_of(EVERY) {
            return Ok(());
        }
        let bytes = state.encode().map_err(|error| error.to_string())?;
        self.compare(node, revision, &bytes)
    }

    /// The state of a node at rest.
    pub(crate) fn compare(&mut self, node: &str, revision: u64, bytes: &[u8]) -> Result<(), String> {
        let hash = hash(bytes);
        let (known, by) = self
            .seen
            .entry(revision)
            .or_insert_with(|| (hash, node.to_owned()));
        if *known == hash {
            return Ok(());
        }
        Err(format!("{node} and {by} differ at revision {revision}"))
    }
}

/// FNV over words in the place of bytes: states have megabytes, and are compared thousands of times.
fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let (words, rest) = bytes.as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let words = words.chain(rest.iter().map(|byte| u64::from(*byte)));
    words.fold(FNV ^ bytes.len() as u64, |hash, word| {
        (hash ^ word).wrapping_mul(PRIME)
    })
}
