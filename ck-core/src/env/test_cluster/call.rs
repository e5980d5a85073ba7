//! A call of a node of a test cluster that runs on a thread of the application.
//!
//! An order that moves the clock must not overtake such a call: between two of its steps the thread may not run for a
//! while, and its deadline would pass. So the clock counts the calls that have something to do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

use super::clock::TestClock;
use super::process::TestProcess;

/// What a call does at this moment. All but `Waiting` and `Ended` are counted by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallPhase {
    Polled,
    /// Woken since it was polled last.
    Woken,
    Waiting,
    Ended,
}

#[derive(Debug)]
struct CallState {
    clock: Arc<TestClock>,
    inner: Mutex<(CallPhase, Waker)>,
}

impl CallState {
    /// Changes the phase, and tells the clock where that changes its count.
    fn change(&self, change: impl FnOnce(CallPhase) -> CallPhase) {
        let counts = |phase| matches!(phase, CallPhase::Polled | CallPhase::Woken);
        let mut inner = self.inner.lock();
        let before = inner.0;
        inner.0 = change(before);
        let after = inner.0;
        match (counts(before), counts(after)) {
            // Under the lock, so that the count never falls below what is true.
            (false, true) => self.clock.call_is_runnable(),
            (true, false) => {
                drop(inner);
                self.clock.call_waits();
            }
            _ => {}
        }
    }
}

impl Wake for CallState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.change(|phase| match phase {
            CallPhase::Ended => CallPhase::Ended,
            _ => CallPhase::Woken,
        });
        let waker = self.inner.lock().1.clone();
        waker.wake();
    }
}

pin_project! {
    /// A call that the thread of its caller polls.
    #[derive(Debug)]
    pub(crate) struct Call<F> {
        process: Option<TestProcess>,
        state: Option<CallEnd>,
        #[pin]
        future: F,
    }
}

/// Ends the count of a call when it is dropped.
#[derive(Debug)]
struct CallEnd(Arc<CallState>);

impl Drop for CallEnd {
    fn drop(&mut self) {
        self.0.change(|_| CallPhase::Ended);
    }
}

impl<F> Call<F> {
    /// A call of a handle, whose node may be of a test cluster.
    pub(crate) fn new(process: Option<TestProcess>, future: F) -> Self {
        Call {
            process,
            state: None,
            future,
        }
    }
}

impl<F: Future> Future for Call<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(process) = this.process else {
            return this.future.poll(cx);
        };
        let call = this.state.get_or_insert_with(|| {
            CallEnd(Arc::new(CallState {
                clock: process.clock().clone(),
                inner: Mutex::new((CallPhase::Waiting, cx.waker().clone())),
            }))
        });
        call.0.inner.lock().1.clone_from(cx.waker());
        call.0.change(|_| CallPhase::Polled);
        let waker = Waker::from(call.0.clone());
        let _entered = process.enter();
        let polled = this.future.poll(&mut Context::from_waker(&waker));
        call.0.change(|phase| match (phase, &polled) {
            (CallPhase::Woken, Poll::Pending) => CallPhase::Woken,
            (_, Poll::Pending) => CallPhase::Waiting,
            (_, Poll::Ready(_)) => CallPhase::Ended,
        });
        polled
    }
}
