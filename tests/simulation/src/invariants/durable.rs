//! What was acknowledged survives (Leader Completeness, Raft dissertation 3.6.3).
//!
//! Clients keep a ledger: every key in it is written once, with "must not exist". At rest every node has each that was
//! acknowledged, at the revision that was promised, and none that was refused. Nobody is told "it may have happened" of one
//! that was never given to Raft nor sent to another node.

use std::collections::{BTreeMap, BTreeSet};

use clusterkit::sim::SimNode;

fn memchr_all(wanted: u8, bytes: &[u8]) -> impl Iterator<Item = usize> {
    let found = bytes.iter().enumerate().filter(move |(_, byte)| **byte == wanted);
    found.map(|(at, _)| at)
}

#[derive(Default)]
pub(crate) struct Durable {
    acknowledged: BTreeMap<String, u64>,
    refused: BTreeMap<String, String>,
    /// The pages that left their proposer.
    sent: BTreeSet<String>,
}

impl Durable {
    pub(crate) fn acknowledged(&mut self, key: String, revision: u64) {
        self.acknowledged.insert(key, revision);
    }

    pub(crate) fn refused(&mut self, key: String, why: String) {
        self.refused.insert(key, why);
    }

    /// Notes the pages that are named in what leaves a node.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        for at in memchr_all(b'w', bytes) {
            let page = &bytes[at..];
            let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let client = digits(&page[1..]);
            if client == 0 || page.get(1 + client) != Some(&b'-') {
                continue;
            }
            let number = digits(&page[client + 2..]);
            if number >= 5
                && let Ok(key) = std::str::from_utf8(&page[..client + 2 + number])
            {
                self.sent.insert(key.to_owned());
            }
        }
    }

    /// False for a page that never left its proposer; nobody knows of other keys.
    pub(crate) fn may_have_happened(&self, key: &str) -> bool {
        !key.starts_with('w') || self.sent.contains(key)
    }

    pub(crate) fn count(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn check(&self, node: &SimNode) -> Result<(), String> {
        for (key, revision) in &self.acknowledged {
            match node.data(key) {
                Some(entry) if entry.revision == *revision => {}
                Some(entry) => {
                    return Err(format!(
                        "{} has {key} of revision {}, acknowledged was {revision}",
                        node.id(),
                        entry.revision
                    ));
                }
                None => return Err(format!("{} lost {key}, acknowledged at {revision}", node.id())),
            }
        }
        for (key, why) in &self.refused {
            if let Some(entry) = node.data(key) {
                return Err(format!(
                    "{} has {key} of revision {}, which was refused: {why}",
                    node.id(),
                    entry.revision
                ));
            }
        }
        Ok(())
    }
}
