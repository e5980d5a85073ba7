//! What a registration is made of and what is told about it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::catch_panic::drop_catching_panic;
use crate::model::{Event, EventKind};

/// Names one registration of one hook. Never reused within a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub u64);

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {}", self.0)
    }
}

/// The kinds of events, without what they carry.
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

/// Which events a registration is called for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventFilter(u16);

impl EventFilter {
    /// Every event, kinds that later versions add included.
    pub const ALL: EventFilter = EventFilter(u16::MAX);

    /// Events of one type.
    pub const fn only(event_type: EventType) -> Self {
        EventFilter(event_type.bit())
    }

    /// These events and those of one more type.
    #[must_use]
    pub const fn and(self, event_type: EventType) -> Self {
        EventFilter(self.0 | event_type.bit())
    }

    /// True when events of this type pass.
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

/// A hook that runs to its end on a thread of its own pool.
pub type BlockingHook = Arc<dyn Fn(&Event) -> Result<(), String> + Send + Sync>;

/// A hook whose call is a future. It runs on a thread of the hooks' own pool, too.
pub type AsyncHook = Arc<dyn Fn(Arc<Event>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What an application wants called.
///
/// A call that returns `Err` (or panics) has failed; the text goes to the log. What the closure holds is
/// dropped exactly once, when no call of it runs or will run.
#[derive(Clone)]
pub enum Hook {
    /// May block, and may call whatever it likes.
    Blocking(BlockingHook),
    /// Is polled on a thread of the hooks' own, with the runtime's timers and sockets; may block and call as well.
    Async(AsyncHook),
}

/// A hook that could not be registered.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: crate::Error,
    /// What nobody has called or will.
    pub hook: Hook,
}

impl Rejected {
    /// The error; the hook is dropped.
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
    /// Its future was dropped before its end: the runtime is shutting down.
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
    /// The runtime dropped the call before its end.
    Cancelled,
    /// The hook was removed before its copy of a gained partition had succeeded. The gain is not confirmed:
    /// nobody has shown that the data is there, so the cluster plans it anew.
    Unregistered,
}

/// A failed call, for the log.
#[derive(Debug, Clone)]
pub struct HookFailure {
    /// Whose.
    pub hook: HookId,
    /// The event it was called for.
    pub event: Arc<Event>,
    /// Which call for this event it was, from 1.
    pub attempt: u32,
    /// How it failed.
    pub reason: FailureReason,
    /// The hook's own words, or the panic's.
    pub message: String,
    /// When it is called again for this event, if it is.
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

/// What one registration has seen since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStats {
    /// Which.
    pub hook: HookId,
    /// What it is called for.
    pub filter: EventFilter,
    /// Calls that have ended, however they ended.
    pub calls: u64,
    /// Those of them that did not return success.
    pub failures: u64,
    /// Those of the failures that were panics.
    pub panics: u64,
    /// Calls that were made again for a gained partition.
    pub retries: u64,
    /// Events that a later one made pointless before they were told.
    pub coalesced: u64,
    /// Events that wait.
    pub queued: usize,
    /// Calls under way.
    pub running: usize,
}
