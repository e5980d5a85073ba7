//! The copies that this node has to confirm, and those about which its hooks must be asked again.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};

use crate::env::ChangeNotifier;
use crate::model::{CopyState, PartitionCopy, Partitions, Topology};

/// Partitions whose data this node has, to be confirmed together, and the copies about which its hooks must be asked
/// again.
#[derive(Default)]
pub(crate) struct Confirmations {
    due: Mutex<BTreeMap<u32, FinishedCopy>>,
    pub(super) added: ChangeNotifier,
    doubt: Mutex<Unconfirmed>,
    /// Copies for which a hook failed that is not called again, by partition, with the revision of the event.
    abandoned: Mutex<BTreeMap<u32, u64>>,
}

/// A finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FinishedCopy {
    /// The revision of the event that asked this node to copy.
    pub(super) revision: u64,
    /// True where a hook reported the copy, false where no hook that copies was registered.
    pub(super) hooked: bool,
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
pub(super) struct UnconfirmedCopies {
    /// The bounds by which they are covered.
    doubt: Unconfirmed,
    /// The partitions as they were when they were last compared.
    seen: Partitions,
    /// The revision at which this node was last asked to copy, by partition.
    pub(super) copies: BTreeMap<u32, u64>,
    /// True where `copies` has changed since the log was last asked to emit them.
    pub(super) news: bool,
}

impl Confirmations {
    pub(crate) fn add(&self, number: u32, revision: u64, hooked: bool) {
        self.due().insert(number, FinishedCopy { revision, hooked });
        self.added.notify();
    }

    /// Has the log emit a copy again for which a hook failed at `revision`, if the copy still counts without a hook's word.
    pub(crate) fn add_abandoned(&self, number: u32, revision: u64) {
        self.abandoned_now().insert(number, revision);
        self.added.notify();
    }

    pub(super) fn abandoned_now(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.abandoned.lock()
    }

    /// The abandoned copies that count without a hook's word, by partition and the revision at which they were emitted last.
    pub(super) fn take_abandoned(&self, topology: &Topology, me: &str) -> Vec<(u32, u64)> {
        let abandoned = std::mem::take(&mut *self.abandoned_now());
        let counts = |(number, revision): (u32, u64)| {
            let copy = topology.partitions.get(number as usize)?.copy(me)?;
            (copy.unhooked && copy.since <= revision).then_some((number, copy.since))
        };
        abandoned.into_iter().filter_map(counts).collect()
    }

    fn due(&self) -> MutexGuard<'_, BTreeMap<u32, FinishedCopy>> {
        self.due.lock()
    }

    fn doubt_now(&self) -> MutexGuard<'_, Unconfirmed> {
        self.doubt.lock()
    }

    /// True for a copy that must be emitted again as soon as a hook that copies is registered.
    pub(crate) fn would_doubt(&self, copy: &PartitionCopy) -> bool {
        let registered_now = Unconfirmed {
            unheard: u64::MAX,
            ..Unconfirmed::default()
        };
        registered_now.covers(copy)
    }

    /// Records that a hook that copies was registered at `revision`.
    pub(crate) fn doubt(&self, revision: u64) {
        planted!("late-hook-hears-nothing", return);
        self.doubt_now().unheard = revision;
        self.added.notify();
    }

    /// Records that this process has a hook that copies, and has been a member since `revision` or earlier.
    pub(crate) fn doubt_inherited(&self, revision: u64) {
        self.doubt_now().inherited = revision;
        self.added.notify();
    }

    /// Records that a hook that cleans up was registered at `revision`, after other hooks had copied.
    pub(crate) fn doubt_all(&self, revision: u64) {
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
    pub(super) fn follow(&self, topology: &Topology, me: &str, doubted: &mut UnconfirmedCopies) {
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

    pub(super) fn take(&self) -> BTreeMap<u32, FinishedCopy> {
        std::mem::take(&mut *self.due())
    }

    /// Puts back copies that could not be confirmed, except where a newer copy of the partition was added meanwhile.
    pub(super) fn put_back(&self, due: &BTreeMap<u32, FinishedCopy>) {
        let mut present = self.due();
        for (number, copied) in due {
            present.entry(*number).or_insert(*copied);
        }
    }
}
