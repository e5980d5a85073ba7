//! Calls that end later than they return: a [`Hook::Deferred`](super::types::Hook::Deferred) is given a
//! [`HookCompletion`], and its call goes on until that is used, on whatever thread.
//!
//! No thread waits for the end of such a call. Once the function has returned, the call is *detached*: removing the hook
//! does not wait for it, and closing the handle cancels it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::catch_panic::drop_catching_panic;
use crate::model::Event;

use super::call::outcome_of;
use super::copies::CopyGuard;
use super::handle::HooksShared;
use super::job::{CallId, Job};
use super::scope;
use super::types::{AsyncHook, DeferredHook, Hook, HookId, Outcome};

/// The message of a call whose completion was dropped.
const DROPPED_COMPLETION: &str = "the completion of the call was dropped without a result";

/// Ends a call of a deferred hook. May be used on any thread, and inside a hook too. Dropping it fails the call.
pub struct HookCompletion {
    attempt: u32,
    end: CallEnd,
}

enum CallEnd {
    /// A call of the thread driver.
    Call(Arc<DeferredCall>),
    /// A call that a task waits for; taken when it is used.
    Task(Option<oneshot::Sender<Result<(), String>>>),
}

impl HookCompletion {
    /// Number of the call for its event, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Ends the call with a result, as the return value of another hook would. Does nothing when the node has stopped
    /// meanwhile.
    pub fn complete(mut self, result: Result<(), String>) {
        self.end_with(result);
    }

    fn end_with(&mut self, result: Result<(), String>) {
        match &mut self.end {
            CallEnd::Call(call) => call.end(outcome_of(Ok(result))),
            // The task may be gone with its runtime.
            CallEnd::Task(sender) => drop(sender.take().map(|sender| sender.send(result))),
        }
    }
}

impl Drop for HookCompletion {
    fn drop(&mut self) {
        // Ignored where the call has ended.
        self.end_with(Err(DROPPED_COMPLETION.to_owned()));
    }
}

impl fmt::Debug for HookCompletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookCompletion")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// One call of a deferred hook with the thread driver.
pub(super) struct DeferredCall {
    shared: Arc<HooksShared>,
    call_id: CallId,
    hook_id: HookId,
    progress: Mutex<Progress>,
}

/// How far the call is. The outcome is reported when there is one and the function has returned: a call counts as ended
/// only after its hook has been dropped.
struct Progress {
    returned: bool,
    outcome: Option<Outcome>,
    reported: bool,
    /// The partition counts as being copied until the application has said how its copy ended, also after a stop.
    copies: Option<CopyGuard>,
}

impl DeferredCall {
    pub(super) fn hook_id(&self) -> HookId {
        self.hook_id
    }

    /// The call has ended; only the first end counts. Reports it unless the function still runs.
    fn end(&self, outcome: Outcome) {
        let mut progress = self.progress.lock();
        let copies = progress.copies.take();
        progress.outcome.get_or_insert(outcome);
        self.report(progress);
        drop(copies);
    }

    /// The node has stopped: nobody waits for the call any more. What it copies still counts as being copied.
    pub(super) fn cancel(&self) {
        let mut progress = self.progress.lock();
        progress.outcome.get_or_insert(Outcome::Cancelled);
        self.report(progress);
    }

    fn report(&self, mut progress: parking_lot::MutexGuard<'_, Progress>) {
        if !progress.returned || progress.reported {
            return;
        }
        if let Some(outcome) = progress.outcome.clone() {
            progress.reported = true;
            drop(progress);
            self.shared.call_ended(self.call_id, outcome);
        }
    }

    /// The function has returned and the hook was dropped.
    fn returned(self: &Arc<Self>) {
        // Before it counts as returned, so that whoever ends the call afterwards finds it here.
        let closed = self.shared.detach(self.call_id, self);
        let mut progress = self.progress.lock();
        progress.returned = true;
        if closed {
            progress.outcome.get_or_insert(Outcome::Cancelled);
        }
        self.report(progress);
    }
}

/// Calls a deferred hook on this thread, and returns when the function has.
pub(super) fn begin_here(shared: &Arc<HooksShared>, hook: DeferredHook, job: Job<()>) {
    let scope = scope::enter(shared.key());
    let (event, copies) = match shared.as_of_now(job.event) {
        Ok(due) => due,
        Err(outcome) => {
            drop_catching_panic(hook);
            drop(scope);
            return shared.call_ended(job.call_id, outcome);
        }
    };
    let call = Arc::new(DeferredCall {
        shared: Arc::clone(shared),
        call_id: job.call_id,
        hook_id: job.hook_id,
        progress: Mutex::new(Progress {
            returned: false,
            outcome: None,
            reported: false,
            copies,
        }),
    });
    let completion = HookCompletion {
        attempt: job.attempt,
        end: CallEnd::Call(Arc::clone(&call)),
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(event, completion))) {
        // The panic dropped the completion on its way, which said less.
        let panicked = outcome_of(Err(payload));
        let mut progress = call.progress.lock();
        if !progress.reported {
            progress.outcome = Some(panicked);
        }
    }
    drop_catching_panic(hook);
    drop(scope);
    call.returned();
}

/// The same hook for the task driver: a future that waits for the completion.
pub(super) fn as_async(hook: DeferredHook, attempt: u32) -> AsyncHook {
    Arc::new(move |event: Arc<Event>| {
        let (sender, receiver) = oneshot::channel();
        let completion = HookCompletion {
            attempt,
            end: CallEnd::Task(Some(sender)),
        };
        hook(event, completion);
        Box::pin(async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(DROPPED_COMPLETION.to_owned()))
        })
    })
}

impl Hook {
    /// A hook from a closure whose call ends when its [`HookCompletion`] is used: at once, or later on another thread.
    /// The closure itself may block, as that of a blocking hook may. While a call has not ended, what must wait for it
    /// waits, but no thread of the hooks does. When the node stops, calls whose function has returned end without a
    /// result; removing the hook leaves them alone.
    pub fn deferred(hook: impl Fn(Arc<Event>, HookCompletion) + Send + Sync + 'static) -> Self {
        Hook::Deferred(Arc::new(hook))
    }
}
