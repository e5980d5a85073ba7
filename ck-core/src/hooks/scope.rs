//! Tracks whether the current thread is inside a hook, and of which cluster handle.

use std::cell::{Cell, RefCell};

thread_local! {
    /// Keys of the handles whose hooks this thread is inside of, innermost last. There can be several: a hook of one
    /// cluster may poll a future that runs a hook of another.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static HOOK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that only runs hooks, so that a blocking wait on it delays no other work.
pub(super) fn this_is_a_hook_thread() {
    HOOK_THREAD.set(true);
}

/// True on a thread that only runs hooks.
pub(crate) fn on_hook_thread() -> bool {
    HOOK_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Marks this thread as inside a hook of a handle until it is dropped.
#[derive(Debug)]
pub(super) struct Scope(());

/// Enters a hook of the handle with this key.
pub(super) fn enter(handle: usize) -> Scope {
    // Thread-local storage may be gone already on a thread that is being torn down; nothing reads the mark there.
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
