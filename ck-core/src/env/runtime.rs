//! The runtime: tokio, or the deterministic simulator when the calling thread is inside one.
//!
//! Free functions, as openraft requires, so that no handle has to be passed around. The `sim` feature adds the
//! simulator's variants and changes nothing for code that runs on tokio. With the feature `testing`, what belongs to a test
//! cluster runs on tokio too, by that cluster's clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot, TokioRuntime};
use pin_project_lite::pin_project;

use super::Instant;
use crate::Error;

/// The runtime that every part of a node runs on.
#[derive(Debug)]
pub struct Runtime {
    tokio: TokioRuntime,
}

/// Runs a future as a task.
pub fn spawn<T>(future: T) -> JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    <Runtime as AsyncRuntime>::spawn(future)
}

/// The runtime on which a value was created. Tasks that are spawned through it run there, on whichever runtime the caller
/// runs: clients are served on threads of their own, and the tasks of peer connections must not end up on those.
#[derive(Debug, Clone)]
pub struct HomeRuntime(Option<tokio::runtime::Handle>);

impl HomeRuntime {
    /// The runtime of the caller.
    pub fn current() -> Self {
        HomeRuntime(tokio::runtime::Handle::try_current().ok())
    }

    /// Runs a future as a task on this runtime; on that of the caller in a simulation, or if there was no runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(handle) if !simulated() => drop(handle.spawn(future.boxed())),
            _ => drop(spawn(future)),
        }
    }
}

/// Waits for a duration.
pub fn sleep(duration: Duration) -> Sleep {
    <Runtime as AsyncRuntime>::sleep(duration)
}

/// Waits until a moment.
pub fn sleep_until(deadline: Instant) -> Sleep {
    <Runtime as AsyncRuntime>::sleep_until(deadline)
}

/// Waits for a future, but no longer than `duration`.
pub fn timeout<F: Future + Send>(duration: Duration, future: F) -> Timeout<F> {
    <Runtime as AsyncRuntime>::timeout(duration, future)
}

/// Runs work that blocks (disk, long computation) off the runtime's own threads; in place where the node's disk is in
/// memory and its clock stands still meanwhile (see `runs_in_place`).
///
/// # Errors
/// [`ErrorCode::Internal`](crate::ErrorCode::Internal) when the work panicked or the runtime is shutting down.
pub async fn blocking<T, F>(work: F) -> crate::Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if runs_in_place() {
        return Ok(work());
    }
    blocking_thread(work).await
}

/// [`blocking`], on a thread that may block always: for work that runs code of the application, or waits for it. Not in a
/// simulation.
///
/// # Errors
/// As [`blocking`].
pub(crate) async fn blocking_thread<T, F>(work: F) -> crate::Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    #[cfg(feature = "testing")]
    if super::test_cluster::with_current(|process| process.clock().has_ended()) == Some(true) {
        // No thread is there any more that could do it.
        return Ok(work());
    }
    // The caller may be a thread of the application, and the call may start a thread of the library.
    let started = super::with_signals_blocked(|| tokio::task::spawn_blocking(work));
    started
        .await
        .map_err(|error| Error::internal(format!("a blocking call failed: {}", JoinError::from(error))))
}

/// The simulated time, if this thread runs a simulation.
#[cfg(feature = "sim")]
pub(super) fn simulated_nanos() -> Option<u64> {
    let since_start = openraft_rt_sim::SimInstant::try_now()?.elapsed_since_start();
    // The clock starts at one day, as the simulator's own does, so that a timeout can be subtracted.
    let nanos = since_start.as_nanos() + 86_400_000_000_000;
    Some(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Runs a future to its end in a simulation of its own, with random numbers from `seed`.
#[cfg(feature = "sim")]
pub fn simulate<F: Future>(seed: u64, future: F) -> F::Output {
    openraft_rt_sim::SimRuntime::with_seed(seed).block_on(future)
}

/// True where one thread runs everything of a node, and the disk is one in memory: inside a simulation, and in a test
/// cluster. Work that blocks is done in place there, so that it is done when the thread has nothing more to do.
pub(crate) fn runs_in_place() -> bool {
    #[cfg(feature = "testing")]
    if super::test_cluster::with_current(|_| ()).is_some() {
        return true;
    }
    simulated()
}

/// True inside a simulation.
pub(crate) fn simulated() -> bool {
    #[cfg(feature = "sim")]
    return openraft_rt_sim::SimInstant::try_now().is_some();
    #[cfg(not(feature = "sim"))]
    false
}

/// Why a spawned task returned no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JoinError {
    panicked: bool,
    message: String,
}

impl From<tokio::task::JoinError> for JoinError {
    fn from(error: tokio::task::JoinError) -> Self {
        JoinError {
            panicked: error.is_panic(),
            message: error.to_string(),
        }
    }
}

#[cfg(feature = "sim")]
impl From<openraft_rt_sim::SimJoinError> for JoinError {
    fn from(error: openraft_rt_sim::SimJoinError) -> Self {
        let panicked = matches!(error, openraft_rt_sim::SimJoinError::Panic(_));
        JoinError {
            panicked,
            message: error.to_string(),
        }
    }
}

/// Resolves to the value of a spawned task. Dropping it detaches the task.
#[derive(Debug)]
pub struct JoinHandle<T> {
    inner: JoinInner<T>,
}

enum JoinInner<T> {
    Tokio(tokio::task::JoinHandle<T>),
    #[cfg(feature = "sim")]
    Sim(openraft_rt_sim::SimJoinHandle<T>),
}

impl<T> std::fmt::Debug for JoinInner<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinInner")
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().inner {
            JoinInner::Tokio(handle) => Pin::new(handle).poll(cx).map_err(JoinError::from),
            #[cfg(feature = "sim")]
            JoinInner::Sim(handle) => Pin::new(handle).poll(cx).map_err(JoinError::from),
        }
    }
}

