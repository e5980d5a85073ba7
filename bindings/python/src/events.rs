//! Events that are read instead of told: a queue that a loop empties.

use std::collections::VecDeque;
use std::sync::Arc;

use clusterkit::hooks::{EventFilter, EventType, Hook, HookId};
use clusterkit::model::Event;
use clusterkit::{Result, WeakClusterKit};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::call::{Call, Teller};
use crate::{forks, front, hook};

/// How many events wait for a reader. One that falls behind loses the oldest.
const MAX_WAITING: usize = 1024;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Event>>,
    lost: u64,
    /// True when no event will follow.
    has_ended: bool,
    /// Who waits for the next event, or for the end.
    readers: Vec<Teller>,
}

#[derive(Default)]
struct Shared(Mutex<Queue>);

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let readers = {
            let mut queue = self.0.lock();
            change(&mut queue);
            std::mem::take(&mut queue.readers)
        };
        for reader in readers {
            reader.tell(Ok(()), |py, ()| Ok(py.None()));
        }
    }

    fn push(&self, event: Arc<Event>) {
        self.change(|queue| {
            if queue.waiting.len() == MAX_WAITING {
                queue.waiting.pop_front();
                queue.lost += 1;
            }
            queue.waiting.push_back(event);
        });
    }
}

/// Ends the queue when the hook that feeds it is dropped.
struct Feed(Arc<Shared>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.change(|queue| queue.has_ended = true);
    }
}

/// A queue of events.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct EventQueue {
    queue: Arc<Shared>,
    id: HookId,
    node: WeakClusterKit,
}

impl EventQueue {
    pub(crate) fn open(node: &clusterkit::ClusterKit, filter: EventFilter) -> Result<Self> {
        let queue = Arc::<Shared>::default();
        let feed = Feed(Arc::clone(&queue));
        let registered = node.try_observe(Hook::deferred(move |event, completion| {
            completion.complete(Ok(()));
            if filter.accepts(EventType::of(&event.kind)) {
                feed.0.push(event);
            }
        }));
        Ok(EventQueue {
            queue,
            id: registered.map_err(|rejected| rejected.into_error())?,
            node: node.downgrade(),
        })
    }

    fn end(&self) {
        if let Some(node) = self.node.upgrade() {
            // Its function only fills the queue, so there is nothing to wait for.
            node.remove_hook(self.id);
        }
    }
}

#[pymethods]
impl EventQueue {
    /// Takes what waits: (events, how many were lost before them, whether more may come).
    fn take<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, u64, bool)> {
        front::answer(py, forks::refuse())?;
        let (waiting, lost, has_ended) = {
            let mut queue = self.queue.0.lock();
            let waiting = std::mem::take(&mut queue.waiting);
            (waiting, std::mem::take(&mut queue.lost), queue.has_ended)
        };
        let list = PyList::empty(py);
        for event in waiting {
            list.append(hook::event(py, &event)?)?;
        }
        Ok((list, lost, !has_ended))
    }

    /// Waits until there is something to take, or nothing will come.
    fn wait(&self) -> Call {
        let (call, teller) = Call::begin();
        let mut queue = self.queue.0.lock();
        if queue.waiting.is_empty() && !queue.has_ended {
            queue.readers.push(teller);
        } else {
            drop(queue);
            teller.tell(Ok(()), |py, ()| Ok(py.None()));
        }
        call
    }

    /// Ends the subscription, and the waits of its readers.
    fn close(&self, py: Python<'_>) {
        if forks::forked() {
            return;
        }
        py.detach(|| self.end());
        self.queue.change(|queue| queue.has_ended = true);
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        if !forks::forked() {
            // Takes no part in the interpreter: what it drops is the core's.
            self.end();
        }
    }
}
