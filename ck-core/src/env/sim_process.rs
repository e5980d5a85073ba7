//! The processes of a simulation: every task of a simulated node belongs to the process of that node.
//!
//! A process has a clock of its own, which may run fast or slow and whose wall clock may jump. It can be paused, as by
//! SIGSTOP: its tasks are not polled while time goes on. And it can be killed, as by SIGKILL: its tasks are never polled
//! again. A spawned task belongs to the process of the task that spawned it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pin_project_lite::pin_project;

/// The unit of a clock's drift.
const PARTS_PER_MILLION: i128 = 1_000_000;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const DEAD: u8 = 2;

/// The process that simulated tasks belong to. Clones are the same process.
#[derive(Debug, Clone)]
pub struct SimProcess {
    inner: Arc<SimProcessInner>,
}

#[derive(Debug)]
struct SimProcessInner {
    drift_ppm: i32,
    wall_offset_ms: AtomicI64,
    state: AtomicU8,
    /// The tasks that would have been polled while the process was paused.
    parked: Mutex<Vec<Waker>>,
}

thread_local! {
    static CURRENT: RefCell<Option<SimProcess>> = const { RefCell::new(None) };
}

impl SimProcess {
    /// A running process whose monotonic clock is fast by so many parts per million, or slow if that is negative.
    pub fn new(drift_ppm: i32) -> Self {
        SimProcess {
            inner: Arc::new(SimProcessInner {
                drift_ppm,
                wall_offset_ms: AtomicI64::new(0),
                state: AtomicU8::new(RUNNING),
                parked: Mutex::default(),
            }),
        }
    }

    /// The process of the running task.
    pub fn current() -> Option<SimProcess> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Runs `work` as this process.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        with(Some(self.clone()), work)
    }

    /// A future that is polled as this process, and only while the process runs.
    pub fn wrap<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped {
            sim_process: Some(self.clone()),
            future: Some(future),
        }
    }

    /// Pauses the process.
    pub fn pause(&self) {
        // A process that is dead or paused already stays so.
        let _ = self
            .inner
            .state
            .compare_exchange(RUNNING, PAUSED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Resumes a paused process, and all its tasks at once.
    pub fn resume(&self) {
        self.resume_staggered().into_iter().for_each(Waker::wake);
    }

    /// Resumes a paused process, and returns its tasks that would have run during the pause. Each runs once its waker is
    /// called, as the threads of a process are scheduled one after the other; another task may wake it, too.
    #[must_use = "a task that is not woken does not run"]
    pub fn resume_staggered(&self) -> Vec<Waker> {
        let was = self
            .inner
            .state
            .compare_exchange(PAUSED, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        match was {
            Ok(_) => self.take_parked(),
            Err(_) => Vec::new(),
        }
    }

    /// Ends the process: none of its tasks is polled again.
    pub fn kill(&self) {
        self.inner.state.store(DEAD, Ordering::Release);
        self.wake();
    }

    /// True while the process is neither paused nor dead.
    pub fn is_running(&self) -> bool {
        self.state() == RUNNING
    }

    /// Shifts the wall clock of the process by so many milliseconds.
    pub fn shift_wall_clock(&self, by_ms: i64) {
        self.inner.wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.inner.state.load(Ordering::Acquire)
    }

    fn wake(&self) {
        self.take_parked().into_iter().for_each(Waker::wake);
    }

    fn take_parked(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.inner.parked.lock())
    }
}

/// Runs `work` outside of every process, as a part of the network or of the simulation itself.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    with(None, work)
}

fn with<T>(sim_process: Option<SimProcess>, work: impl FnOnce() -> T) -> T {
    struct RestoreCurrent(Option<SimProcess>);
    impl Drop for RestoreCurrent {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with(|current| drop(current.replace(before)));
        }
    }
    let _restore = RestoreCurrent(CURRENT.with(|current| current.replace(sim_process)));
    work()
}

fn with_current<T>(read: impl FnOnce(&SimProcessInner) -> T) -> Option<T> {
    CURRENT.with(|current| {
        current
            .borrow()
            .as_ref()
            .map(|sim_process| read(&sim_process.inner))
    })
}

/// The time on the monotonic clock of the current process at the simulated time `nanos`.
pub(super) fn local_nanos(nanos: u64) -> u64 {
    match with_current(|inner| inner.drift_ppm) {
        None | Some(0) => nanos,
        Some(ppm) => scale(nanos, PARTS_PER_MILLION + i128::from(ppm), PARTS_PER_MILLION),
    }
}

/// The simulated duration in which `local` passes on the clock of the current process.
pub(super) fn simulated_duration(local: Duration) -> Duration {
    match with_current(|inner| inner.drift_ppm) {
        None | Some(0) => local,
        Some(ppm) => {
            let nanos = u64::try_from(local.as_nanos()).unwrap_or(u64::MAX);
            // Rounded up, so that the local time has passed after the wait.
            Duration::from_nanos(
                scale(nanos, PARTS_PER_MILLION, PARTS_PER_MILLION + i128::from(ppm)).saturating_add(2),
            )
        }
    }
}

/// The offset of the wall clock of the current process, in milliseconds.
pub(super) fn wall_offset_ms() -> i64 {
    with_current(|inner| inner.wall_offset_ms.load(Ordering::Relaxed)).unwrap_or(0)
}

fn scale(value: u64, by: i128, of: i128) -> u64 {
    u64::try_from(i128::from(value) * by / of.max(1)).unwrap_or(u64::MAX)
}

pin_project! {
    /// A future that belongs to a process.
    #[derive(Debug)]
    pub struct Scoped<F> {
        sim_process: Option<SimProcess>,
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future> Scoped<F> {
    /// A future that belongs to the process that makes it.
    pub(super) fn inherit(future: F) -> Self {
        Scoped {
            sim_process: SimProcess::current(),
            future: Some(future),
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        match this.sim_process.as_ref().map(SimProcess::state) {
            Some(DEAD) => {
                if let Some(sim_process) = this.sim_process.take() {
                    sim_process.enter(|| this.future.set(None));
                    *this.sim_process = Some(sim_process);
                }
                Poll::Pending
            }
            Some(PAUSED) => {
                if let Some(sim_process) = this.sim_process {
                    let mut parked = sim_process.inner.parked.lock();
                    parked.push(cx.waker().clone());
                }
                Poll::Pending
            }
            _ => match this.future.as_mut().as_pin_mut() {
                Some(future) => with(this.sim_process.clone(), || future.poll(cx)),
                None => Poll::Pending,
            },
        }
    }
}
