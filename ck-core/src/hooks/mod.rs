//! Hooks: from events to calls of the application, in order.
//!
//! The applier of the replicated state machine pushes every [`Event`](crate::model::Event) in the order of
//! the log, the same on every node; each registered [`Hook`] is called for those that its [`EventFilter`]
//! accepts. [`Schedule`](schedule::Schedule) decides which call may start when; it is pure. Two drivers
//! ([`Driver`]) make the calls: threads, or tasks of the runtime (in a simulation).
//!
//! # Order
//!
//! - *Queue.* Each registration has a queue of its own and gets its events in the order of the log.
//! - *Batch.* Partition changes that follow each other in a queue form a batch, which others may still join
//!   while it runs. Its calls run concurrently, those for one partition one after the other. At most
//!   `concurrency` run at a time, over all registrations; of these a registration leaves one to each other
//!   registration that takes partition changes.
//! - *Barrier.* Every other event is a barrier in its queue: its call starts when all earlier ones have
//!   returned, and no later one starts before it has.
//! - *Fence.* Movement is ordered across registrations too. A call for a partition change starts only when
//!   every registration's calls for earlier `NodeRejoin` and `RebalanceStart` events have returned; a call
//!   for `NodeRejoin`, `RebalanceStart` or `RebalanceComplete` only when every registration's calls for
//!   earlier partition changes have. So a rejoining node's clean-up has *returned* before its first copy
//!   begins, and copies are bracketed by the rebalance that they belong to, even when each is a hook of its
//!   own.
//! - *Observers.* A registration that observes has no part in batch and fence: it gets one event after the other, and
//!   neither waits for others nor keeps them waiting, whatever its calls do.
//! - Everything else is independent: a slow hook delays its own queue and, where it is part of the fence,
//!   what must wait for it; nobody else.
//!
//! # Copies
//!
//! A `PartitionChange` by which this node gains a copy asks the application to copy data. When the calls of
//! all registrations that were told have returned success, [`HookHost::copied`] is called, once; where nobody is
//! registered at once. A call that fails is made again, for the failed registration only, after 100 ms, then
//! twice as long each time, up to 30 s. While it waits for its delay it holds neither queue nor fence; when
//! the delay has passed it joins the end of the queue as if its event were pushed then, so it never runs
//! beside a clean-up.
//!
//! A later event about this node and the same partition supersedes the gain. A loss or another gain ends it:
//! it will not be confirmed, whatever a call under way returns. Primary gained or lost ends it where a call
//! has failed and would be made again, for that could copy old data over new; a first call goes on and may
//! confirm it. A hook that is removed before its copy has succeeded leaves the gain unconfirmed, and nobody
//! else's copy for it is tried again: the cluster gives such a move up after a while and plans anew.
//!
//! # Calls that end later
//!
//! The function of a [`Hook::Deferred`] is given a [`HookCompletion`], and its call ends when that is used: the data is
//! copied on a thread of the application's, or an event loop fetches the event from a queue. For order and copies such a
//! call runs until then, and no thread of the hooks waits for it.
//!
//! # Bounds
//!
//! Queues are bounded by removing events that were not started and that a later one makes pointless; each is
//! counted ([`HookStats::coalesced`]). *A gain that was taken back before it was told vanishes, a loss is
//! always told*, for it may be the only word on what the application holds from before.
//!
//! - Changes of one partition on one node, always: a lost copy removes everything before it; a lost primary
//!   role removes gained and lost primary roles; a gained copy removes gained copies and primary roles; a
//!   gained primary role removes gained primary roles only (the copy that it rests on is told first). At most
//!   four wait.
//! - Others, in a queue with `high_water` waiting barriers or more: a node's leave removes its joins, rejoins
//!   and leaves; its join removes its joins, its rejoin its rejoins (rejoins of this very node stay); of
//!   leader changes and of cluster health only the latest stays; losing the lead removes gaining and losing
//!   it, gaining it removes gaining it. A rebalance's completion removes the completion and start before it
//!   that form the seam of two rebalances, so that start and completion keep alternating; a registration for
//!   only one of the two keeps all.
//!
//! # Inside a hook
//!
//! No lock is held while a hook runs, and [`Hooks::push`] never waits for one, so a hook may call anything
//! that does not wait for hooks. What does asks [`Hooks::in_hook`] and answers `IN_HOOK`.
//!
//! # Inside this module
//!
//! `handle` has the handle and its one lock, `schedule` decides, `threads` and `tasks` make the calls, and
//! `copies` brings finished copies to the log. The threads are called `ck-hooks`: one starts when a call is
//! ready, or a retry waits, and none is idle. One stays, and the others end when they have been idle for
//! [`HooksConfig::thread_idle`].
//!
//! The lock guards the schedule and the threads, and is held for bookkeeping only. The applier calls
//! [`Hooks::push_batch`] under the lock of the applied state, and [`HookHost::copied`] may be called from there:
//! neither may read the applied state. [`HookHost::holders`] and the hooks themselves are called under no lock.
//!
//! Start with `handle.rs`: `push_batch`, then `settle`. `Schedule::push` and `Schedule::next_ready` have the
//! rules.

mod call;
mod coalesce;
mod config;
mod copies;
mod deferred;
mod handle;
pub mod job;
mod queue;
pub mod schedule;
mod scope;
mod tasks;
mod threads;
mod types;

#[cfg(test)]
mod tests;

pub(crate) use copies::{CopyConfirmer, CopyFailures, CopyTracker, Copying};
#[doc(hidden)]
pub use scope::on_hook_thread;

pub use config::{CopyOutcome, Driver, Holders, HookHost, HooksConfig};
pub use deferred::HookCompletion;
pub use handle::{Hooks, Unregistered};
pub use types::{
    AsyncHook, BlockingHook, DeferredHook, EventFilter, EventType, FailureReason, Hook, HookFailure, HookId,
    HookStats, Outcome, Rejected,
};
