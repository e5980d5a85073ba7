//! What the bindings for other languages need and applications do not.

use futures_util::future::BoxFuture;

use super::ClusterKit;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::hooks::{EventFilter, Hook, HookId, Rejected};
use crate::node::Phase;

impl ClusterKit {
    /// [`ClusterKit::register_hook`] for bindings: on failure it gives the hook back, so that its owner keeps what it
    /// captures. On success no part of the hook is left on this thread: when a stop has returned, the hook is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    #[doc(hidden)]
    pub fn try_register_hook(&self, filter: EventFilter, hook: Hook) -> Result<HookId, Rejected> {
        self.node().register_hook(filter, hook)
    }

    /// [`ClusterKit::on_event`] for bindings, as [`ClusterKit::try_register_hook`].
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    #[doc(hidden)]
    pub fn try_observe(&self, hook: Hook) -> Result<HookId, Rejected> {
        self.node().try_observe(hook)
    }

    /// True inside a hook of this node. A binding whose calls run on another thread than their caller's asks before it
    /// begins one that waits for hooks.
    #[doc(hidden)]
    pub fn in_hook(&self) -> bool {
        self.node().hooks().in_hook()
    }

    /// Runs a future on the runtime, to its end.
    #[doc(hidden)]
    pub fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.inner.runtime.spawn_to_the_end(future);
    }

    /// True once the node has begun to start, also when it has stopped since.
    #[doc(hidden)]
    pub fn was_started(&self) -> bool {
        self.node().phase() != Phase::Created
    }

    /// True when everything is closed.
    #[doc(hidden)]
    pub fn has_stopped(&self) -> bool {
        self.node().has_stopped()
    }
}
