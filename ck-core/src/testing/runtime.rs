//! The runtime of a test cluster: one thread, which runs all of its tasks and drives its clock.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

use crate::env;
use crate::env::test_cluster::{ClockDriver, TestClock};
use crate::error::{Error, ErrorCode, Result};

/// The name of the thread, and of those that it starts.
const THREAD_NAME: &str = "ck-test";
/// How long the end of the runtime waits for threads that block, at most.
const END_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct TestRuntime {
    handle: Handle,
    clock: Arc<TestClock>,
    driver: ThreadId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TestRuntime {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the system refuses a thread.
    pub(super) fn start() -> Result<Self> {
        let clock = TestClock::new();
        let (idle, awake) = (clock.clone(), clock.clone());
        let mut builder = Builder::new_current_thread();
        builder
            .enable_all()
            .thread_name(THREAD_NAME)
            .on_thread_park(move || idle.idle())
            .on_thread_unpark(move || awake.awake());
        let failed = |error| Error::io("start the runtime of a test cluster", &error);
        let runtime = env::with_signals_blocked(|| builder.build()).map_err(failed)?;
        let handle = runtime.handle().clone();
        let driver = ClockDriver::new(clock.clone());
        let body = move || {
            runtime.block_on(driver);
            runtime.shutdown_timeout(END_TIMEOUT);
        };
        let thread = env::spawn_thread(THREAD_NAME, body).map_err(failed)?;
        Ok(TestRuntime {
            handle,
            clock,
            driver: thread.thread().id(),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn clock(&self) -> &Arc<TestClock> {
        &self.clock
    }

    /// True on the thread that runs the tasks, which must not wait for them.
    pub(super) fn is_driver(&self) -> bool {
        thread::current().id() == self.driver
    }

    /// Returns when no task is being polled that was before.
    pub(super) fn barrier(&self) {
        let (passed, passes) = mpsc::channel();
        self.handle.spawn(async move { passed.send(()) });
        // Fails where the runtime has ended, and nothing is polled any more.
        let _ = passes.recv();
    }

    /// Ends the clock and all tasks, and waits for the thread.
    pub(super) fn end(&self) {
        self.clock.end();
        if let Some(thread) = self.thread.lock().take() {
            // It panics only where a task of tokio's own does.
            drop(thread.join());
        }
    }
}

/// The error of a call that was made where it would wait for itself.
pub(super) fn in_hook(what: &str) -> Error {
    Error::new(
        ErrorCode::InHook,
        format!(
            "{what} waits for the nodes and their hooks, so neither a hook nor a task of theirs can call it"
        ),
    )
}
