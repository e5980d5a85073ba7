//! One process of a node in a test cluster: its clock, and whether it is paused.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};
use pin_project_lite::pin_project;

use super::clock::TestClock;
use super::hook_hold::HookActivity;

/// The number of processes that there are. While it is 0 nobody looks for a current one, which would cost every node in a
/// build with this feature a little.
static PROCESSES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CURRENT: RefCell<Option<TestProcess>> = const { RefCell::new(None) };
}

/// What a process does at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ProcessPhase {
    #[default]
    Running,
    /// Its tasks are not polled and its hooks are not called.
    Paused,
    /// Nobody hears of it any more. Its tasks run to their end, which nobody sees.
    Killed,
}

/// A process of a node. Clones are the same process.
#[derive(Clone)]
pub(crate) struct TestProcess {
    inner: Arc<ProcessInner>,
}

pub(super) struct ProcessInner {
    clock: Arc<TestClock>,
    state: Mutex<ProcessState>,
    /// Notified when it is not paused any more.
    resumed: Condvar,
    hooks: OnceLock<Box<dyn Fn() -> HookActivity + Send + Sync>>,
}

#[derive(Debug, Default)]
struct ProcessState {
    phase: ProcessPhase,
    /// The tasks that would have been polled while it was paused, in order.
    parked: Vec<Waker>,
}

impl fmt::Debug for ProcessInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestProcess")
            .field("phase", &self.state.lock().phase)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TestProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Drop for ProcessInner {
    fn drop(&mut self) {
        PROCESSES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ProcessInner {
    /// What its hooks do; `None` where they hold no clock: there are none, or it does not run.
    pub(super) fn hook_activity(&self) -> Option<HookActivity> {
        if self.state.lock().phase != ProcessPhase::Running {
            return None;
        }
        self.hooks.get().map(|activity| activity())
    }
}

impl TestProcess {
    /// A running process with this clock.
    pub(crate) fn new(clock: Arc<TestClock>) -> Self {
        PROCESSES.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(ProcessInner {
            clock,
            state: Mutex::default(),
            resumed: Condvar::new(),
            hooks: OnceLock::new(),
        });
        inner.clock.hooks.add(Arc::downgrade(&inner));
        TestProcess { inner }
    }

    pub(crate) fn clock(&self) -> &Arc<TestClock> {
        &self.inner.clock
    }

    /// Says how to find out what its hooks do. Only the first call counts.
    pub(crate) fn watch_hooks(&self, activity: impl Fn() -> HookActivity + Send + Sync + 'static) {
        // A process has one node, which has hooks once.
        drop(self.inner.hooks.set(Box::new(activity)));
    }

    /// Makes this the current process of the calling thread, until the returned value is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered::new(Some(self.clone()))
    }

    /// A future that is polled as this process, and not while it is paused: a task of the node.
    pub(crate) fn task<F>(&self, future: F) -> InProcess<F> {
        InProcess {
            process: Some(self.clone()),
            pausable: true,
            future,
        }
    }

    /// Pauses it, as SIGSTOP does. Without effect on one that was killed.
    pub(crate) fn pause(&self) {
        let mut state = self.inner.state.lock();
        if state.phase == ProcessPhase::Running {
            state.phase = ProcessPhase::Paused;
        }
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.leave_pause(ProcessPhase::Running);
    }

    /// Cuts it off from everybody for good.
    pub(crate) fn kill(&self) {
        let mut state = self.inner.state.lock();
        if state.phase == ProcessPhase::Running {
            state.phase = ProcessPhase::Killed;
        }
        drop(state);
        self.leave_pause(ProcessPhase::Killed);
    }

    fn leave_pause(&self, to: ProcessPhase) {
        let mut state = self.inner.state.lock();
        if state.phase != ProcessPhase::Paused {
            return;
        }
        state.phase = to;
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        self.inner.resumed.notify_all();
        parked.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.inner.state.lock().phase == ProcessPhase::Paused
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.inner.state.lock().phase == ProcessPhase::Killed
    }

    /// Blocks the thread while it is paused. False where it was killed.
    pub(super) fn wait_while_paused(&self) -> bool {
        let mut state = self.inner.state.lock();
        while state.phase == ProcessPhase::Paused {
            self.inner.resumed.wait(&mut state);
        }
        state.phase != ProcessPhase::Killed
    }

    /// Returns when it is not paused.
    pub(crate) async fn running(&self) {
        std::future::poll_fn(|cx| match self.park(cx.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Keeps a waker until the pause ends. False where it is not paused.
    fn park(&self, waker: &Waker) -> bool {
        let mut state = self.inner.state.lock();
        let paused = state.phase == ProcessPhase::Paused;
        if paused {
            state.parked.push(waker.clone());
        }
        paused
    }
}

/// The process that the calling thread acts for, if it is one of a test cluster.
pub(crate) fn current() -> Option<TestProcess> {
    with_current(TestProcess::clone)
}

/// Looks at the process that the calling thread acts for, if it is one of a test cluster.
#[inline]
pub(crate) fn with_current<T>(look: impl FnOnce(&TestProcess) -> T) -> Option<T> {
    if PROCESSES.load(Ordering::Relaxed) == 0 {
        return None;
    }
    // Gone on a thread that is being torn down, which acts for nobody.
    let looked = CURRENT.try_with(|current| current.borrow().as_ref().map(look));
    looked.ok().flatten()
}

/// Restores the process for which the thread acted before, when it is dropped. Of the thread that made it.
#[derive(Debug)]
pub(crate) struct Entered {
    before: Option<TestProcess>,
    of_thread: PhantomData<*const ()>,
}

impl Entered {
    pub(crate) fn new(process: Option<TestProcess>) -> Self {
        let before = CURRENT.try_with(|current| current.replace(process));
        Entered {
            before: before.ok().flatten(),
            of_thread: PhantomData,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // What is replaced is dropped outside of the thread-local.
        let own = CURRENT.try_with(|current| current.replace(before));
        drop(own);
    }
}

pin_project! {
    /// A future that is polled as a process of a test cluster; as what polls it, where it has none.
    #[derive(Debug)]
    pub(crate) struct InProcess<F> {
        process: Option<TestProcess>,
        pausable: bool,
        #[pin]
        future: F,
    }
}

impl<F> InProcess<F> {
    /// A call of a handle, whose node may be of a test cluster.
    pub(crate) fn call(process: Option<TestProcess>, future: F) -> Self {
        InProcess {
            process,
            pausable: false,
            future,
        }
    }
}

impl<F: Future> Future for InProcess<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(process) = this.process else {
            return this.future.poll(cx);
        };
        if *this.pausable && process.park(cx.waker()) {
            return Poll::Pending;
        }
        let _entered = process.enter();
        this.future.poll(cx)
    }
}
