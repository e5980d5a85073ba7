//! The runtimes of a process, shared by all nodes in it: one for what members say to each other and what the application
//! asks for, and one for clients that speak HTTP. Nothing that clients ask for, and no number of them, keeps the threads of
//! the first from a heartbeat.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::hooks;

/// At most so many threads, unless somebody asks for more: the work is waiting, not computing.
const MAX_THREADS: usize = 4;
/// At most so many threads for what blocks: planning, snapshots and other files, names, large HTTP answers. Where there are
/// more of these at a time they wait for each other, which is safe because none of them waits for another to be begun. Names
/// and HTTP answers, which others can cause as often as they like, have smaller bounds of their own, so that they leave
/// room. Each node has at most six of the rest at a time: so many stay where they are when its disk hangs.
const MAX_BLOCKING_THREADS: usize = 64;
/// The same for what clients ask for: large answers, of which each node makes one at a time.
const MAX_CLIENTS_BLOCKING_THREADS: usize = 16;
/// How long the end of the last handle waits for the threads at most.
const END: Duration = Duration::from_secs(5);

/// Tokio runtimes that live as long as somebody holds them.
pub(super) struct SharedRuntime {
    runtime: Option<Runtime>,
    clients: Option<Runtime>,
}

static PRESENT: Mutex<Weak<SharedRuntime>> = Mutex::new(Weak::new());

impl SharedRuntime {
    /// The runtime that lives, or a new one with this many threads.
    pub(super) fn get(threads: Option<u32>) -> Result<Arc<Self>> {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = present.upgrade() {
            return Ok(runtime);
        }
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        // Half of the processors: the other half is for the application and for the logs. A thread too many costs: each
        // step of a write would wake it for nothing.
        let few = (processors / 2).clamp(1, MAX_THREADS);
        let threads = threads.map_or(few, |threads| threads as usize);
        // Answers come in bursts, with each batch that was written: there is work for all processors at such a moment.
        let clients = processors.clamp(1, MAX_THREADS);
        let shared = Arc::new(SharedRuntime {
            runtime: Some(start("ck-runtime", threads, MAX_BLOCKING_THREADS)?),
            clients: Some(start("ck-http", clients, MAX_CLIENTS_BLOCKING_THREADS)?),
        });
        *present = Arc::downgrade(&shared);
        Ok(shared)
    }

    /// The runtime whose threads serve clients. The handle does not keep it alive.
    pub(super) fn clients(&self) -> Option<Handle> {
        self.clients.as_ref().map(|clients| clients.handle().clone())
    }

    /// A handle that does not keep the runtime alive.
    pub(super) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    fn runtime(&self) -> &Runtime {
        match &self.runtime {
            Some(runtime) => runtime,
            // Taken only while dropping, when nobody has a reference.
            None => unreachable!("the runtime is there until it is dropped"),
        }
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(future);
    }

    /// Runs `f` where tasks and timers find the runtime.
    pub(super) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = self.runtime().enter();
        f()
    }

    /// Runs a future to its end on this thread, whoever's that is. The future's timers and sockets are the runtime's;
    /// polling it here rather than in a task of its own saves two changes of thread per call. For calls that are made often
    /// and need little: what a poll puts on the stack, it puts on the caller's, which may be small.
    pub(super) fn block_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        let _entered = self.runtime().enter();
        let future = Box::pin(AssertUnwindSafe(future).catch_unwind());
        env::block_on(future).unwrap_or_else(|_| Err(Error::internal("a call of ClusterKit panicked")))
    }

    /// Runs a future on the runtime's threads, on their stacks, and waits for its end.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        let answer = self.begin(future).recv();
        answer.unwrap_or_else(|_| Err(Error::internal("a call of ClusterKit panicked")))
    }

    /// [`SharedRuntime::wait`], for at most `timeout`. The future goes on when that has passed.
    pub(super) fn wait_within<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
        timeout: Duration,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        match self.begin(future).recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::new(
                ErrorCode::Timeout,
                "the call was not done in time, and goes on",
            )),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a call of ClusterKit panicked")),
        }
    }

    /// Runs a future on the runtime's threads; where its answer comes out. Nothing comes where it panicked.
    fn begin<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Receiver<Result<T>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Nobody may be waiting any more.
        self.spawn(future.map(move |answer| drop(sender.send(answer))));
        receiver
    }

    fn refuse_own_threads(&self) -> Result<()> {
        let is_own = |current: &Handle| {
            let runtimes = self.runtime.iter().chain(&self.clients);
            runtimes.map(Runtime::handle).any(|own| own.id() == current.id())
        };
        let here = Handle::try_current().is_ok_and(|current| is_own(&current));
        // Hooks have entered the runtime, but run on threads of their own.
        if here && !hooks::on_hook_thread() {
            return Err(Error::new(
                ErrorCode::InHook,
                "a call that waits was made on a thread of ClusterKit's own runtime, where it would wait for itself",
            ));
        }
        Ok(())
    }
}

/// Starts a runtime whose threads are called `name`.
fn start(name: &str, threads: usize, blocking: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .max_blocking_threads(blocking)
        .thread_name(name)
        .enable_all();
    // Threads that these start later inherit from them that signals are blocked.
    env::starting_threads(|| builder.build()).map_err(|error| Error::io("start the runtime", &error))
}

impl Drop for SharedRuntime {
    fn drop(&mut self) {
        // Clients first: what they wait for is on the other one.
        for runtime in [self.clients.take(), self.runtime.take()].into_iter().flatten() {
            if Handle::try_current().is_ok() {
                // Where tasks run nobody may wait: the last handle may be dropped on one of the runtime's own
                // threads.
                runtime.shutdown_background();
            } else {
                // Nodes are closed by now, so this takes no time; an application finds the threads gone.
                runtime.shutdown_timeout(END);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many threads of the runtime there are, those that block among them.
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        // One that has ended meanwhile has no name any more.
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
        let held = gate.lock().unwrap();
        let (ended, ends) = mpsc::channel();
        for _ in 0..JOBS {
            let (begun, running, gate, ended) = (begun.clone(), running.clone(), gate.clone(), ended.clone());
            shared.spawn(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let work = move || {
                    running.fetch_add(1, Ordering::SeqCst);
                    drop(gate.lock());
                };
                env::blocking(work).await.unwrap();
                ended.send(()).unwrap();
            });
        }
        // Tests beside this one may use some of the threads.
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
