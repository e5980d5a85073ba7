//! The tokio runtimes of a process, shared by all its nodes and clients: one for communication between members and for
//! calls of the application, and one for HTTP, whichever end of it is here. No client request, and no number of them, can
//! keep the threads of the first from a heartbeat.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::env;
#[cfg(feature = "testing")]
use crate::env::test_cluster::{Call, InProcess, TestProcess};
use crate::error::{Error, ErrorCode, Result};
use crate::hooks;

/// The maximum number of threads, unless an option asks for more: the work mostly waits and rarely computes.
const MAX_THREADS: usize = 4;
/// The maximum number of threads for blocking work: planning, snapshots and other files, name resolution, large HTTP
/// answers. Further work waits for a free thread, which is safe because no blocking work waits for other blocking work
/// to be started. Name resolution and HTTP answers, which others can cause as often as they like, have smaller limits
/// of their own, so that they leave room. Each node has at most six of the rest at a time: that many threads are
/// blocked when its disk hangs.
const MAX_BLOCKING_THREADS: usize = 64;
/// The same limit for HTTP: large answers, of which each node builds one at a time, and what clients of other clusters do:
/// they read large answers, and look names up, 16 at a time, each of which may hang for long.
const MAX_CLIENTS_BLOCKING_THREADS: usize = 32;
/// How long the drop of the last handle waits for the threads, at most.
const END: Duration = Duration::from_secs(5);

/// A task of a runtime. Tokio has a dozen functions for each type of task: so there is one type.
pub(crate) type RuntimeTask = BoxFuture<'static, ()>;

/// The tokio runtimes, which live as long as something holds them.
pub(crate) struct SharedRuntime {
    /// The runtime for communication and calls.
    handle: Handle,
    /// The runtimes, that for clients first; none where the runtime is that of a test cluster, which ends it.
    owned: Vec<Runtime>,
    /// The process of a test cluster that the node is.
    #[cfg(feature = "testing")]
    process: Option<TestProcess>,
}

static PRESENT: Mutex<Weak<SharedRuntime>> = Mutex::new(Weak::new());

impl SharedRuntime {
    /// The existing runtime, or a new one with this many threads.
    pub(crate) fn get(threads: Option<u32>) -> Result<Arc<Self>> {
        let mut present = PRESENT.lock();
        if let Some(runtime) = present.upgrade() {
            return Ok(runtime);
        }
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        // Half of the processors: the other half is for the application and for the logs. Unneeded threads cost time:
        // each step of a write would wake one for nothing.
        let few = (processors / 2).clamp(1, MAX_THREADS);
        let threads = threads.map_or(few, |threads| threads as usize);
        // Answers come in bursts, with each batch that was written, and a burst has work for all processors.
        let clients = processors.clamp(1, MAX_THREADS);
        let runtime = start("ck-runtime", threads, MAX_BLOCKING_THREADS)?;
        let shared = Arc::new(SharedRuntime {
            handle: runtime.handle().clone(),
            owned: vec![start("ck-http", clients, MAX_CLIENTS_BLOCKING_THREADS)?, runtime],
            #[cfg(feature = "testing")]
            process: None,
        });
        *present = Arc::downgrade(&shared);
        Ok(shared)
    }

    /// The runtime of a test cluster, for the node that is this process of it.
    #[cfg(feature = "testing")]
    pub(crate) fn of_test_cluster(handle: Handle, process: TestProcess) -> Arc<Self> {
        Arc::new(SharedRuntime {
            handle,
            owned: Vec::new(),
            process: Some(process),
        })
    }

    /// The runtime whose threads serve clients. The handle does not keep it alive.
    pub(super) fn clients(&self) -> Option<Handle> {
        self.owned.first().map(|clients| clients.handle().clone())
    }

    /// A handle that does not keep the runtime alive.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The process of a test cluster that the node is.
    #[cfg(feature = "testing")]
    pub(super) fn process(&self) -> Option<&TestProcess> {
        self.process.as_ref()
    }

    pub(crate) fn spawn(&self, task: RuntimeTask) {
        self.handle.spawn(self.as_process(task));
    }

