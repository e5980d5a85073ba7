//! A disk that hangs: calls to it return once it does not hang any more.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::env::ChangeNotifier;
use crate::env::runs_in_place;

/// Whether the disk hangs. Clones belong to the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Hang(Arc<HangState>);

#[derive(Debug, Default)]
struct HangState {
    hangs: Mutex<bool>,
    /// Wakes threads when the disk does not hang any more.
    ended: Condvar,
    /// Wakes tasks.
    changed: ChangeNotifier,
}

impl Hang {
    fn hangs(&self) -> MutexGuard<'_, bool> {
        self.0.hangs.lock()
    }

    pub(super) fn set(&self, hangs: bool) {
        *self.hangs() = hangs;
        self.0.ended.notify_all();
        self.0.changed.notify();
    }

    /// Blocks while the disk hangs. Where one thread runs everything, it uses [`Hang::wait_responsive`] instead.
    pub(super) fn block(&self) {
        if runs_in_place() {
            return;
        }
        self.0.ended.wait_while(&mut self.hangs(), |hangs| *hangs);
    }

    /// Returns when the disk does not hang.
    pub(super) async fn wait_responsive(&self) {
        loop {
            let seen = self.0.changed.count();
            if !*self.hangs() {
                return;
            }
            self.0.changed.after(seen).await;
        }
    }
}
