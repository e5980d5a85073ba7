//! Confirms copies: proposes to the log that this node has the data of its partitions. Copies that no hook has
//! confirmed are emitted again once the application has registered a hook that copies, and are then confirmed again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::Node;
use crate::env::{self, ChangeNotifier};
use crate::model::{CopyState, PartitionCopy, Partitions, Topology};
use crate::raft::is_over;
use crate::state::Command;

/// Timeout of one proposal.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most partitions that one proposal names.
const MAX_BATCH: usize = 4096;
/// Pause before a failed proposal is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Partitions whose data this node has, to be confirmed together, and the copies about which its hooks must be asked
/// again.
#[derive(Default)]
pub(crate) struct Confirmations {
    due: Mutex<BTreeMap<u32, Copied>>,
    added: ChangeNotifier,
    doubt: Mutex<Unconfirmed>,
    /// Copies for which a hook failed that is not called again, by partition, with the revision of the event.
    abandoned: Mutex<BTreeMap<u32, u64>>,
}

/// A finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copied {
    /// The revision of the event that asked this node to copy.
    revision: u64,
    /// True where a hook reported the copy, false where no hook that copies was registered.
    hooked: bool,
}

/// Which copies the log must emit to this node's hooks again. Each field covers copies by the revision (`since`) at
/// which they were last emitted, up to and including the field's value; 0 covers none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unconfirmed {
    /// Covers copies that are pending or were confirmed without a hook: a hook that copies was registered at this
    /// revision.
    unheard: u64,
    /// Covers copies that an earlier process confirmed without a hook: this process had a hook that copies when it
    /// rejoined.
    inherited: u64,
    /// Covers every copy: a hook that cleans up was registered at this revision, after a hook that copies.
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

/// The copies that [`Unconfirmed`] covers at present.
#[derive(Debug, Default)]
struct UnconfirmedCopies {
    /// The bounds by which they are covered.
    doubt: Unconfirmed,
    /// The partitions as they were when they were last compared.
    seen: Partitions,
    /// The revision at which this node was last asked to copy, by partition.
    copies: BTreeMap<u32, u64>,
    /// True where `copies` has changed since the log was last asked to emit them.
    news: bool,
}

impl Confirmations {
    pub(crate) fn add(&self, number: u32, revision: u64, hooked: bool) {
        self.due().insert(number, Copied { revision, hooked });
        self.added.notify();
    }

    /// Has the log emit a copy again for which a hook failed at `revision`, if the copy still counts without a hook's word.
    pub(crate) fn add_abandoned(&self, number: u32, revision: u64) {
        self.abandoned_now().insert(number, revision);
        self.added.notify();
    }

    fn abandoned_now(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.abandoned.lock()
    }

    /// The abandoned copies that count without a hook's word, by partition and the revision at which they were emitted last.
    fn take_abandoned(&self, topology: &Topology, me: &str) -> Vec<(u32, u64)> {
        let abandoned = std::mem::take(&mut *self.abandoned_now());
        let counts = |(number, revision): (u32, u64)| {
            let copy = topology.partitions.get(number as usize)?.copy(me)?;
            (copy.unhooked && copy.since <= revision).then_some((number, copy.since))
        };
        abandoned.into_iter().filter_map(counts).collect()
    }

    fn due(&self) -> MutexGuard<'_, BTreeMap<u32, Copied>> {
        self.due.lock()
    }

    fn doubt_now(&self) -> MutexGuard<'_, Unconfirmed> {
        self.doubt.lock()
    }

    /// True for a copy that must be emitted again as soon as a hook that copies is registered.
    pub(super) fn would_doubt(&self, copy: &PartitionCopy) -> bool {
        let registered_now = Unconfirmed {
            unheard: u64::MAX,
            ..Unconfirmed::default()
        };
        registered_now.covers(copy)
    }

    /// Records that a hook that copies was registered at `revision`.
    pub(super) fn doubt(&self, revision: u64) {
        planted!("late-hook-hears-nothing", return);
        self.doubt_now().unheard = revision;
        self.added.notify();
    }

    /// Records that this process has a hook that copies, and has been a member since `revision` or earlier.
    pub(super) fn doubt_inherited(&self, revision: u64) {
        self.doubt_now().inherited = revision;
        self.added.notify();
    }

    /// Records that a hook that cleans up was registered at `revision`, after other hooks had copied.
    pub(super) fn doubt_all(&self, revision: u64) {
        *self.doubt_now() = Unconfirmed {
            unheard: revision,
            all: revision,
            ..Unconfirmed::default()
        };
        // These copies were finished before the clean-up, so they must not be confirmed.
        self.due().clear();
        self.added.notify();
    }

    /// Brings `doubted` up to date with the topology, and clears the bounds once they cover no copy. While the bounds
    /// stay the same, only partitions that have changed are visited.
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

    /// Puts back copies that could not be confirmed, except where a newer copy of the partition was added meanwhile.
    fn put_back(&self, due: &BTreeMap<u32, Copied>) {
        let mut present = self.due();
        for (number, copied) in due {
            present.entry(*number).or_insert(*copied);
        }
    }
}

impl Node {
    /// Confirms finished copies, and has covered copies emitted again, for as long as the node runs.
    pub(super) async fn confirmation_loop(self: Arc<Self>) {
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
    async fn confirm(&self, due: &BTreeMap<u32, Copied>) -> bool {
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
