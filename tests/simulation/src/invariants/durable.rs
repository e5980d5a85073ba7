//! What was acknowledged survives (DESIGN 4, the invariant; Leader Completeness, Raft dissertation 3.6.3).
//!
//! Clients keep a ledger: every key in it is written once, with "must not exist". At rest every node has each that was
//! acknowledged, at the revision that was promised, and none that was refused.

use std::collections::BTreeMap;

use ck_core::sim::SimNode;

#[derive(Default)]
pub(crate) struct Durable {
    acknowledged: BTreeMap<String, u64>,
    refused: BTreeMap<String, String>,
}

impl Durable {
    pub(crate) fn acknowledged(&mut self, key: String, revision: u64) {
        self.acknowledged.insert(key, revision);
    }

    pub(crate) fn refused(&mut self, key: String, why: String) {
        self.refused.insert(key, why);
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
