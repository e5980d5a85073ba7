//! Waiting for a future on a thread of one's own.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Condvar, Mutex};

/// Polls a future to its end on this thread, which may be anybody's: a thread of another runtime, too, where tokio's
/// own `block_on` would panic. Timers and sockets are those of the runtime that the thread has entered.
///
/// The thread may be inside a task of the application's runtime. The cooperative budget of that task is filled again only
/// when the task yields, which it does not before this call returns: without a budget of its own the future would find
/// every timer and channel "not ready" once it is spent, and never end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let future = tokio::task::coop::unconstrained(future);
    let parked = Arc::new(Parked::default());
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        parked.wait();
    }
}

/// A thread that waits for a future. Not `std::thread::park`: its one token per thread belongs to the
/// application, which may be using it.
#[derive(Default)]
struct Parked {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Parked {
    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            self.wake.wait(&mut woken);
        }
        *woken = false;
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = std::mem::replace(&mut *self.woken.lock(), true);
        if !before {
            self.wake.notify_one();
        }
    }
}
