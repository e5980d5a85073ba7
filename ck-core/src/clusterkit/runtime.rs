//! The one runtime of a process, shared by all nodes in it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};

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
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, MAX_THREADS));
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

    /// Runs a future on the runtime's threads and waits for it on this one, which may be anybody's: a thread of
    /// another runtime, too, where blocking on a future would panic.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.wait_within(future, None)
    }

    /// [`SharedRuntime::wait`] for at most `timeout`. The future goes on when that has passed.
    pub(super) fn wait_within<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
        timeout: Option<Duration>,
    ) -> Result<T> {
        let own = self.runtime().handle().id();
        if tokio::runtime::Handle::try_current().is_ok_and(|current| current.id() == own) {
            return Err(Error::new(
                ErrorCode::InHook,
                "a call that waits was made on a thread of ClusterKit's own runtime, where it would wait for itself",
            ));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            // Whoever waits does so until this is sent.
            drop(sender.send(future.await));
        });
        let received = match timeout {
            Some(timeout) => receiver.recv_timeout(timeout),
            None => receiver.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::new(
                ErrorCode::Timeout,
                "the call was not done in time, and goes on",
            )),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a call of ClusterKit panicked")),
        }
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
