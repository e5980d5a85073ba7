//! Blocking a thread until a future completes.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Condvar, Mutex};

/// Polls a future to its end on the calling thread, which may be any thread, also one of another runtime, on which tokio's
/// own `block_on` would panic. Timers and sockets are those of the runtime that the thread has entered.
///
/// The thread may be inside a task of the application's runtime. The cooperative budget of that task is refilled only
/// when the task yields, which it does not do before this call returns. With that budget the future would find every timer
/// and channel "not ready" once the budget is spent, and never end. So the future runs without a budget.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let future = tokio::task::coop::unconstrained(future);
    let thread = Arc::new(WaitingThread::default());
    let waker = Waker::from(Arc::clone(&thread));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread.wait();
    }
}

/// The thread that waits for a future. `std::thread::park` is not used, because its one token per thread belongs to the
/// application.
#[derive(Default)]
struct WaitingThread {
    woken: Mutex<bool>,
    woken_condvar: Condvar,
}

impl WaitingThread {
    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            self.woken_condvar.wait(&mut woken);
        }
        *woken = false;
    }
}

impl Wake for WaitingThread {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = std::mem::replace(&mut *self.woken.lock(), true);
        if !before {
            self.woken_condvar.notify_one();
        }
    }
}
