//! The types of the hook API: hooks, filters, outcomes and statistics.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::catch_panic::drop_catching_panic;
use crate::model::{Event, EventKind};

use super::deferred::HookCompletion;

/// Identifies one registration of a hook. Never reused within a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub u64);

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {}", self.0)
    }
}

/// The type of an event, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum EventType {
    /// [`EventKind::PartitionChange`].
    PartitionChange = 0,
    /// [`EventKind::NodeJoin`].
    NodeJoin = 1,
    /// [`EventKind::NodeRejoin`].
    NodeRejoin = 2,
    /// [`EventKind::NodeLeave`].
    NodeLeave = 3,
    /// [`EventKind::RebalanceStart`].
    RebalanceStart = 4,
    /// [`EventKind::RebalanceComplete`].
    RebalanceComplete = 5,
    /// [`EventKind::ClusterHealthChange`].
    ClusterHealthChange = 6,
    /// [`EventKind::BecomeLeader`].
    BecomeLeader = 7,
    /// [`EventKind::LoseLeadership`].
    LoseLeadership = 8,
    /// [`EventKind::LeaderChange`].
    LeaderChange = 9,
}

impl EventType {
    /// The type of an event.
    pub const fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::PartitionChange(_) => EventType::PartitionChange,
            EventKind::NodeJoin(_) => EventType::NodeJoin,
            EventKind::NodeRejoin(_) => EventType::NodeRejoin,
            EventKind::NodeLeave(_) => EventType::NodeLeave,
            EventKind::RebalanceStart(_) => EventType::RebalanceStart,
            EventKind::RebalanceComplete(_) => EventType::RebalanceComplete,
            EventKind::ClusterHealthChange(_) => EventType::ClusterHealthChange,
            EventKind::BecomeLeader(_) => EventType::BecomeLeader,
            EventKind::LoseLeadership(_) => EventType::LoseLeadership,
            EventKind::LeaderChange(_) => EventType::LeaderChange,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// The event types that a registration is called for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventFilter(u16);

impl EventFilter {
    /// Every event, including types that later versions add.
    pub const ALL: EventFilter = EventFilter(u16::MAX);

    /// Events of one type.
    pub const fn only(event_type: EventType) -> Self {
        EventFilter(event_type.bit())
    }

    /// This filter extended by one more type.
    #[must_use]
    pub const fn and(self, event_type: EventType) -> Self {
        EventFilter(self.0 | event_type.bit())
    }

    /// True when the filter accepts events of this type.
    pub const fn accepts(self, event_type: EventType) -> bool {
        self.0 & event_type.bit() != 0
    }
}

impl fmt::Debug for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == EventFilter::ALL {
            f.write_str("EventFilter::ALL")
        } else {
            write!(f, "EventFilter({:#012b})", self.0)
        }
    }
}

/// A hook that runs to completion on a thread of the hooks' own pool.
pub type BlockingHook = Arc<dyn Fn(&Event) -> Result<(), String> + Send + Sync>;

/// A hook whose call is a future. It runs on a thread of the hooks' own pool as well.
pub type AsyncHook = Arc<dyn Fn(Arc<Event>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A hook whose call ends when the completion is used, which may be after it has returned.
pub type DeferredHook = Arc<dyn Fn(Arc<Event>, HookCompletion) + Send + Sync>;

/// A callback of the application.
///
/// A call that returns `Err` or panics has failed; the text goes to the log. What the closure captures is dropped
/// exactly once, when no call of it runs or will run.
#[derive(Clone)]
pub enum Hook {
    /// May block, and may call any function; calls that wait for hooks answer `IN_HOOK`.
    Blocking(BlockingHook),
    /// Polled on a thread of the hooks' own pool, with the runtime's timers and sockets. May block and call any
    /// function too.
    Async(AsyncHook),
    /// May block, and may call any function. The call ends when its completion is used.
    Deferred(DeferredHook),
}

/// A hook that could not be registered.
#[derive(Debug)]
pub struct Rejected {
    /// Why the registration failed.
    pub error: crate::Error,
    /// The hook, which was never called and will not be.
    pub hook: Hook,
}

impl Rejected {
    /// Drops the hook and returns the error.
    pub fn into_error(self) -> crate::Error {
        drop_catching_panic(self.hook);
        self.error
    }
}

impl Hook {
    /// A hook from a closure that may block.
    pub fn blocking(hook: impl Fn(&Event) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Hook::Blocking(Arc::new(hook))
    }

    /// A hook from a closure that returns a future.
    pub fn from_async<F>(hook: impl Fn(Arc<Event>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Hook::Async(Arc::new(move |event| Box::pin(hook(event))))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hook::Blocking(_) => "Hook::Blocking",
            Hook::Async(_) => "Hook::Async",
            Hook::Deferred(_) => "Hook::Deferred",
        })
    }
}

/// How one call of a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned success.
    Done,
    /// It returned an error.
    Failed(String),
    /// It panicked.
    Panicked(String),
    /// Its future was dropped before it completed, because the runtime is shutting down.
    Cancelled,
}

/// Why a call counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureReason {
    /// The hook returned an error.
    Error,
    /// The hook panicked.
    Panic,
    /// The runtime dropped the call before it completed.
    Cancelled,
    /// The hook was removed before its copy of a gained partition had succeeded. The gain is not confirmed, because
    /// nothing shows that the data is there; the cluster plans the partition again.
    Unregistered,
}

/// A failed call, for the log.
#[derive(Debug, Clone)]
pub struct HookFailure {
    /// The registration that failed.
    pub hook: HookId,
    /// The event that the hook was called with.
    pub event: Arc<Event>,
    /// Number of the call for this event, from 1.
    pub attempt: u32,
    /// Why the call counts as failed.
    pub reason: FailureReason,
    /// The hook's error text, the panic message, or a description of the failure.
    pub message: String,
    /// Delay after which the hook is called again for this event; `None` when it is not.
    pub retry_in: Option<Duration>,
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, revision) = (self.event.kind.name(), self.event.revision);
        write!(f, "{} failed on {name} of revision {revision}", self.hook)?;
        if let EventKind::PartitionChange(change) = &self.event.kind {
            write!(f, " ({}, {})", change.partition_id, change.node_id)?;
        }
        let how = match self.reason {
            FailureReason::Error => "",
            FailureReason::Panic => "panic: ",
            FailureReason::Cancelled => "cancelled: ",
            FailureReason::Unregistered => "removed: ",
        };
        write!(f, ", attempt {}: {how}{}", self.attempt, self.message)?;
        match self.retry_in {
            Some(delay) => write!(f, "; again in {} ms", delay.as_millis()),
            None => Ok(()),
        }
    }
}

/// Statistics of one registration since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStats {
    /// The registration.
    pub hook: HookId,
    /// The event types that it is called for.
    pub filter: EventFilter,
    /// Calls that have ended, with any outcome.
    pub calls: u64,
    /// Ended calls that did not return success.
    pub failures: u64,
    /// Failed calls that panicked.
    pub panics: u64,
    /// Retries for gained partitions whose delay has passed.
    pub retries: u64,
    /// Events and retries that were removed before delivery, because a later event made them obsolete.
    pub coalesced: u64,
    /// Events that wait in the queue.
    pub queued: usize,
    /// Calls that are running.
    pub running: usize,
}
