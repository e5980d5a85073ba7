//! Whose turn it is in a simulation: every task of a simulated node belongs to that node's sim_process.
//!
//! A sim_process has a clock of its own, which may run fast or slow and whose wall clock may jump. It can be paused, as by
//! SIGSTOP: its tasks stand still where they are while time goes on. And it can be killed, as by SIGKILL: its tasks
//! are never polled again. What a task spawns belongs to the sim_process that the task belongs to.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pin_project_lite::pin_project;

/// A millionth of a clock's rate.
const PPM: i128 = 1_000_000;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const DEAD: u8 = 2;

/// The process that simulated tasks belong to. Clones are the same process.
#[derive(Debug, Clone)]
pub struct SimProcess {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    drift_ppm: i32,
    wall_offset_ms: AtomicI64,
    state: AtomicU8,
    /// The tasks that were to be polled while it was paused.
    parked: Mutex<Vec<Waker>>,
}

thread_local! {
    static CURRENT: RefCell<Option<SimProcess>> = const { RefCell::new(None) };
}

impl SimProcess {
    /// A process that runs, whose monotonic clock is fast by so many millionths; slow where that is negative.
    pub fn new(drift_ppm: i32) -> Self {
        SimProcess {
            inner: Arc::new(Inner {
                drift_ppm,
                wall_offset_ms: AtomicI64::new(0),
                state: AtomicU8::new(RUNNING),
                parked: Mutex::default(),
            }),
        }
    }

    /// The sim_process of the task that runs now.
    pub fn current() -> Option<SimProcess> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Runs `work` as this process.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        with(Some(self.clone()), work)
    }

    /// A future that is polled as this process, while it runs.
    pub fn wrap<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped {
            sim_process: Some(self.clone()),
            future: Some(future),
        }
    }

    /// Stops the process where it is.
    pub fn pause(&self) {
        // One that is dead stays so, and one that is paused already too: either is as good.
        let _ = self
            .inner
            .state
            .compare_exchange(RUNNING, PAUSED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Lets a paused process go on, with all its tasks at once.
    pub fn resume(&self) {
        self.resume_by_and_by().into_iter().for_each(Waker::wake);
    }

    /// Lets a paused process go on. Its tasks that would have run meanwhile do so as they are woken, as the threads of a
    /// process are scheduled one after the other; each may be woken by another one, too.
    #[must_use = "who is not woken does not go on"]
    pub fn resume_by_and_by(&self) -> Vec<Waker> {
        let was = self
            .inner
            .state
            .compare_exchange(PAUSED, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        match was {
            Ok(_) => self.take_parked(),
            Err(_) => Vec::new(),
        }
    }

    /// Ends the process without a word: none of its tasks is polled again.
    pub fn kill(&self) {
        self.inner.state.store(DEAD, Ordering::Release);
        self.wake();
    }

    /// True while it is neither paused nor dead.
    pub fn is_running(&self) -> bool {
        self.state() == RUNNING
    }

    /// True once it was killed.
    pub fn is_dead(&self) -> bool {
        self.state() == DEAD
    }

    /// Moves its wall clock by so many milliseconds.
    pub fn jump_wall(&self, by_ms: i64) {
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

/// Runs `work` outside of every process: the network's doing, or the simulation's own.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    with(None, work)
}

fn with<T>(sim_process: Option<SimProcess>, work: impl FnOnce() -> T) -> T {
    struct Back(Option<SimProcess>);
    impl Drop for Back {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with(|current| drop(current.replace(before)));
        }
    }
    let _back = Back(CURRENT.with(|current| current.replace(sim_process)));
    work()
}

fn read<T>(read: impl FnOnce(&Inner) -> T) -> Option<T> {
    CURRENT.with(|current| {
        current
            .borrow()
            .as_ref()
            .map(|sim_process| read(&sim_process.inner))
    })
}

/// What the running process' monotonic clock shows when it is `nanos` in the world.
pub(super) fn local_nanos(nanos: u64) -> u64 {
    match read(|inner| inner.drift_ppm) {
        None | Some(0) => nanos,
        Some(ppm) => scale(nanos, PPM + i128::from(ppm), PPM),
    }
}

/// How long it takes in the world until so much has passed on the running process' clock.
pub(super) fn world_duration(local: Duration) -> Duration {
    match read(|inner| inner.drift_ppm) {
        None | Some(0) => local,
        Some(ppm) => {
            let nanos = u64::try_from(local.as_nanos()).unwrap_or(u64::MAX);
            // Rounded up: whoever wakes finds that the time has passed.
            Duration::from_nanos(scale(nanos, PPM, PPM + i128::from(ppm)).saturating_add(2))
        }
    }
}

/// How far the running process' wall clock is off.
pub(super) fn wall_offset_ms() -> i64 {
    read(|inner| inner.wall_offset_ms.load(Ordering::Relaxed)).unwrap_or(0)
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
