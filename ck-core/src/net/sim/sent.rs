//! What a simulation sees of what leaves a node: that nobody is told "it may have happened" of what never did.

use std::cell::RefCell;

/// Is called with what leaves a proposer: proposals that Raft is given, and requests that go to other nodes.
pub type SentObserver = Box<dyn Fn(&[u8])>;

thread_local! {
    static SENT: RefCell<Option<SentObserver>> = const { RefCell::new(None) };
}

/// Has everything that is sent on this thread shown to `observer`, or to nobody.
pub fn observe_sent(observer: Option<SentObserver>) {
    SENT.with(|present| *present.borrow_mut() = observer);
}

pub(crate) fn show_sent(bytes: &[u8]) {
    SENT.with(|observer| {
        if let Some(observer) = &*observer.borrow() {
            observer(bytes);
        }
    });
}
