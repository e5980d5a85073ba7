//! How an event loop hears from the library: a queue, and a descriptor that is readable while something is in it.
//!
//! No thread of the library enters Python for it: a thread that keeps a node's lease alive must not wait for the interpreter.

use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use clusterkit::hooks::HookCompletion;
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::front;
use crate::hook::{Completion, event};

/// What the loop is told.
pub(crate) enum Message {
    /// The call with this token has its outcome.
    Done(u64),
    /// A hook is to be called.
    Hook(Arc<Py<PyAny>>, Arc<Event>, HookCompletion),
}

pub(crate) struct InboxShared(Mutex<InboxState>);

struct InboxState {
    waiting: VecDeque<Message>,
    reader: PipeReader,
    writer: PipeWriter,
    /// True when a byte is in the pipe.
    is_signalled: bool,
    is_closed: bool,
}

impl InboxState {
    /// One byte is in the pipe while something waits, and none otherwise: so neither blocks.
    fn signal(&mut self) {
        let wanted = !self.waiting.is_empty();
        if wanted == self.is_signalled {
            return;
        }
        let done = if wanted {
            self.writer.write(&[1])
        } else {
            self.reader.read(&mut [0])
        };
        if done.is_ok() {
            self.is_signalled = wanted;
        }
    }
}

impl InboxShared {
    /// Puts a message in; gives it back when nobody reads any more.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(message);
        }
        state.waiting.push_back(message);
        state.signal();
        Ok(())
    }
}

/// The inbox of an event loop.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct Inbox(Arc<InboxShared>);

impl Inbox {
    pub(crate) fn shared(&self) -> &Arc<InboxShared> {
        &self.0
    }
}

#[pymethods]
impl Inbox {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let (reader, writer) = std::io::pipe().map_err(|error| {
            front::raised(py, &Error::new(ErrorCode::Io, format!("open a pipe: {error}")))
        })?;
        Ok(Inbox(Arc::new(InboxShared(Mutex::new(InboxState {
            waiting: VecDeque::new(),
            reader,
            writer,
            is_signalled: false,
            is_closed: false,
        })))))
    }

    /// The descriptor, which is readable while something waits.
    fn fileno(&self) -> i32 {
        self.0.0.lock().reader.as_raw_fd()
    }

    /// Takes all that waits: the tokens of calls that have their outcome, and (hook, event, completion) for hooks.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let waiting = {
            let mut state = self.0.0.lock();
            let waiting = std::mem::take(&mut state.waiting);
            state.signal();
            waiting
        };
        let list = PyList::empty(py);
        for message in waiting {
            match message {
                Message::Done(token) => list.append(token)?,
                Message::Hook(hook, happened, completion) => {
                    let completion = Completion::new(completion);
                    list.append((hook.clone_ref(py), event(py, &happened)?, completion))?;
                }
            }
        }
        Ok(list)
    }

    /// Lets nothing in any more. Calls of hooks that wait fail.
    fn close(&self) {
        let left = {
            let mut state = self.0.0.lock();
            state.is_closed = true;
            let left = std::mem::take(&mut state.waiting);
            state.signal();
            left
        };
        for message in left {
            if let Message::Hook(_, _, completion) = message {
                completion.complete(Err("the event loop of the hook is closed".to_owned()));
            }
        }
    }
}
