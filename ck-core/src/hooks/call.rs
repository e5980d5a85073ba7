//! One call of a hook. The thread is marked as inside a hook, panics are caught, and the closure is dropped before the
//! call counts as ended.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::oneshot;

use crate::catch_panic::drop_catching_panic;
use crate::env;
use crate::model::{Event, EventKind, Node};

use super::config::Holders;
use super::copies::CopyGuard;
use super::deferred;
use super::handle::HooksShared;
use super::job::{CallId, Job};
use super::queue::is_own_gain;
use super::scope;
use super::types::{AsyncHook, BlockingHook, Hook, Outcome};

pub(super) fn outcome_of(result: Result<Result<(), String>, Box<dyn Any + Send>>) -> Outcome {
    let payload = match result {
        Ok(Ok(())) => return Outcome::Done,
        Ok(Err(message)) => return Outcome::Failed(message),
        Err(payload) => payload,
    };
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    };
    drop_catching_panic(payload);
    Outcome::Panicked(text)
}

/// Calls a hook on this thread. The hook is dropped inside the call's scope: its destructor, too, must be able to find
/// out that it is inside a hook, and must not wait for the thread that it runs on.
pub(super) fn call_here(shared: &HooksShared, hook: BlockingHook, event: Arc<Event>) -> Outcome {
    let _scope = scope::enter(shared.key());
    let (event, copies) = match shared.as_of_now(event) {
        Ok(due) => due,
        Err(outcome) => {
            drop_catching_panic(hook);
            return outcome;
        }
    };
    let outcome = outcome_of(catch_unwind(AssertUnwindSafe(|| hook(&event))));
    drop_catching_panic(hook);
    drop(copies);
    outcome
}

/// Makes no call, because the process of the node has been killed.
#[cfg(feature = "testing")]
pub(super) fn refuse_call(shared: &HooksShared, hook: Hook) -> Outcome {
    let _scope = scope::enter(shared.key());
    drop_catching_panic(hook);
    Outcome::Cancelled
}

/// Polls a hook's future on this thread, with the runtime's timers and sockets, until it completes or the runtime shuts
/// down. However long the future takes or blocks, no other call waits for this thread.
pub(super) fn poll_here(
    shared: &HooksShared,
    runtime: &tokio::runtime::Handle,
    hook: AsyncHook,
    event: Arc<Event>,
) -> Outcome {
    let (event, copies) = match shared.as_of_now(event) {
        Ok(due) => due,
        Err(outcome) => {
            let _scope = scope::enter(shared.key());
            drop_catching_panic(hook);
            return outcome;
        }
    };
    let (alive, gone) = oneshot::channel::<()>();
    // A task of the runtime holds the sender: a runtime that shuts down drops its tasks, and the dropped sender ends
    // the wait below.
    let holder = runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(alive);
    });
    let _scope = scope::enter(shared.key());
    let _entered = runtime.enter();
    let call = Box::pin(AssertUnwindSafe(async { hook(event).await }).catch_unwind());
    let mut call = select(call, gone);
    let outcome = match env::block_on(&mut call) {
        Either::Left((result, _)) => outcome_of(result),
        Either::Right(_) => Outcome::Cancelled,
    };
    holder.abort();
    drop_catching_panic(call);
    drop_catching_panic(hook);
    drop(copies);
    outcome
}

