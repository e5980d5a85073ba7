//! Hooks that observe: a thread each, which enters the interpreter once for all that waits.
//!
//! While another thread computes, entering takes as long as that may keep the interpreter, 5 ms: for each event it would be
//! too long. So the core is told at once that an event was observed, until [`MAX_AHEAD`] wait here.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use clusterkit::hooks::{Hook, HookCompletion};
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex};

use crate::gate;
use crate::hook::{WeakFunction, call};

/// How many events wait here before the core keeps the others, in its own bounded queue.
const MAX_AHEAD: usize = 4096;

thread_local! {
    /// The node whose events this thread tells; 0 on other threads.
    static OBSERVES: Cell<usize> = const { Cell::new(0) };
}

/// True on a thread that tells observers of the node with this key.
pub(crate) fn is_inside(node: usize) -> bool {
    OBSERVES
        .try_with(Cell::get)
        .is_ok_and(|observed| observed == node && node != 0)
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Arc<Event>, Option<HookCompletion>)>,
    /// True when no event will follow.
    is_fed: bool,
    has_ended: bool,
}

#[derive(Default)]
pub(crate) struct Observer {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Ends the observer when the hook that feeds it is dropped.
struct Feed(Arc<Observer>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.queue.lock().is_fed = false;
        self.0.changed.notify_all();
    }
}

impl Observer {
    /// Starts an observer of the node with the key `node`: the hook that feeds it, and what its end can be waited for with.
    pub(crate) fn start(function: WeakFunction, node: usize) -> Result<(Hook, Arc<Self>)> {
        let observer = Arc::new(Observer::default());
        observer.queue.lock().is_fed = true;
        let own = Arc::clone(&observer);
        clusterkit::env::spawn_thread("ck-py-observe", move || {
            OBSERVES.set(node);
            own.run(&function);
        })
        .map_err(|error| Error::new(ErrorCode::Io, format!("start a thread for a hook: {error}")))?;
        let feed = Feed(Arc::clone(&observer));
        let hook = Hook::deferred(move |event, completion| feed.0.push(event, completion));
        Ok((hook, observer))
    }

    fn push(&self, event: Arc<Event>, completion: HookCompletion) {
        let mut queue = self.queue.lock();
        let at_once = queue.waiting.len() < MAX_AHEAD;
        let (now, later) = if at_once {
            (Some(completion), None)
        } else {
            (None, Some(completion))
        };
        queue.waiting.push_back((event, later));
        drop(queue);
        self.changed.notify_all();
        if let Some(completion) = now {
            completion.complete(Ok(()));
        }
    }

    fn run(&self, function: &WeakFunction) {
        while self.wait() {
            let entered = gate::attach(|py| {
                loop {
                    let next = self.queue.lock().waiting.pop_front();
                    let Some((event, completion)) = next else {
                        break;
                    };
                    let observed = call(py, function, &event);
                    if let Some(completion) = completion {
                        py.detach(|| completion.complete(observed));
                    }
                }
            });
            if entered.is_none() {
                break;
            }
        }
        let mut queue = self.queue.lock();
        queue.has_ended = true;
        let left = std::mem::take(&mut queue.waiting);
        drop(queue);
        self.changed.notify_all();
        drop(left);
    }

    /// Waits for an event; false when none will come.
    fn wait(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() {
            if !queue.is_fed {
                return false;
            }
            self.changed.wait(&mut queue);
        }
        true
    }

    /// Waits until all has been told. False when that takes longer than `timeout`.
    pub(crate) fn join(&self, deadline: std::time::Instant) -> bool {
        let mut queue = self.queue.lock();
        while !queue.has_ended {
            if self.changed.wait_until(&mut queue, deadline).timed_out() {
                return false;
            }
        }
        true
    }
}
