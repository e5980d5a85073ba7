//! Knowing whether this thread is inside a hook, and of which cluster handle.

use std::cell::{Cell, RefCell};

thread_local! {
    /// The handles whose hooks this thread is inside of, innermost last: a hook of one cluster may poll a
    /// future that runs a hook of another.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static HOOK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread does nothing but run hooks: what waits keeps nobody from going on.
pub(super) fn this_is_a_hook_thread() {
    HOOK_THREAD.set(true);
}

/// True on a thread that does nothing but run hooks.
pub(crate) fn on_hook_thread() -> bool {
    HOOK_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Marks this thread as inside a hook of a handle until it is dropped.
#[derive(Debug)]
pub(super) struct Scope(());

/// Enters a hook of the handle with this key.
pub(super) fn enter(handle: usize) -> Scope {
    // A thread that is being torn down has no mark any more and asks no questions either.
    let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(handle));
    Scope(())
}

/// True while this thread is inside a hook of the handle with this key.
pub(super) fn inside(handle: usize) -> bool {
    INSIDE
        .try_with(|inside| inside.borrow().contains(&handle))
        .unwrap_or(false)
}

impl Drop for Scope {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}
