//! An observer of the bytes that leave a node: a simulation checks with it that no error says "it may have happened" of a
//! request that was never sent.

use std::cell::RefCell;

/// Is called with the bytes that leave a proposer: proposals handed to Raft, and requests to other nodes.
pub type SentObserver = Box<dyn Fn(&[u8])>;

thread_local! {
    static SENT_OBSERVER: RefCell<Option<SentObserver>> = const { RefCell::new(None) };
}

/// Sets or removes the observer of what is sent on this thread.
pub fn observe_sent(observer: Option<SentObserver>) {
    SENT_OBSERVER.with(|present| *present.borrow_mut() = observer);
}

pub(crate) fn report_sent(bytes: &[u8]) {
    SENT_OBSERVER.with(|observer| {
        if let Some(observer) = &*observer.borrow() {
            observer(bytes);
        }
    });
}
