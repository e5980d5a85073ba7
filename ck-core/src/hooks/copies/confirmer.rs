//! Confirms copies: proposes to the log that this node has the data of its partitions. Copies that no hook has
//! confirmed are emitted again once the application has registered a hook that copies, and are then confirmed again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::confirmations::{Confirmations, FinishedCopy, UnconfirmedCopies};
use crate::env;
use crate::model::{CopyState, NodeId};
use crate::raft::{AppliedState, Proposer, is_over};
use crate::state::Command;

/// Timeout of one proposal.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most partitions that one proposal names.
const MAX_BATCH: usize = 4096;
/// Pause before a failed proposal is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Proposes to the log what the hooks of this node have reported of its copies.
pub(crate) struct CopyConfirmer {
    pub(crate) me: NodeId,
    pub(crate) applied: Arc<AppliedState>,
    pub(crate) confirmations: Arc<Confirmations>,
    pub(crate) proposer: Arc<Proposer>,
}

impl CopyConfirmer {
    /// Confirms finished copies, and has covered copies emitted again. Runs until it is aborted.
    pub(crate) async fn run(self) {
        let mut doubted = UnconfirmedCopies::default();
        loop {
            let added = self.confirmations.added.count();
            let applied = self.applied.changed().count();
            let due = self.confirmations.take();
            let topology = self.applied.topology();
            self.confirmations.follow(&topology, &self.me, &mut doubted);
            let abandoned = self.confirmations.take_abandoned(&topology, &self.me);
            if due.is_empty() && !doubted.news && abandoned.is_empty() {
                let anew = async {
                    match doubted.copies.is_empty() {
                        true => std::future::pending().await,
                        // The requested events are about to be applied, or there is no node yet that the data can be
                        // copied from.
                        false => self.applied.changed().after(applied).await,
                    }
                };
                tokio::select! {
                    biased;
                    _ = self.confirmations.added.after(added) => {}
                    _ = anew => {}
                }
                continue;
            }
            if !self.confirm(&due).await || !self.ask_again(&abandoned).await {
                self.confirmations.put_back(&due);
                for (number, since) in abandoned {
                    self.confirmations.abandoned_now().entry(number).or_insert(since);
                }
                env::sleep(RETRY_PAUSE).await;
                continue;
            }
            if doubted.news {
                let copies: Vec<(u32, u64)> = doubted.copies.iter().map(|(n, since)| (*n, *since)).collect();
                if self.ask_again(&copies).await {
                    doubted.news = false;
                } else {
                    env::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Confirms finished copies. False when this must be retried.
    async fn confirm(&self, due: &BTreeMap<u32, FinishedCopy>) -> bool {
        // The assignment may be gone or confirmed already: a copy is confirmed only if it is still awaited, and was
        // last asked for no later than the event that was handled.
        let topology = self.applied.topology();
        for hooked in [true, false] {
            let awaited: Vec<(u32, u64)> = due
                .iter()
                .filter(|(_, copied)| copied.hooked == hooked)
                .filter_map(|(number, copied)| {
                    let copy = topology.partitions.get(*number as usize)?.copy(&self.me)?;
                    let awaited = copy.state == CopyState::Pending || (hooked && copy.unhooked);
                    (awaited && copy.since <= copied.revision).then_some((*number, copy.since))
                })
                .collect();
            let at_once = !hooked && !planted!("confirm-without-a-hook");
            let told = self
                .propose_for_copies(&awaited, |node, incarnation, partitions| Command::Confirm {
                    node,
                    incarnation,
                    partitions,
                    at_once,
                })
                .await;
            if !told {
                return false;
            }
        }
        true
    }

    /// Has the log emit the events of these copies again. False when this must be retried.
    async fn ask_again(&self, doubted: &[(u32, u64)]) -> bool {
        self.propose_for_copies(doubted, |node, incarnation, partitions| Command::Reconfirm {
            node,
            incarnation,
            partitions,
        })
        .await
    }

    async fn propose_for_copies(
        &self,
        copies: &[(u32, u64)],
        command: impl Fn(NodeId, u64, Vec<(u32, u64)>) -> Command,
    ) -> bool {
        let Some(incarnation) = self.applied.incarnation() else {
            return false;
        };
        self.proposer.adopt_session();
        for batch in copies.chunks(MAX_BATCH) {
            let command = command(self.me.clone(), incarnation, batch.to_vec());
            match self.proposer.propose(command, COMMIT_TIMEOUT).await {
                Ok(response) if response.result.is_ok() => {}
                // This process may be about to rejoin as a new incarnation: the retry looks up again which copies are
                // awaited.
                Ok(_) => return false,
                Err(error) if is_over(&error) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