    /// [`SharedRuntime::spawn`], and not lost where the runtime has ended with its test cluster: this thread runs it then.
    pub(super) fn spawn_to_the_end(&self, task: RuntimeTask) {
        #[cfg(feature = "testing")]
        if self.has_ended() {
            // What it answers is that everything has ended.
            drop(self.block_on(task.map(Ok)));
            return;
        }
        self.spawn(task);
    }

    /// Runs `f` inside the runtime, so that tasks and timers find it.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when this thread is ending and the system refuses another one.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        if !thread_is_ending() {
            return Ok(self.enter_here(f));
        }
        match env::on_fresh_thread(|| self.enter_here(f)) {
            Ok(answer) => answer.ok_or_else(call_panicked),
            Err(error) => Err(Error::new(
                ErrorCode::Io,
                format!("no thread can be started: {error}"),
            )),
        }
    }

    fn enter_here<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = self.handle.enter();
        #[cfg(feature = "testing")]
        let _process = self.process.as_ref().map(TestProcess::enter);
        f()
    }

    /// A future that is polled as the process of the node.
    #[cfg(not(feature = "testing"))]
    fn as_process<F>(&self, future: F) -> F {
        future
    }

    /// A future that is polled as the process of the node, where that is one of a test cluster.
    #[cfg(feature = "testing")]
    fn as_process<F>(&self, future: F) -> InProcess<F> {
        InProcess::call(self.process.clone(), future)
    }

    /// Runs a future to completion on the calling thread. Its timers and sockets are the runtime's; polling it here
    /// rather than in a task of its own saves two thread switches per call. For calls that are made often and need
    /// little stack: a poll uses the caller's stack, which may be small.
    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        if thread_is_ending() {
            return self.wait_for_task(future);
        }
        let _entered = self.handle.enter();
        let future = Box::pin(AssertUnwindSafe(future).catch_unwind());
        #[cfg(feature = "testing")]
        let future = Call::new(self.process.clone(), future);
        env::block_on(future).unwrap_or_else(|_| Err(call_panicked()))
    }

    /// Runs a future on the runtime's threads, on their stacks, and waits for its result.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        #[cfg(feature = "testing")]
        if self.has_ended() {
            return self.block_on(future);
        }
        self.wait_for_task(future)
    }

    fn wait_for_task<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let answer = self.begin(future).recv();
        answer.unwrap_or_else(|_| Err(self.lost_call()))
    }

    /// [`SharedRuntime::wait`], for at most `timeout`. The future continues after that.
    pub(super) fn wait_within<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
        timeout: Duration,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        #[cfg(feature = "testing")]
        if self.has_ended() {
            return self.block_on(future);
        }
        match self.begin(future).recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::new(
                ErrorCode::Timeout,
                "the call was not done in time, and goes on",
            )),
            Err(RecvTimeoutError::Disconnected) => Err(self.lost_call()),
        }
    }

    /// Runs a future on the runtime's threads; returns the receiver of its result. It receives nothing if the future
    /// panicked.
    fn begin<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Receiver<Result<T>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        // The receiver may be dropped already.
        self.spawn(future.map(move |answer| drop(sender.send(answer))).boxed());
        receiver
    }

    /// Runs a future on the runtime's threads. It begins when this is first polled, and goes on when this is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        #[cfg(feature = "testing")]
        if self.has_ended() {
            return self.as_process(future).await;
        }
        self.run_as_task(Self::spawn, future).await
    }

    /// Runs a future as a task that `spawn` begins, and waits for its result.
    async fn run_as_task<T: Send + 'static>(
        &self,
        spawn: impl FnOnce(&Self, RuntimeTask),
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        // The receiver may be dropped already.
        spawn(self, future.map(move |answer| drop(sender.send(answer))).boxed());
        let answer = receiver.await;
        answer.unwrap_or_else(|_| Err(self.lost_call()))
    }

    /// Why a call ended without an answer.
    fn lost_call(&self) -> Error {
        #[cfg(feature = "testing")]
        if self.has_ended() {
            return Error::new(ErrorCode::Stopped, "the test cluster has ended");
        }
        Error::internal("a call of ClusterKit panicked")
    }

    /// True where the test cluster of the node has ended, and no thread drives its calls any more. What is left to do takes no
    /// time, so the caller does it.
    #[cfg(feature = "testing")]
    fn has_ended(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.clock().has_ended())
    }

    /// Runs a future as a task on the threads that serve HTTP clients.
    pub(crate) fn spawn_for_clients(&self, task: RuntimeTask) {
        // A test cluster serves no HTTP, and so has no client.
        if let Some(clients) = self.owned.first() {
            clients.spawn(task);
        }
    }

    /// [`SharedRuntime::run`], on the threads that serve HTTP clients.
    pub(crate) async fn run_for_clients<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.run_as_task(Self::spawn_for_clients, future).await
    }

    /// Runs work that blocks on a thread of the runtime that may block.
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.run(env::blocking_thread(work)).await
    }

    fn refuse_own_threads(&self) -> Result<()> {
        let is_own = |current: &Handle| {
            let runtimes = self.owned.iter().map(Runtime::handle);
            runtimes.chain([&self.handle]).any(|own| own.id() == current.id())
        };
        let here = Handle::try_current().is_ok_and(|current| is_own(&current));
        // Hook threads have entered the runtime but do not belong to it, so they may wait.
        if here && !hooks::on_hook_thread() {
            return Err(Error::new(
                ErrorCode::InHook,
                "a call that waits was made on a thread of ClusterKit's own runtime, where it would wait for itself",
            ));
        }
        Ok(())
    }
}