impl HooksShared {
    /// The event with the nodes to copy from as of now. A copy may wait long for its first call, and longer for a
    /// retry, and the nodes that held the data when the event was emitted may not hold it any more. When this node
    /// itself counts as a holder meanwhile, there is nothing to copy and the list is empty.
    ///
    /// # Errors
    /// The outcome of the call when no node that is up holds the data now. The hook is not called then, because the
    /// former holders may have missed later writes. An event that names no node to copy from means that there is
    /// nothing to copy, and is delivered unchanged.
    pub(super) fn as_of_now(&self, event: Arc<Event>) -> Result<(Arc<Event>, Option<CopyGuard>), Outcome> {
        let EventKind::PartitionChange(change) = &event.kind else {
            return Ok((event, None));
        };
        if change.copy_from_nodes.is_empty() || !is_own_gain(&event, &self.config.node_id) {
            return Ok((event, None));
        }
        // Recorded before the lookup: the invariant of `copying.rs` requires this order.
        let copies = Some(self.copying.begin(change.number));
        let now = match self.config.host.holders(change, event.revision) {
            Holders::AsTold => return Ok((event, copies)),
            Holders::Nodes(now) => now,
            Holders::Nobody => {
                return Err(Outcome::Failed(format!(
                    "not called: no node that is up holds the data of {}; it is told anew when one does",
                    change.partition_id
                )));
            }
        };
        let holds = |told: &Arc<Node>| {
            now.iter()
                .any(|node| node.id == told.id && node.incarnation == told.incarnation)
        };
        // While every node named by the event still holds the data, the hook gets the same event as on all nodes.
        if change.copy_from_nodes.iter().all(holds) {
            return Ok((event, copies));
        }
        let mut change = change.clone();
        let copies = copies.filter(|_| !now.is_empty());
        change.copy_from_nodes = now;
        let event = Event {
            kind: EventKind::PartitionChange(change),
            ..*event
        };
        Ok((Arc::new(event), copies))
    }
}

/// Reports the end of a call, exactly once; a call dropped before its end is reported as cancelled.
struct Ending {
    shared: Arc<HooksShared>,
    call_id: CallId,
    told: bool,
}

impl Ending {
    fn tell(&mut self, outcome: Outcome) {
        if !self.told {
            self.told = true;
            self.shared.call_ended(self.call_id, outcome);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tell(Outcome::Cancelled);
    }
}

/// A call as a future. A blocking hook runs within its first poll.
pub(super) struct CallFuture {
    hook: Option<Hook>,
    /// Taken by the first poll.
    event: Option<Arc<Event>>,
    running: Option<BoxFuture<'static, Result<(), String>>>,
    copies: Option<CopyGuard>,
    // Last field, so that the call ends only after everything that belongs to the application has been dropped.
    ending: Ending,
}

impl CallFuture {
    pub(super) fn new(shared: &Arc<HooksShared>, job: Job<Hook>) -> Self {
        let hook = match job.hook {
            Hook::Deferred(hook) => Hook::Async(deferred::as_async(hook, job.attempt)),
            hook => hook,
        };
        CallFuture {
            hook: Some(hook),
            event: Some(job.event),
            running: None,
            copies: None,
            ending: Ending {
                shared: Arc::clone(shared),
                call_id: job.call_id,
                told: false,
            },
        }
    }

    /// Polls the hook.
    fn poll_hook(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        // Looked up in the first poll and not when the event is pushed: the caller of `push` holds a lock that the
        // lookup takes.
        let event = match self.event.take().map(|event| self.ending.shared.as_of_now(event)) {
            Some(Err(outcome)) => return Poll::Ready(outcome),
            Some(Ok((event, copies))) => {
                self.copies = copies;
                Some(event)
            }
            None => None,
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            match (event, &self.hook, &mut self.running) {
                (Some(event), Some(Hook::Async(hook)), running) => {
                    running.insert(hook(event)).as_mut().poll(cx)
                }
                (Some(event), Some(Hook::Blocking(hook)), _) => Poll::Ready(hook(&event)),
                (_, _, Some(running)) => running.as_mut().poll(cx),
                // Unreachable: a deferred hook was made async, and a running one has its future.
                (_, _, None) => Poll::Pending,
            }
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(outcome_of(Ok(result))),
            Err(payload) => Poll::Ready(outcome_of(Err(payload))),
        }
    }

    fn drop_hook(&mut self) {
        drop_catching_panic(self.running.take());
        drop_catching_panic(self.hook.take());
    }
}

impl Future for CallFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let scope = scope::enter(this.ending.shared.key());
        let outcome = ready!(this.poll_hook(cx));
        this.drop_hook();
        drop(scope);
        this.copies = None;
        this.ending.tell(outcome);
        Poll::Ready(())
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        let _scope = scope::enter(self.ending.shared.key());
        self.drop_hook();
    }
}
