//! The one runtime of a process, shared by all nodes in it.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;

use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::hooks;

/// At most so many threads: the work is waiting, not computing.
const MAX_THREADS: usize = 4;
/// How long the end of the last handle waits for the threads at most.
const END: Duration = Duration::from_secs(5);

/// A tokio runtime that lives as long as somebody holds it.
pub(super) struct SharedRuntime {
    runtime: Option<tokio::runtime::Runtime>,
}

static PRESENT: Mutex<Weak<SharedRuntime>> = Mutex::new(Weak::new());

impl SharedRuntime {
    /// The runtime that lives, or a new one.
    pub(super) fn get() -> Result<Arc<Self>> {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = present.upgrade() {
            return Ok(runtime);
        }
        // Half of the processors: the other half is for the application and for the logs. A thread too many costs: each
        // step of a write would wake it for nothing.
        let threads = std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, MAX_THREADS));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("ck-runtime")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the runtime", &error))?;
        let shared = Arc::new(SharedRuntime {
            runtime: Some(runtime),
        });
        *present = Arc::downgrade(&shared);
        Ok(shared)
    }

    /// A handle that does not keep the runtime alive.
    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime().handle().clone()
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
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
    /// polling it here rather than in a task of its own saves two changes of thread per call.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        let _entered = self.runtime().enter();
        env::wait_here(AssertUnwindSafe(future).catch_unwind())
            .unwrap_or_else(|_| Err(Error::internal("a call of ClusterKit panicked")))
    }

    /// Runs a future on the runtime's threads and waits for it for at most `timeout`. It goes on when that has
    /// passed.
    pub(super) fn wait_within<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
        timeout: Duration,
    ) -> Result<T> {
        self.refuse_own_threads()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            // Nobody may be waiting any more.
            drop(sender.send(future.await));
        });
        match receiver.recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::new(
                ErrorCode::Timeout,
                "the call was not done in time, and goes on",
            )),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a call of ClusterKit panicked")),
        }
    }

    fn refuse_own_threads(&self) -> Result<()> {
        let own = self.runtime().handle().id();
        let here = tokio::runtime::Handle::try_current().is_ok_and(|current| current.id() == own);
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

impl Drop for SharedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if tokio::runtime::Handle::try_current().is_ok() {
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
