//! Where the objects of one handle find its node, until it is closed.

use std::cell::RefCell;
use std::rc::Rc;

use clusterkit::ClusterKit;

use crate::error::{self as js, closed};

/// A node, for the objects of one environment, which has one thread. Empty when the handle was closed.
#[derive(Clone)]
pub(crate) struct NodeSlot(Rc<RefCell<Option<ClusterKit>>>);

impl NodeSlot {
    pub(crate) fn new(node: ClusterKit) -> Self {
        NodeSlot(Rc::new(RefCell::new(Some(node))))
    }

    /// Asks the node; `None` where it was closed.
    #[inline]
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&ClusterKit) -> T) -> Option<T> {
        self.0.borrow().as_ref().map(ask)
    }

    /// The node, for a call that waits.
    ///
    /// # Errors
    /// `STOPPED` where it was closed.
    pub(crate) fn node(&self) -> js::Result<ClusterKit> {
        self.0.borrow().clone().ok_or_else(closed)
    }

    /// Empties the slot.
    pub(crate) fn take(&self) -> Option<ClusterKit> {
        self.0.borrow_mut().take()
    }
}
