//! The replicated state as this node has applied it. Every read on the node uses it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::sync::oneshot;

use crate::env::ChangeNotifier;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{DataEntry, Event, NodeId, StoredData, Topology};
use crate::routing::{ClusterView, SharedView};
use crate::state::{Proposal, Response, State, diff_events};

/// Receives the emitted events in log order.
pub(crate) type EventSink = Box<dyn Fn(Vec<Arc<Event>>) + Send + Sync>;

/// Calls that wait for a revision.
#[derive(Default)]
struct Waiters {
    by_revision: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
    /// Set when the node stops: nobody would wake a call that begins to wait afterwards.
    closed: bool,
}

/// The applied state, the view that lookups read, and the tasks that wait for a revision.
pub(crate) struct AppliedState {
    me: NodeId,
    process: u64,
    state: RwLock<State>,
    view: Arc<SharedView>,
    /// The incarnation of this process; 0 before its join has been applied. Atomic instead of locked, because every
    /// role lookup reads it.
    incarnation: AtomicU64,
    /// Notified after every batch that changed the topology, after every installed snapshot, and when the node stops.
    changed: ChangeNotifier,
    /// Notified after every batch that changed the custom data, and after every installed snapshot.
    data_changed: ChangeNotifier,
    waiters: Mutex<Waiters>,
    sink: OnceLock<EventSink>,
}

impl AppliedState {
    /// The empty state of node `me`, whose current process is identified by `process`.
    pub(crate) fn new(me: NodeId, process: u64) -> Self {
        let state = State::default();
        let view = ClusterView::new(state.topology().clone(), 0, &me);
        AppliedState {
            view: Arc::new(SharedView::new(view)),
            me,
            process,
            state: RwLock::new(state),
            incarnation: AtomicU64::new(0),
            changed: ChangeNotifier::default(),
            data_changed: ChangeNotifier::default(),
            waiters: Mutex::default(),
            sink: OnceLock::new(),
        }
    }

    /// Has `sink` receive every event from now on. The first sink is kept.
    pub(crate) fn emit_to(&self, sink: EventSink) {
        self.sink.get_or_init(|| sink);
    }

    /// Locks the state for reading. Hold the guard briefly: applying waits for it.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The view that lookups read.
    pub(crate) fn view(&self) -> &Arc<SharedView> {
        &self.view
    }

