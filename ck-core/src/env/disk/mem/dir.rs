//! One folder of the disk in memory: its names, and the changes that a crash may undo.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use super::content::Content;

/// A file, whatever names it has.
pub(super) type Inode = Arc<Mutex<Content>>;
/// The names in a folder.
type Names = BTreeMap<OsString, Inode>;

/// One folder.
#[derive(Default)]
pub(super) struct Dir {
    /// The names as programs see them.
    pub(super) names: Names,
    /// The names that a crash keeps.
    durable: Names,
    /// The changes since the last sync, in order.
    unsynced: Vec<DirChange>,
}

pub(super) enum DirChange {
    Link(OsString, Inode),
    Unlink(OsString),
    Rename(OsString, OsString),
}

impl DirChange {
    fn apply(&self, names: &mut Names) {
        match self {
            DirChange::Link(name, inode) => {
                names.insert(name.clone(), inode.clone());
            }
            DirChange::Unlink(name) => {
                names.remove(name);
            }
            DirChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl Dir {
    pub(super) fn change(&mut self, change: DirChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable = self.names.clone();
    }

    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        let kept = rng.random_range(0..=self.unsynced.len());
        for change in self.unsynced.drain(..).take(kept) {
            change.apply(&mut self.durable);
        }
        self.names = self.durable.clone();
        for inode in self.names.values() {
            inode.lock().crash(rng);
        }
    }
}
