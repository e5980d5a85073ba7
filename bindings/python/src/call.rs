//! Calls that wait: each begins at once on the library's threads, and is waited for by a thread or by an event loop.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::inbox::{Inbox, InboxShared, Message};
use crate::{forks, front};

/// How long the main thread waits before it looks for signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// What a call answers, in Python's form, made on the thread that asks for it.
type Answer = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

enum Progress {
    Running,
    Done(Result<Answer>),
    /// Nobody wants to know, or has been told.
    Taken,
}

struct CallState {
    progress: Progress,
    listener: Option<(Arc<InboxShared>, u64)>,
}

struct CallShared {
    state: Mutex<CallState>,
    changed: Condvar,
}

/// A call that has begun.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct Call(Arc<CallShared>);

/// Tells the outcome of a call, once. Dropped without one, it tells that the library has lost it.
pub(crate) struct Teller(Option<Arc<CallShared>>);

impl Teller {
    /// Tells the outcome, which `form` turns into a value of Python's.
    pub(crate) fn tell<T: Send + 'static>(
        mut self,
        result: Result<T>,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) {
        self.pass_on(result.map(|value| -> Answer { Box::new(move |py| form(py, value)) }));
    }

    fn pass_on(&mut self, result: Result<Answer>) {
        let Some(call) = self.0.take() else {
            return;
        };
        let mut state = call.state.lock();
        if matches!(state.progress, Progress::Running) {
            state.progress = Progress::Done(result);
            call.changed.notify_all();
            if let Some((inbox, token)) = state.listener.take() {
                // A loop that is closed waits for nothing.
                drop(inbox.push(Message::Done(token)));
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.pass_on(Err(Error::new(
            ErrorCode::Internal,
            "the call ended without an outcome: ClusterKit panicked",
        )));
    }
}

impl Call {
    /// A call, and what tells its outcome.
    pub(crate) fn begin() -> (Self, Teller) {
        let call = Arc::new(CallShared {
            state: Mutex::new(CallState {
                progress: Progress::Running,
                listener: None,
            }),
            changed: Condvar::new(),
        });
        (Call(Arc::clone(&call)), Teller(Some(call)))
    }

    /// A call that has failed already.
    pub(crate) fn failed(error: Error) -> Self {
        let (call, mut teller) = Call::begin();
        teller.pass_on(Err(error));
        call
    }

    /// Runs what blocks on a thread of its own.
    pub(crate) fn on_thread<T: Send + 'static>(
        name: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let (call, teller) = Call::begin();
        let started = clusterkit::env::spawn_thread(name, move || teller.tell(work(), form));
        match started {
            Ok(_) => call,
            Err(error) => Call::failed(Error::new(ErrorCode::Io, format!("start a thread: {error}"))),
        }
    }
}

/// True on the thread that Python runs signal handlers on, as far as the system can tell.
fn is_main_thread() -> bool {
    // SAFETY: both only ask.
    unsafe { libc::gettid() == libc::getpid() }
}

#[pymethods]
impl Call {
    /// Waits for the outcome, without the interpreter. A signal whose handler raises ends the wait; the call goes on unseen.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        front::answer(py, forks::refuse())?;
        let looks = is_main_thread();
        loop {
            let done = py.detach(|| {
                let mut state = self.0.state.lock();
                while matches!(state.progress, Progress::Running) {
                    if !looks {
                        self.0.changed.wait(&mut state);
                    } else if self.0.changed.wait_for(&mut state, SIGNAL_INTERVAL).timed_out() {
                        return false;
                    }
                }
                true
            });
            if done {
                return self.result(py);
            }
            if let Err(interrupted) = py.check_signals() {
                self.abandon(py);
                return Err(interrupted);
            }
        }
    }

    /// Takes the outcome.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let progress = {
            let mut state = self.0.state.lock();
            match state.progress {
                Progress::Running => Progress::Running,
                Progress::Done(_) | Progress::Taken => {
                    std::mem::replace(&mut state.progress, Progress::Taken)
                }
            }
        };
        match progress {
            Progress::Done(Ok(answer)) => answer(py),
            Progress::Done(Err(error)) => Err(front::raised(py, &error)),
            Progress::Running | Progress::Taken => Err(front::raised(
                py,
                &Error::new(ErrorCode::Internal, "the call has no outcome to take"),
            )),
        }
    }

    /// Has the token put into the inbox when there is an outcome.
    fn listen(&self, inbox: &Inbox, token: u64) {
        let mut state = self.0.state.lock();
        if matches!(state.progress, Progress::Running) {
            state.listener = Some((Arc::clone(inbox.shared()), token));
        } else {
            drop(inbox.shared().push(Message::Done(token)));
        }
    }

    /// Nobody wants to know the outcome any more.
    fn abandon(&self, py: Python<'_>) {
        // A value that nobody takes may wait for threads that wait for the interpreter: a test cluster does.
        py.detach(|| {
            let mut state = self.0.state.lock();
            state.listener = None;
            let progress = std::mem::replace(&mut state.progress, Progress::Taken);
            drop(state);
            drop(progress);
        });
    }
}
