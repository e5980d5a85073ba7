//! Hooks that are registered while the node runs.
//!
//! Invariant: for the data it makes no difference whether an application registers its hooks before `start` or after
//! it. A hook that copies receives an event for every copy that the node holds; a copy that was confirmed while there
//! was no such hook must be confirmed again; and a clean-up after a rejoin runs before the copies are made.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Node;
use crate::env;
use crate::error::Result;
use crate::hooks::{EventFilter, EventType, Hook, HookId, Rejected};
use crate::model::{Event, EventKind, NodeId};
use crate::state::own_copies;

/// The event of this process's rejoin.
#[derive(Debug, Default)]
pub(super) struct OwnRejoin(Mutex<Option<Arc<Event>>>);

impl OwnRejoin {
    /// Keeps the latest rejoin of `me` among `events`.
    pub(super) fn note(&self, events: &[Arc<Event>], me: &NodeId) {
        let is_own =
            |event: &&Arc<Event>| matches!(&event.kind, EventKind::NodeRejoin(e) if e.node.id == *me);
        if let Some(event) = events.iter().rev().find(is_own) {
            *self.0.lock() = Some(event.clone());
        }
    }

    /// The rejoin event of this `incarnation`, if it was seen.
    fn of(&self, incarnation: u64) -> Option<Arc<Event>> {
        let kept = self.0.lock().clone();
        kept.filter(
            |event| matches!(&event.kind, EventKind::NodeRejoin(e) if e.node.incarnation == incarnation),
        )
    }
}

impl Node {
    /// Adds a hook, at any time. Where the node is a member already, a hook that copies receives an event for every
    /// copy that the node holds. Pending copies, and copies confirmed without a hook, are emitted through the log, so
    /// that such a copy no longer counts where another node has a better one; the events of all others are emitted at
    /// once. A hook that takes rejoins receives this node's own.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped), with the hook.
    pub(crate) fn register_hook(&self, filter: EventFilter, hook: Hook) -> Result<HookId, Rejected> {
        // While this lock is held nothing is applied, so no newer event is emitted first.
        let state = self.applied.state();
        let topology = state.topology();
        let me = topology
            .nodes
            .get(&self.me)
            .filter(|node| node.status.is_serving() && self.applied.incarnation() == Some(node.incarnation));
        let Some(me) = me else {
            return self.hooks.register_after(filter, hook, Vec::new());
        };
        let copies = filter.accepts(EventType::PartitionChange);
        let rejoin = self
            .own_rejoin
            .of(me.incarnation)
            .filter(|_| filter.accepts(EventType::NodeRejoin));
        // A hook that cleans up after a rejoin must not undo what other hooks copied before it was registered.
        let cleans_late = rejoin.is_some() && self.hooks.has_copier();
        let revision = state.revision();
        let mut before: Vec<Arc<Event>> = rejoin.into_iter().collect();
        if copies && !cleans_late && !planted!("late-hook-hears-nothing") {
            let in_doubt = |copy: &crate::model::PartitionCopy| self.confirmations.would_doubt(copy);
            let held = own_copies(topology, &self.me, revision, env::wall_now(), in_doubt);
            before.extend(held.into_iter().map(Arc::new));
        }
        let id = self.hooks.register_after(filter, hook, before)?;
        if cleans_late {
            self.confirmations.doubt_all(revision);
        } else if copies {
            self.confirmations.doubt(revision);
        }
        Ok(id)
    }

    /// Adds a hook that observes every event from now on.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped).
    pub(crate) fn observe(&self, hook: Hook) -> Result<HookId> {
        self.hooks.observe(hook)
    }
}
