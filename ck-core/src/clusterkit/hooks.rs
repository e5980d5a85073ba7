//! Registering hooks and removing them.

use std::time::Duration;

use super::ClusterKit;
use crate::error::{Error, ErrorCode, Result};
use crate::hooks::{EventFilter, EventType, Hook, HookId, HookStats, Rejected, Unregistered};
use crate::model::Event;

impl ClusterKit {
    /// Calls `hook` with every event that `filter` accepts; see [`crate::hooks`] for order, threads and failures. A
    /// hook that takes partition changes copies; when it is registered on a running node it is first called with what
    /// the node holds.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn register_hook(&self, filter: EventFilter, hook: Hook) -> Result<HookId> {
        self.try_register_hook(filter, hook).map_err(Rejected::into_error)
    }

    /// Calls `hook` with every event of one type.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn on(
        &self,
        event: EventType,
        hook: impl Fn(&Event) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<HookId> {
        self.register_hook(EventFilter::only(event), Hook::blocking(hook))
    }

    /// Calls `hook` with every event from now on, to observe: one after the other, in order. Nothing waits for it,
    /// however long it takes: it confirms no copy, and delays no other hook.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`].
    pub fn on_event(
        &self,
        hook: impl Fn(&Event) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<HookId> {
        self.node().observe(Hook::blocking(hook))
    }

    /// Removes a hook. When this returns, no call of it runs or will run, unless the hook is async or this is called
    /// inside a hook: then the hook ends with the call that is running. A deferred call whose function has returned is
    /// not waited for. False when there is no such hook.
    ///
    /// Blocks for as long as a call of the hook takes. Two nodes whose hooks remove each other's hooks would wait for
    /// each other without end: [`ClusterKit::remove_hook_within`] has a deadline.
    pub fn remove_hook(&self, id: HookId) -> bool {
        self.node().hooks().unregister(id) != Unregistered::Unknown
    }

    /// [`ClusterKit::remove_hook`], waiting for at most `timeout`. On success no call of the hook runs or will run, with
    /// the exceptions named there.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] when there is no such hook; [`ErrorCode::Timeout`] when a call of it has not returned: the
    /// hook is removed all the same, and ends with that call.
    pub fn remove_hook_within(&self, id: HookId, timeout: Duration) -> Result<()> {
        let node = self.node();
        let hooks = node.hooks();
        match hooks.unregister_within(id, Some(timeout)) {
            Unregistered::Unknown => Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no {id}, or not any more"),
            )),
            Unregistered::AfterCall if !hooks.in_hook() => Err(Error::new(
                ErrorCode::Timeout,
                format!("{id} is removed, and a call of it has not returned"),
            )),
            Unregistered::Now | Unregistered::AfterCall => Ok(()),
        }
    }

    /// Statistics of every hook.
    pub fn hook_stats(&self) -> Vec<HookStats> {
        self.node().hooks().stats()
    }
}
