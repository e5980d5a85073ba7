//! Confirming copies: when the application has the data, the cluster is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Node;
use crate::env::{self, Signal};
use crate::error::ErrorCode;
use crate::model::CopyState;
use crate::state::Command;

/// How long one confirmation may take.
const PROPOSE: Duration = Duration::from_secs(5);
/// How many partitions one confirmation names.
const BATCH: usize = 4096;
/// The pause after one that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Partitions whose data this node has got, to be confirmed together.
#[derive(Default)]
pub(crate) struct Confirmations {
    /// Partition number to the revision of the event that told the node to copy.
    due: Mutex<BTreeMap<u32, u64>>,
    added: Signal,
}

impl Confirmations {
    pub(crate) fn add(&self, number: u32, revision: u64) {
        self.due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, revision);
        self.added.notify();
    }

    fn take(&self) -> BTreeMap<u32, u64> {
        std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be confirmed, where nothing newer has come.
    fn put_back(&self, due: &BTreeMap<u32, u64>) {
        let mut present = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, revision) in due {
            present.entry(*number).or_insert(*revision);
        }
    }
}

impl Node {
    /// Confirms what there is to confirm, for as long as the node lives.
    pub(super) async fn confirm_copies(self: Arc<Self>) {
        loop {
            let seen = self.confirmations.added.count();
            let due = self.confirmations.take();
            if due.is_empty() {
                self.confirmations.added.after(seen).await;
                continue;
            }
            if !self.confirm(&due).await {
                self.confirmations.put_back(&due);
                env::sleep(PAUSE).await;
            }
        }
    }

    /// False when it has to be tried again.
    async fn confirm(&self, due: &BTreeMap<u32, u64>) -> bool {
        let Ok(member) = self.member() else { return false };
        let Some(incarnation) = self.replica.incarnation() else {
            return false;
        };
        self.adopt_session();
        let topology = self.replica.topology();
        // The assignment that the event told of may be gone, or confirmed already: only what is still awaited,
        // and was told of at or after its assignment, is confirmed.
        let awaited: Vec<(u32, u64)> = due
            .iter()
            .filter_map(|(number, revision)| {
                let copy = topology.partitions.get(*number as usize)?.copy(&self.me)?;
                (copy.state == CopyState::Pending && copy.since <= *revision).then_some((*number, copy.since))
            })
            .collect();
        for batch in awaited.chunks(BATCH) {
            let command = Command::Confirm {
                node: self.me.clone(),
                incarnation,
                partitions: batch.to_vec(),
                at_once: !self.hooks.tells_changes(),
            };
            match member.proposer.propose(command, PROPOSE).await {
                Ok(response) if response.result.is_ok() => {}
                // It may be about to be admitted anew: what is awaited of it then is looked up again.
                Ok(_) => return false,
                Err(error) if error.code() == ErrorCode::Stopped => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
