//! Waiting for a future on a thread of one's own.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Instant;

/// Polls a future to its end on this thread, which may be anybody's: a thread of another runtime, too, where tokio's
/// own `block_on` would panic. Timers and sockets are those of the runtime that the thread has entered.
pub(crate) fn wait_here<F: Future>(future: F) -> F::Output {
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

/// [`wait_here`], but gives up after `timeout`, without any runtime's timers.
pub(crate) fn wait_here_for<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    let parked = Arc::new(Parked::default());
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let deadline = Instant::now() + timeout;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = deadline.since(Instant::now());
        if left.is_zero() {
            return None;
        }
        parked.wait_for(left);
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
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = self.wake.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }

    /// Returns early where there is nothing to wait for; whoever waits looks again.
    fn wait_for(&self, time: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(woken, time, |woken| !*woken);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = std::mem::replace(
            &mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner),
            true,
        );
        if !before {
            self.wake.notify_one();
        }
    }
}