    /// The topology: members, partitions and leader.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.state().topology().clone()
    }

    /// The replicated store. Values are shared by reference count.
    pub(crate) fn stored_data(&self) -> StoredData {
        let state = self.state();
        let copied = |(key, entry): (&String, &DataEntry)| (key.clone(), entry.value.clone());
        StoredData {
            revision: state.revision(),
            custom_data: Some(state.data().iter().map(copied).collect()),
        }
    }

    /// The last applied revision.
    pub(crate) fn revision(&self) -> u64 {
        self.view.load().revision()
    }

    /// Notified whenever the topology may have changed, and when the node stops.
    pub(crate) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }

    /// Notified whenever the custom data may have changed.
    pub(crate) fn data_changed(&self) -> &ChangeNotifier {
        &self.data_changed
    }

    /// This node's incarnation, once the join of this process has been applied. Until then the node has no role,
    /// because the topology describes an earlier process of it.
    pub(crate) fn incarnation(&self) -> Option<u64> {
        match self.incarnation.load(Ordering::Acquire) {
            0 => None,
            incarnation => Some(incarnation),
        }
    }

    /// Acts as if the join of this process had been applied.
    #[cfg(test)]
    pub(crate) fn admit(&self) {
        self.incarnation.store(1, Ordering::Release);
    }

    fn admitted(&self, state: &State) -> bool {
        state.process_of(&self.me) == Some(self.process)
    }

    /// Starts from a stored state. It emits no events, because nothing in it is new.
    pub(crate) fn restore(&self, stored: State) {
        let mut state = self.state.write();
        self.publish(&stored);
        *state = stored;
        drop(state);
        self.changed.notify();
        self.data_changed.notify();
    }

    /// Applies a batch of entries in order. The result has one response for each entry, `None` for an entry without a
    /// command.
    pub(crate) fn apply(&self, batch: &[LogItem]) -> Vec<Option<Response>> {
        let mut told = Vec::new();
        let mut responses = Vec::with_capacity(batch.len());
        let mut state = self.state.write();
        let before = state.topology().clone();
        let mut data_changed = false;
        #[cfg(feature = "sim")]
        let from_revision = state.revision();
        for item in batch {
            let from = told.len();
            let was_admitted = self.admitted(&state);
            responses.push(match item {
                LogItem::Blank(index) => {
                    state.advance(*index);
                    None
                }
                LogItem::Membership(index, voters) => {
                    state.apply_membership(*index, |raft_id| voters.contains(&raft_id));
                    None
                }
                LogItem::Command(index, proposal) => {
                    let response = state.apply(*index, proposal, &mut told);
                    data_changed |= proposal.command.writes_data() && response.result.is_ok();
                    Some(response)
                }
            });
            // Events from before this process joined are history and are not emitted again. Events about its own
            // removal are emitted.
            if told.len() > from && !was_admitted && !self.admitted(&state) {
                told.truncate(from);
            }
        }
        let topology_changed = !Arc::ptr_eq(&before, state.topology());
        drop(before);
        self.publish(&state);
        let revision = state.revision();
        if planted!("drop-an-event") && revision.is_multiple_of(7) && self.process.is_multiple_of(2) {
            told.pop();
        }
        if planted!("events-out-of-order") && self.process.is_multiple_of(2) {
            told.reverse();
        }
        #[cfg(feature = "sim")]
        super::observe::show(&super::observe::Applied {
            node: &self.me,
            process: self.process,
            before: from_revision,
            state: &state,
            events: &told,
            snapshot: false,
        });
        // Emitted under the state lock, so that no later batch can emit its events first.
        self.emit(told);
        drop(state);
        if topology_changed {
            self.changed.notify();
        }
        if data_changed {
            self.data_changed.notify();
        }
        self.wake(revision);
        responses
    }

    /// Replaces the state with a newer one from a snapshot, and emits the net change as events.
    pub(crate) fn install(&self, new: State) {
        let mut state = self.state.write();
        let revision = new.revision();
        if self.admitted(&new) {
            let old = if self.admitted(&state) {
                state.topology().clone()
            } else {
                Arc::new(without(new.topology(), &self.me))
            };
            let at = crate::env::wall_now();
            let events = planted!("snapshot-tells-nothing" => Vec::new(), diff_events(&old, new.topology(), &self.me, revision, at));
            self.publish(&new);
            #[cfg(feature = "sim")]
            super::observe::show(&super::observe::Applied {
                node: &self.me,
                process: self.process,
                before: state.revision(),
                state: &new,
                events: &events,
                snapshot: true,
            });
            self.emit(events);
        } else {
            self.publish(&new);
        }
        *state = new;
        drop(state);
        self.changed.notify();
        self.data_changed.notify();
        self.wake(revision);
    }

    fn publish(&self, state: &State) {
        let before = self.view.load();
        if !Arc::ptr_eq(before.topology(), state.topology()) {
            let node = state
                .topology()
                .nodes
                .get(&self.me)
                .filter(|_| self.admitted(state));
            let incarnation = node.map_or(0, |node| node.incarnation);
            // Stored before the view: a reader trusts a role in the view only if the incarnation matches its own.
            self.incarnation.store(incarnation, Ordering::Release);
        }
        let view = before.updated(state.topology(), state.revision());
        drop(before);
        self.view.store(view);
    }

    fn emit(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if let Some(sink) = self.sink.get() {
            sink(events.into_iter().map(Arc::new).collect());
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock()
    }

    fn wake(&self, revision: u64) {
        let mut waiters = self.waiters();
        if waiters
            .by_revision
            .first_key_value()
            .is_none_or(|(first, _)| *first > revision)
        {
            return;
        }
        let later = waiters.by_revision.split_off(&(revision + 1));
        let due = std::mem::replace(&mut waiters.by_revision, later);
        drop(waiters);
        for waiter in due.into_values().flatten() {
            // Fails if the waiting call was cancelled.
            let _ = waiter.send(());
        }
    }

    /// Waits until this node has applied `revision`.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`] when the node stops first.
    pub(crate) async fn wait_for(&self, revision: u64) -> Result<()> {
        let receiver = {
            let mut waiters = self.waiters();
            // Checked under the lock: `apply` publishes the view before it takes this lock to wake waiters, so no
            // wake-up is missed.
            if self.revision() >= revision {
                return Ok(());
            }
            if waiters.closed {
                return Err(stopped());
            }
            let (sender, receiver) = oneshot::channel();
            let slot = waiters.by_revision.entry(revision).or_default();
            slot.retain(|waiter| !waiter.is_closed());
            slot.push(sender);
            receiver
        };
        receiver.await.map_err(|_| stopped())
    }

    /// Ends every wait, because the node stops. A wait that begins later ends at once.
    pub(crate) fn close(&self) {
        let mut waiters = self.waiters();
        waiters.closed = true;
        waiters.by_revision.clear();
        drop(waiters);
        self.changed.notify();
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the node has stopped")
}

/// One log entry, decoded.
pub(crate) enum LogItem {
    /// An entry without content.
    Blank(u64),
    /// The voters from this entry on.
    Membership(u64, std::collections::BTreeSet<u64>),
    /// A proposal.
    Command(u64, Box<Proposal>),
}

/// The topology without `me`: what this node knew before it joined.
fn without(topology: &Topology, me: &NodeId) -> Topology {
    let mut old = topology.clone();
    old.nodes.remove(me);
    old.leader_epoch = 0;
    for number in 0..old.partitions.len() {
        if old.partitions[number].copy(me).is_some() {
            let partition = Arc::make_mut(&mut old.partitions[number]);
            partition.copies.retain(|copy| copy.node != *me);
            if partition.primary.as_ref() == Some(me) {
                partition.primary = None;
            }
        }
    }
    old
}