pin_project! {
    /// Completes at a moment.
    #[derive(Debug)]
    pub struct Sleep {
        #[pin]
        inner: SleepInner,
    }
}

#[cfg(not(feature = "testing"))]
use tokio::time::{Sleep as ClockSleep, sleep as clock_sleep};

#[cfg(feature = "testing")]
use super::test_cluster::ClockSleep;

/// Waits on tokio's clock, or on that of a test cluster.
#[cfg(feature = "testing")]
fn clock_sleep(duration: Duration) -> ClockSleep {
    ClockSleep::new(duration)
}

#[cfg(not(feature = "sim"))]
pin_project! {
    #[project = SleepProjection]
    #[derive(Debug)]
    enum SleepInner {
        Tokio { #[pin] sleep: ClockSleep },
    }
}

#[cfg(feature = "sim")]
pin_project! {
    #[project = SleepProjection]
    #[derive(Debug)]
    enum SleepInner {
        Tokio { #[pin] sleep: ClockSleep },
        Sim { #[pin] sleep: openraft_rt_sim::SimSleep },
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().inner.project() {
            SleepProjection::Tokio { sleep } => sleep.poll(cx),
            #[cfg(feature = "sim")]
            SleepProjection::Sim { sleep } => sleep.poll(cx),
        }
    }
}

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

pin_project! {
    /// Resolves to a future's output, or to [`Elapsed`] when the deadline passes first.
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // A future that spends the whole cooperative budget in every poll must not prevent the check of the deadline.
        let sleep = tokio::task::coop::unconstrained(this.sleep);
        std::pin::pin!(sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

/// Random numbers: those of the thread, or of the simulation.
#[derive(Debug)]
pub enum Rng {
    /// The thread's own generator.
    Thread(rand::rngs::ThreadRng),
    /// A stream derived from the simulation's seed.
    #[cfg(feature = "sim")]
    Sim(rand::rngs::SmallRng),
}

macro_rules! delegate_rng {
    ($self:ident, $call:ident ( $($arg:expr),* )) => {
        match $self {
            Rng::Thread(rng) => rng.$call($($arg),*),
            #[cfg(feature = "sim")]
            Rng::Sim(rng) => rng.$call($($arg),*),
        }
    };
}

impl rand::TryRng for Rng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        delegate_rng!(self, try_next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        delegate_rng!(self, try_next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        delegate_rng!(self, try_fill_bytes(bytes))
    }
}

/// Random numbers for this task.
pub fn rng() -> Rng {
    #[cfg(feature = "sim")]
    if simulated() {
        return Rng::Sim(<openraft_rt_sim::SimRuntime as AsyncRuntime>::thread_rng());
    }
    Rng::Thread(rand::rng())
}

impl AsyncRuntime for Runtime {
    type JoinError = JoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = Rng;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        #[cfg(feature = "sim")]
        if simulated() {
            let future = super::sim_process::Scoped::inherit(future);
            let handle = <openraft_rt_sim::SimRuntime as AsyncRuntime>::spawn(future);
            return JoinHandle {
                inner: JoinInner::Sim(handle),
            };
        }
        // Tokio has a dozen functions for each type of task, and these for each kind of runtime.
        let future: BoxFuture<'static, T::Output> = Box::pin(future);
        #[cfg(feature = "testing")]
        if let Some(process) = super::test_cluster::current() {
            return JoinHandle {
                inner: JoinInner::Tokio(tokio::spawn(process.task(future))),
            };
        }
        JoinHandle {
            inner: JoinInner::Tokio(tokio::spawn(future)),
        }
    }

    fn sleep(duration: Duration) -> Sleep {
        #[cfg(feature = "sim")]
        if simulated() {
            let duration = super::sim_process::simulated_duration(duration);
            let sleep = <openraft_rt_sim::SimRuntime as AsyncRuntime>::sleep(duration);
            return Sleep {
                inner: SleepInner::Sim { sleep },
            };
        }
        Sleep {
            inner: SleepInner::Tokio {
                sleep: clock_sleep(duration),
            },
        }
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Self::sleep(deadline.since(Instant::now()))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Timeout<F> {
        Timeout {
            future,
            sleep: Self::sleep(duration),
        }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Timeout<F> {
        Timeout {
            future,
            sleep: Self::sleep_until(deadline),
        }
    }

    fn is_panic(join_error: &JoinError) -> bool {
        join_error.panicked
    }

    fn thread_rng() -> Rng {
        rng()
    }

    type Mpsc = TokioMpsc;
    // Tokio's watch wakes its waiters in random order; that of the simulator is deterministic.
    #[cfg(not(feature = "sim"))]
    type Watch = openraft_rt_tokio::TokioWatch;
    #[cfg(feature = "sim")]
    type Watch = openraft_rt_sim::SimWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn new(threads: usize) -> Self {
        Runtime {
            tokio: TokioRuntime::new(threads),
        }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.tokio.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openraft_runtime_suite_passes() {
        openraft_rt::testing::Suite::<Runtime>::test_all();
    }
}
