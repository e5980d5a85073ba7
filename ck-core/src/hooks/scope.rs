//! Tracks whether the current thread is inside a hook, and of which cluster handle.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

thread_local! {
    /// Keys of the handles whose hooks this thread is inside of, innermost last. There can be several: a hook of one
    /// cluster may poll a future that runs a hook of another.
    ///
    /// Nothing drops it, so that it is there as long as its thread: a hook that ends the process runs the destructors of
    /// what is static after those of its thread's locals, and one of them may end the hook's own node. It is empty, and has
    /// no memory, outside of hooks.
    static INSIDE: ManuallyDrop<RefCell<Vec<usize>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
    static HOOK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that only runs hooks, so that a blocking wait on it delays no other work.
pub(super) fn this_is_a_hook_thread() {
    HOOK_THREAD.set(true);
}

/// True on a thread that only runs hooks.
pub fn on_hook_thread() -> bool {
    HOOK_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Marks this thread as inside a hook of a handle until it is dropped.
#[derive(Debug)]
pub(super) struct Scope(());

/// Enters a hook of the handle with this key.
pub(super) fn enter(handle: usize) -> Scope {
    INSIDE.with(|inside| inside.borrow_mut().push(handle));
    Scope(())
}

/// True while this thread is inside a hook of the handle with this key.
pub(super) fn inside(handle: usize) -> bool {
    INSIDE.with(|inside| inside.borrow().contains(&handle))
}

impl Drop for Scope {
    fn drop(&mut self) {
        INSIDE.with(|inside| {
            let mut inside = inside.borrow_mut();
            inside.pop();
            if inside.is_empty() {
                *inside = Vec::new();
            }
        });
    }
}
