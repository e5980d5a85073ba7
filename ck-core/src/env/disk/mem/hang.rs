//! A disk that does not answer: what is asked of it ends when it does again.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::env::ChangeNotifier;
use crate::env::runtime::simulated;

/// Whether the disk hangs. Clones are of the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Hang(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    hangs: Mutex<bool>,
    answers: Condvar,
    /// The same for tasks.
    changed: ChangeNotifier,
}

impl Hang {
    fn hangs(&self) -> MutexGuard<'_, bool> {
        self.0.hangs.lock()
    }

    pub(super) fn set(&self, hangs: bool) {
        *self.hangs() = hangs;
        self.0.answers.notify_all();
        self.0.changed.notify();
    }

    /// Blocks for as long as the disk hangs; a simulation has one thread, and waits with [`Hang::answers`] instead.
    pub(super) fn block(&self) {
        if simulated() {
            return;
        }
        self.0.answers.wait_while(&mut self.hangs(), |hangs| *hangs);
    }

    /// Returns when the disk answers.
    pub(super) async fn answers(&self) {
        loop {
            let seen = self.0.changed.count();
            if !*self.hangs() {
                return;
            }
            self.0.changed.after(seen).await;
        }
    }
}
