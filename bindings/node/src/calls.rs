//! Calls that wait: each is a future on the runtime of the library, and JavaScript is told its outcome once.

use std::collections::HashMap;
use std::sync::Arc;

use clusterkit::{Error, ErrorCode, Result};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use parking_lot::Mutex;

use crate::json::json;
use crate::mailbox::Mailbox;

/// Names a call to JavaScript, which counts them.
pub(crate) type CallId = u32;

/// The calls of one handle that have no outcome yet.
#[derive(Clone)]
pub(crate) struct Calls {
    mailbox: Arc<Mailbox>,
    open: Arc<Mutex<HashMap<CallId, AbortHandle>>>,
}

/// Tells one call's outcome, once. Dropped without one, it tells that the library has lost it.
pub(crate) struct Teller {
    calls: Calls,
    id: CallId,
    is_delivered: bool,
}

impl Teller {
    /// Tells the outcome: a JSON text, or why there is none.
    pub(crate) fn tell(mut self, result: Result<String>) {
        self.pass_on(result);
    }

    fn pass_on(&mut self, result: Result<String>) {
        if std::mem::replace(&mut self.is_delivered, true) {
            return;
        }
        self.calls.open.lock().remove(&self.id);
        let id = self.id;
        self.calls.mailbox.post(match result {
            Ok(answer) => format!("[\"done\",{id},{answer}]"),
            Err(error) => {
                let message = json(error.message());
                format!("[\"failed\",{id},\"{}\",{message}]", error.code().name())
            }
        });
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // The call panicked, was given up, or the runtime ended under it.
        self.pass_on(Err(Error::new(
            ErrorCode::Internal,
            "the call ended without an outcome: ClusterKit panicked",
        )));
    }
}

impl Calls {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Calls {
            mailbox,
            open: Arc::default(),
        }
    }

    /// What tells the outcome of a call that is about to begin.
    pub(crate) fn teller(&self, id: CallId) -> Teller {
        Teller {
            calls: self.clone(),
            id,
            is_delivered: false,
        }
    }

    /// Begins a call, which `spawn` runs: its outcome is JSON. Of one type, behind a pointer: what is around a call is compiled
    /// once, and not for each call that there is.
    pub(crate) fn begin(
        &self,
        id: CallId,
        spawn: impl FnOnce(BoxFuture<'static, ()>),
        call: BoxFuture<'static, Result<String>>,
    ) {
        let (handle, registration) = AbortHandle::new_pair();
        self.open.lock().insert(id, handle);
        let teller = self.teller(id);
        spawn(Box::pin(told(teller, Abortable::new(call, registration))));
    }

    /// Stops waiting for a call. What it began goes on.
    pub(crate) fn abandon(&self, id: CallId) {
        let handle = self.open.lock().remove(&id);
        if let Some(handle) = handle {
            handle.abort();
        }
    }

    /// Stops waiting for all calls.
    pub(crate) fn abandon_all(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        open.into_values().for_each(|handle| handle.abort());
    }
}

/// Tells the outcome of a call, unless it is given up.
async fn told(teller: Teller, call: Abortable<BoxFuture<'static, Result<String>>>) {
    if let Ok(result) = call.await {
        teller.tell(result);
    }
}