/// True in destructors of thread-local data, and in those of static data of a C++ program, which come after the main thread's: the
/// runtime has no data of this thread any more, so nothing can be polled here.
fn thread_is_ending() -> bool {
    Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

fn call_panicked() -> Error {
    Error::internal("a call of ClusterKit panicked")
}

/// Starts a runtime whose threads are called `name`.
fn start(name: &str, threads: usize, blocking: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .max_blocking_threads(blocking)
        .thread_name(name)
        .enable_all();
    // Threads that are started later by these inherit their blocked signals.
    env::with_signals_blocked(|| builder.build()).map_err(|error| Error::io("start the runtime", &error))
}

impl Drop for SharedRuntime {
    fn drop(&mut self) {
        // The clients' runtime first, because its tasks wait for the other one.
        for runtime in self.owned.drain(..) {
            if Handle::try_current().is_ok() {
                // A thread that runs tasks must not wait: the last handle may be dropped on one of the runtime's own
                // threads.
                runtime.shutdown_background();
            } else {
                // The nodes are closed by now, so this takes no time, and the application finds the threads gone.
                runtime.shutdown_timeout(END);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Number of threads of the runtime, including those for blocking work.
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        // A thread that has ended meanwhile has no name any more.
        tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .filter(|name| name.trim_end() == "ck-runtime")
            .count()
    }

    #[test]
    fn what_blocks_has_so_many_threads_and_no_more_and_the_rest_waits() {
        const JOBS: usize = MAX_BLOCKING_THREADS * 3;
        let shared = SharedRuntime::get(None).unwrap();
        let (begun, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let (ended, ends) = mpsc::channel();
        for _ in 0..JOBS {
            let (begun, running, gate, ended) = (begun.clone(), running.clone(), gate.clone(), ended.clone());
            let task = async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let work = move || {
                    running.fetch_add(1, Ordering::SeqCst);
                    drop(gate.lock());
                };
                env::blocking(work).await.unwrap();
                ended.send(()).unwrap();
            };
            shared.spawn(task.boxed());
        }
        // Tests that run at the same time may use some of the threads.
        while begun.load(Ordering::SeqCst) < JOBS || running.load(Ordering::SeqCst) < MAX_BLOCKING_THREADS / 2
        {
            std::thread::yield_now();
        }
        let threads = threads();
        drop(held);
        for _ in 0..JOBS {
            ends.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert!(threads <= MAX_BLOCKING_THREADS + MAX_THREADS, "{threads} threads");
    }
}
