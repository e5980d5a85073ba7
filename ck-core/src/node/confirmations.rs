//! Confirming copies: when the application has the data, the cluster is told; and when it could not be asked before, it is
//! asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Node;
use crate::env::{self, ChangeNotifier};
use crate::model::{CopyState, PartitionCopy, Partitions, Topology};
use crate::planted::planted;
use crate::raft::is_over;
use crate::state::Command;

/// How long one confirmation may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many partitions one confirmation names.
const MAX_BATCH: usize = 4096;
/// The pause after one that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Partitions whose data this node has got, to be confirmed together, and those of which its hooks must be asked again.
#[derive(Default)]
pub(crate) struct Confirmations {
    due: Mutex<BTreeMap<u32, Copied>>,
    added: ChangeNotifier,
    doubt: Mutex<Unconfirmed>,
}

/// A copy that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copied {
    /// The revision of the event that told the node to copy.
    revision: u64,
    /// A hook said so; there was one.
    hooked: bool,
}

/// Copies of which the hooks of this node have to be told anew, by the revision at which they were told of last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unconfirmed {
    /// Up to here those that are not confirmed, or were without a hook: it was registered at that revision.
    unheard: u64,
    /// Up to here those that an earlier process confirmed without a hook: this one had hooks when it came back.
    inherited: u64,
    /// Up to here all: a hook that cleans up was registered at that revision, after one that copies.
    all: u64,
}

impl Unconfirmed {
    fn covers(self, copy: &PartitionCopy) -> bool {
        let unheard = copy.unhooked || copy.state == CopyState::Pending;
        copy.since <= self.all
            || (unheard && copy.since <= self.unheard)
            || (copy.unhooked && copy.since <= self.inherited)
    }
}

/// The copies in doubt.
#[derive(Debug, Default)]
struct UnconfirmedCopies {
    /// By which doubt.
    doubt: Unconfirmed,
    /// The partitions that were looked at.
    seen: Partitions,
    /// The revision at which this node was told to copy, by partition.
    copies: BTreeMap<u32, u64>,
    /// They are not those that were asked of last.
    news: bool,
}

impl Confirmations {
    pub(crate) fn add(&self, number: u32, revision: u64, hooked: bool) {
        self.due().insert(number, Copied { revision, hooked });
        self.added.notify();
    }

    fn due(&self) -> MutexGuard<'_, BTreeMap<u32, Copied>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt_now(&self) -> MutexGuard<'_, Unconfirmed> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True for a copy that is in doubt as soon as a hook that copies is registered.
    pub(super) fn would_doubt(&self, copy: &PartitionCopy) -> bool {
        let registered_now = Unconfirmed {
            unheard: u64::MAX,
            ..Unconfirmed::default()
        };
        registered_now.covers(copy)
    }

    /// A hook that copies was registered at `revision`.
    pub(super) fn doubt(&self, revision: u64) {
        if planted("late-hook-hears-nothing") {
            return;
        }
        self.doubt_now().unheard = revision;
        self.added.notify();
    }

    /// This process, which has a hook that copies, has been a member since `revision` or before.
    pub(super) fn doubt_inherited(&self, revision: u64) {
        self.doubt_now().inherited = revision;
        self.added.notify();
    }

    /// A hook that cleans up was registered at `revision`, after others had copied.
    pub(super) fn doubt_all(&self, revision: u64) {
        *self.doubt_now() = Unconfirmed {
            unheard: revision,
            all: revision,
            ..Unconfirmed::default()
        };
        // They said so before the clean-up.
        self.due().clear();
        self.added.notify();
    }

    /// Brings the copies in doubt up to date; once there are none the doubt is over. Costs what has changed, for as long as
    /// the doubt is the same.
    fn follow(&self, topology: &Topology, me: &str, doubted: &mut UnconfirmedCopies) {
        let mut doubt = self.doubt_now();
        if doubted.doubt != *doubt {
            *doubted = UnconfirmedCopies {
                doubt: *doubt,
                news: doubted.news || !doubted.copies.is_empty(),
                ..UnconfirmedCopies::default()
            };
        }
        if *doubt == Unconfirmed::default() {
            return;
        }
        for partition in topology.partitions.changed_since(&doubted.seen) {
            let copy = partition.copy(me).filter(|copy| doubt.covers(copy));
            let before = match copy {
                Some(copy) => doubted.copies.insert(partition.number, copy.since),
                None => doubted.copies.remove(&partition.number),
            };
            doubted.news |= before != copy.map(|copy| copy.since);
        }
        doubted.seen = topology.partitions.clone();
        if doubted.copies.is_empty() {
            *doubt = Unconfirmed::default();
        }
    }

    fn take(&self) -> BTreeMap<u32, Copied> {
        std::mem::take(&mut *self.due())
    }

    /// Puts back what could not be confirmed, where nothing newer has come.
    fn put_back(&self, due: &BTreeMap<u32, Copied>) {
        let mut present = self.due();
        for (number, copied) in due {
            present.entry(*number).or_insert(*copied);
        }
    }
}

impl Node {
    /// Confirms what there is to confirm, and has hooks asked of what is in doubt, for as long as the node lives.
    pub(super) async fn confirmation_loop(self: Arc<Self>) {
        let mut doubted = UnconfirmedCopies::default();
        loop {
            let added = self.confirmations.added.count();
            let applied = self.applied.changed().count();
            let due = self.confirmations.take();
            self.confirmations
                .follow(&self.applied.topology(), &self.me, &mut doubted);
            if due.is_empty() && !doubted.news {
                let anew = async {
                    match doubted.copies.is_empty() {
                        true => std::future::pending().await,
                        // What was asked for is about to be applied, or has nobody to copy from yet.
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
            if !self.confirm(&due).await {
                self.confirmations.put_back(&due);
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

    /// False when it has to be tried again.
    async fn confirm(&self, due: &BTreeMap<u32, Copied>) -> bool {
        // The assignment that the event told of may be gone, or confirmed already: only what is still awaited,
        // and was told of at or after its assignment, is confirmed.
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
            let at_once = !hooked && !planted("confirm-without-a-hook");
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

    /// Has the log tell this node of copies anew. False when it has to be tried again.
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
        command: impl Fn(crate::model::NodeId, u64, Vec<(u32, u64)>) -> Command,
    ) -> bool {
        let Ok(member) = self.member() else { return false };
        let Some(incarnation) = self.applied.incarnation() else {
            return false;
        };
        self.adopt_session();
        for batch in copies.chunks(MAX_BATCH) {
            let command = command(self.me.clone(), incarnation, batch.to_vec());
            match member.proposer.propose(command, COMMIT_TIMEOUT).await {
                Ok(response) if response.result.is_ok() => {}
                // It may be about to be admitted anew: what is awaited of it then is looked up again.
                Ok(_) => return false,
                Err(error) if is_over(&error) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
