//! Lets a simulation observe every batch that a node applies, at the moment when it becomes visible.

use std::cell::RefCell;

use crate::model::Event;
use crate::state::State;

/// One batch of entries that was applied, or one snapshot that was installed.
#[derive(Debug)]
pub struct Applied<'a> {
    /// The node's id.
    pub node: &'a str,
    /// The number that identifies the process of the node.
    pub process: u64,
    /// The revision before the batch.
    pub before: u64,
    /// The state after the batch. The observer must not query the node: applying holds the state lock, so the query
    /// would wait forever.
    pub state: &'a State,
    /// The events of the batch, before any hook receives them.
    pub events: &'a [Event],
    /// True if the state came as a snapshot; the events are then the net change.
    pub snapshot: bool,
}

/// A callback that receives every batch, on the thread that applies it.
pub type Observer = Box<dyn Fn(&Applied<'_>)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Sets the observer of all batches that this thread applies; `None` removes it.
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
