//! The hooks of the application, and those that are registered while the node runs.
//!
//! Invariant: for the data it makes no difference whether an application registers its hooks before `start` or after
//! it. A hook that copies receives an event for every copy that the node holds; a copy that was confirmed while there
//! was no such hook must be confirmed again; and a clean-up after a rejoin runs before the copies are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::context::NodeContext;
use crate::env;
use crate::error::{ErrorCode, Result};
use crate::hooks::{CopyTracker, Driver, EventFilter, EventType, Hook, HookId, Hooks, HooksConfig, Rejected};
use crate::model::{Event, EventKind, NodeId, PartitionCopy};
use crate::state::own_copies;

/// How long running hooks may take to return when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The hooks of a node.
pub(super) struct NodeHooks {
    context: Arc<NodeContext>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) copies: Arc<CopyTracker>,
    /// The event of this process's rejoin, for hooks that are registered after it.
    own_rejoin: Arc<OwnRejoin>,
    /// True once a close has waited for a hook in vain: a stop and the close that follows it wait once between them.
    waited_in_vain: AtomicBool,
}

/// The event of this process's rejoin.
#[derive(Debug, Default)]
struct OwnRejoin(Mutex<Option<Arc<Event>>>);

impl OwnRejoin {
    /// Keeps the latest rejoin of `me` among `events`.
    fn note(&self, events: &[Arc<Event>], me: &NodeId) {
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

impl NodeHooks {
    /// Has the applied state emit its events to new hooks.
    pub(super) fn new(context: Arc<NodeContext>, driver: Driver) -> Self {
        let NodeContext {
            me, applied, logger, ..
        } = &*context;
        let copies = Arc::new(CopyTracker::new(me.clone(), applied.clone(), logger.clone()));
        let mut config = HooksConfig::new(me.clone(), driver, copies.clone());
        config.concurrency = context.options.hook_concurrency as usize;
        let hooks = Arc::new(Hooks::new(config));
        let own_rejoin = Arc::<OwnRejoin>::default();
        // The hooks hold the applied state, so the applied state must not hold the hooks.
        let (receiver, rejoins, myself) = (Arc::downgrade(&hooks), own_rejoin.clone(), me.clone());
        applied.emit_to(Box::new(move |events| {
            rejoins.note(&events, &myself);
            if let Some(hooks) = receiver.upgrade() {
                hooks.push_batch(events);
            }
        }));
        NodeHooks {
            context,
            hooks,
            copies,
            own_rejoin,
            waited_in_vain: AtomicBool::new(false),
        }
    }

    /// The node has started: copies that an earlier process confirmed without a hook are emitted again where this
    /// process has one.
    pub(super) fn started(&self) {
        if self.hooks.has_copier() {
            let revision = self.context.applied.revision();
            self.copies.confirmations.doubt_inherited(revision);
        }
    }

    /// Adds a hook, at any time. Where the node is a member already, a hook that copies receives an event for every
    /// copy that the node holds. Pending copies, and copies confirmed without a hook, are emitted through the log, so
    /// that such a copy no longer counts where another node has a better one; the events of all others are emitted at
    /// once. A hook that takes rejoins receives this node's own.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped), with the hook.
    pub(super) fn register(&self, filter: EventFilter, hook: Hook) -> Result<HookId, Rejected> {
        // While this lock is held nothing is applied, so no newer event is emitted first.
        let applied = &self.context.applied;
        let state = applied.state();
        let topology = state.topology();
        let me = topology
            .nodes
            .get(&self.context.me)
            .filter(|node| node.status.is_serving() && applied.incarnation() == Some(node.incarnation));
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
        let confirmations = &self.copies.confirmations;
        if copies && !cleans_late && !planted!("late-hook-hears-nothing") {
            let in_doubt = |copy: &PartitionCopy| confirmations.would_doubt(copy);
            let held = own_copies(topology, &self.context.me, revision, env::wall_now(), in_doubt);
            before.extend(held.into_iter().map(Arc::new));
        }
        let id = self.hooks.register_after(filter, hook, before)?;
        if cleans_late {
            confirmations.doubt_all(revision);
        } else if copies {
            confirmations.doubt(revision);
        }
        Ok(id)
    }

    async fn close_in_time(&self) -> Result<()> {
        let waited = self.waited_in_vain.load(Ordering::Acquire);
        let timeout = if waited { Duration::ZERO } else { CLOSE_TIMEOUT };
        let closed = self.hooks.close_async(timeout).await;
        let in_vain = closed
            .as_ref()
            .is_err_and(|error| error.code() == ErrorCode::Timeout);
        self.waited_in_vain.fetch_or(in_vain, Ordering::AcqRel);
        closed
    }

    /// Calls no further hook, and waits for those that run, where no earlier close has done so in vain.
    pub(super) async fn close(&self) -> Result<()> {
        if env::runtime::simulated() {
            // In the simulator hooks are tasks, which progress only while no code blocks.
            return self.close_in_time().await;
        }
        // Dropping what hooks hold and joining their threads may take long, so both run on a blocking thread. The wait
        // for a hook that does not return does not, because blocking threads are few.
        let hooks = self.hooks.clone();
        env::blocking_thread(move || hooks.shut()).await?;
        let closed = self.close_in_time().await;
        let hooks = self.hooks.clone();
        env::blocking_thread(move || hooks.join_threads()).await?;
        closed
    }
}
