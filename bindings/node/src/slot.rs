//! Where the objects of one handle find its node or its client, until it is closed.

use std::cell::RefCell;
use std::rc::Rc;

use clusterkit::env;

use crate::error::{self as js, closed};

/// A node or a client, for the objects of one environment, which has one thread. Empty when the handle was closed.
pub(crate) struct Slot<T>(Rc<RefCell<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Slot(self.0.clone())
    }
}

impl<T: Clone + Send + 'static> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Slot(Rc::new(RefCell::new(Some(value))))
    }

    /// Asks what is there; `None` where it was closed.
    #[inline]
    pub(crate) fn ask<A>(&self, ask: impl FnOnce(&T) -> A) -> Option<A> {
        self.0.borrow().as_ref().map(ask)
    }

    /// What is there, for a call that waits.
    ///
    /// # Errors
    /// `STOPPED` where it was closed.
    pub(crate) fn get(&self) -> js::Result<T> {
        self.0.borrow().clone().ok_or_else(closed)
    }

    /// Empties the slot. Its content is dropped on a thread of its own: with the last node of a process the runtime ends, which
    /// may wait for a thread of it that looks a name up, and the event loop must not.
    pub(crate) fn empty(&self) {
        if let Some(value) = self.0.borrow_mut().take() {
            // Where there is no thread to be had, this one drops it.
            drop(env::spawn_thread("ck-drop", move || drop(value)));
        }
    }
}
