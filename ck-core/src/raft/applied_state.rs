//! The replicated state as this node has applied it, which everything else on the node reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::oneshot;

use crate::env::ChangeNotifier;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{Event, NodeId, Topology};
use crate::planted::planted;
use crate::routing::{ClusterView, SharedView};
use crate::state::{Proposal, Response, State, diff_events};

/// Where events go, in log order.
pub(crate) type EventSink = Box<dyn FnMut(Vec<Arc<Event>>) + Send>;

/// The state, the view that lookups read, and the tasks that wait for a revision.
pub(crate) struct AppliedState {
    me: NodeId,
    process: u64,
    state: RwLock<State>,
    view: Arc<SharedView>,
    /// The incarnation of the present process, 0 before the log has admitted it. Read by every lookup that asks
    /// for a role, so it is no lock.
    incarnation: AtomicU64,
    /// Notified after every batch that changed the topology.
    changed: ChangeNotifier,
    /// Notified after every batch that changed the replicated store.
    data_changed: ChangeNotifier,
    waiters: Mutex<BTreeMap<u64, Vec<oneshot::Sender<()>>>>,
    sink: Mutex<EventSink>,
}

impl AppliedState {
    /// The empty state of node `me`, whose present process is named `process`.
    pub(crate) fn new(me: NodeId, process: u64, sink: EventSink) -> Self {
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
            sink: Mutex::new(sink),
        }
    }

    /// The state. Hold it briefly: applying waits for it.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view that lookups read.
    pub(crate) fn view(&self) -> &Arc<SharedView> {
        &self.view
    }

    /// Members, partitions and leader.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.state().topology().clone()
    }

    /// The last revision applied.
    pub(crate) fn revision(&self) -> u64 {
        self.view.load().revision()
    }

    /// Notified whenever the topology changed.
    pub(crate) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }

    /// Notified whenever the replicated store changed.
    pub(crate) fn data_changed(&self) -> &ChangeNotifier {
        &self.data_changed
    }

    /// This node's incarnation, once the join of its present process has been applied. Until then the node has no role:
    /// what the log says is about an earlier process.
    pub(crate) fn incarnation(&self) -> Option<u64> {
        match self.incarnation.load(Ordering::Acquire) {
            0 => None,
            incarnation => Some(incarnation),
        }
    }

    /// As if the log had admitted the present process.
    #[cfg(test)]
    pub(crate) fn admit(&self) {
        self.incarnation.store(1, Ordering::Release);
    }

    fn admitted(&self, state: &State) -> bool {
        state.process_of(&self.me) == Some(self.process)
    }

    /// Starts from a stored state. It emits no events: nothing in it is new.
    pub(crate) fn restore(&self, stored: State) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        self.publish(&stored);
        *state = stored;
        drop(state);
        self.changed.notify();
        self.data_changed.notify();
    }

    /// Applies a batch of entries in order. `None` stands for an entry without a command.
    pub(crate) fn apply(&self, batch: &[Item]) -> Vec<Option<Response>> {
        let mut told = Vec::new();
        let mut responses = Vec::with_capacity(batch.len());
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.topology().clone();
        let mut data_changed = false;
        #[cfg(feature = "sim")]
        let from_revision = state.revision();
        for item in batch {
            let from = told.len();
            let was_admitted = self.admitted(&state);
            responses.push(match item {
                Item::Blank(index) => {
                    state.advance(*index);
                    None
                }
                Item::Membership(index, voters) => {
                    state.apply_membership(*index, |raft_id| voters.contains(&raft_id));
                    None
                }
                Item::Command(index, proposal) => {
                    let response = state.apply(*index, proposal, &mut told);
                    data_changed |= proposal.command.writes_data() && response.result.is_ok();
                    Some(response)
                }
            });
            // Events from before this process joined are history and are not emitted again. Those about its own removal
            // are emitted.
            if told.len() > from && !was_admitted && !self.admitted(&state) {
                told.truncate(from);
            }
        }
        let topology_changed = !Arc::ptr_eq(&before, state.topology());
        drop(before);
        self.publish(&state);
        let revision = state.revision();
        if planted("drop-an-event") && revision.is_multiple_of(7) && self.process.is_multiple_of(2) {
            told.pop();
        }
        if planted("events-out-of-order") && self.process.is_multiple_of(2) {
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
        // Under the state's lock, so that no later batch can emit its events first.
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

    /// Replaces the state by a newer one from a snapshot, and emits the net change.
    pub(crate) fn install(&self, new: State) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let revision = new.revision();
        if self.admitted(&new) {
            let old = if self.admitted(&state) {
                state.topology().clone()
            } else {
                Arc::new(without(new.topology(), &self.me))
            };
            let at = crate::env::wall_now();
            let events = match planted("snapshot-tells-nothing") {
                true => Vec::new(),
                false => diff_events(&old, new.topology(), &self.me, revision, at),
            };
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
            // Before the view: a reader believes a role in the view only where the incarnation is its own.
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
        let events = events.into_iter().map(Arc::new).collect();
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        (*sink)(events);
    }

    fn waiters(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<oneshot::Sender<()>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, revision: u64) {
        let mut waiters = self.waiters();
        if waiters
            .first_key_value()
            .is_none_or(|(first, _)| *first > revision)
        {
            return;
        }
        let later = waiters.split_off(&(revision + 1));
        let due = std::mem::replace(&mut *waiters, later);
        drop(waiters);
        for waiter in due.into_values().flatten() {
            // The receiver is gone where the waiting call was cancelled.
            let _ = waiter.send(());
        }
    }

    /// Waits until `revision` has been applied here.
    pub(crate) async fn wait_for(&self, revision: u64) -> Result<()> {
        let receiver = {
            let mut waiters = self.waiters();
            // Checked under the lock: an applier publishes before it takes the lock to wake.
            if self.revision() >= revision {
                return Ok(());
            }
            let (sender, receiver) = oneshot::channel();
            let slot = waiters.entry(revision).or_default();
            slot.retain(|waiter| !waiter.is_closed());
            slot.push(sender);
            receiver
        };
        receiver
            .await
            .map_err(|_| Error::new(ErrorCode::Stopped, "the node has stopped"))
    }

    /// Ends every wait: the node stops.
    pub(crate) fn close(&self) {
        self.waiters().clear();
        self.changed.notify();
    }
}

/// One log entry, decoded.
pub(crate) enum Item {
    /// Nothing but its index.
    Blank(u64),
    /// The voters from here on.
    Membership(u64, std::collections::BTreeSet<u64>),
    /// A proposal.
    Command(u64, Box<Proposal>),
}

/// The topology without `me`: what this node knew before it had joined.
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
