//! Times in which a node does not stand for election by itself. Handed leadership, it takes it all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use openraft::async_runtime::WatchReceiver;

use super::state_machine::Raft;
use super::types::RaftId;
use crate::env::{self, Instant};

/// A node that rests stands for election all the same when it has heard of no leader for so many of the longest
/// election timeouts: it may be the only one that has every entry, and then nobody else can lead.
const PATIENCE: u32 = 10;

/// Which leader last sent this node anything, and when.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<(RaftId, Instant)>>);

impl Heard {
    pub(super) fn now(&self, leader: RaftId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, Instant::now()));
    }

    pub(super) fn last(&self) -> Option<(RaftId, Instant)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When that was, or `begun` where it was before.
    fn since(&self, begun: Instant) -> Instant {
        self.last().map_or(begun, |(_, at)| at.max(begun))
    }
}

/// Until when this node keeps still.
pub(super) struct Still {
    raft: Raft,
    heard: Arc<Heard>,
    /// Nobody leads who is not heard of for so long.
    patience: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    until: Option<Instant>,
    /// The task that waits for the end.
    waiting: Option<AbortHandle>,
}

impl Still {
    pub(super) fn new(raft: Raft, heard: Arc<Heard>, election_timeout_max: Duration) -> Self {
        Still {
            raft,
            heard,
            patience: election_timeout_max * PATIENCE,
            inner: Mutex::default(),
        }
    }

    /// A voter that restarts has forgotten the lease that it granted. [`Server`](super::server::Server) lets it vote
    /// for nobody else until that has run out; here it is kept from voting for itself: it was opened with elections
    /// off. Where it is the only voter the lease was its own.
    pub(super) fn after_restart(&self, me: RaftId, lease: Duration) {
        let raft = self.raft.clone();
        let mut metrics = self.raft.metrics();
        let alone = async move {
            loop {
                let alone = {
                    let now = metrics.borrow_and_update();
                    let mut voters = now.membership_config.voter_ids();
                    // Before Raft has read its log it knows of no voter at all.
                    voters.next() == Some(me) && voters.next().is_none()
                };
                if alone || metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        self.wait(lease, async move {
            // Either is a reason to go on.
            let _ = env::timeout(lease, alone).await;
            raft.runtime_config().elect(true);
        });
    }

    /// Keeps still for `duration` from now on, or for as long as it does anyway where that is longer; but not while
    /// nobody leads.
    pub(super) fn rest(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let (raft, heard, patience) = (self.raft.clone(), self.heard.clone(), self.patience);
        self.wait(duration, async move {
            raft.runtime_config().elect(false);
            let begun = Instant::now();
            let end = begun + duration;
            loop {
                let deadline = end.min(heard.since(begun) + patience);
                env::sleep_until(deadline).await;
                if Instant::now() >= end.min(heard.since(begun) + patience) {
                    break;
                }
            }
            raft.runtime_config().elect(true);
        });
    }

    fn wait(&self, duration: Duration, task: impl Future<Output = ()> + Send + 'static) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + duration;
        if inner.until.is_some_and(|present| present >= until) {
            return;
        }
        inner.until = Some(until);
        // The later end is the one that counts.
        if let Some(earlier) = inner.waiting.take() {
            earlier.abort();
        }
        let (task, handle) = abortable(task);
        inner.waiting = Some(handle);
        env::spawn(async move {
            // Aborted is how it ends where another takes its place.
            let _ = task.await;
        });
    }

    /// Ends with the node.
    pub(super) fn close(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = inner.waiting.take() {
            waiting.abort();
        }
    }
}
