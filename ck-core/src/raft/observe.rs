//! What a simulation sees of every batch that a node applies, at the very moment at which it becomes visible.

use std::cell::RefCell;

use crate::model::Event;
use crate::state::State;

/// One batch, applied or installed.
#[derive(Debug)]
pub struct Applied<'a> {
    /// The node.
    pub node: &'a str,
    /// The number that names its process.
    pub process: u64,
    /// The revision before.
    pub before: u64,
    /// The state now. What asks the node for it would wait for ever: the batch holds the lock.
    pub state: &'a State,
    /// What is told of it, before any hook hears it.
    pub events: &'a [Event],
    /// It came as a snapshot, and the events are the net change.
    pub snapshot: bool,
}

/// Is called with every batch, on the thread that applies it.
pub type Observer = Box<dyn Fn(&Applied<'_>)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Has every batch that is applied on this thread shown to `observer`, or to nobody.
pub fn observe(observer: Option<Observer>) {
    OBSERVER.with(|present| *present.borrow_mut() = observer);
}

pub(super) fn show(applied: &Applied<'_>) {
    OBSERVER.with(|observer| {
        if let Some(observer) = &*observer.borrow() {
            observer(applied);
        }
    });
}
