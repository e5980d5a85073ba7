//! Failure detection: a member that was silent for the failure timeout is marked as failed, and other members take over
//! its roles.
//!
//! Invariant: no member is failed while a lease of it may be valid. Time in which the leader itself was paused, or its
//! timers were late, does not count as silence of a member.

use std::sync::Arc;
use std::time::Duration;

use super::{LeaderContext, MembershipService};
use crate::env::{self, Instant};
use crate::model::{Node, NodeId, NodeStatus};

/// The pause before a failed member whose `MarkDown` was not committed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Runs on every node; acts only on the leader.
pub(crate) struct FailureDetector {
    context: LeaderContext,
    membership: Arc<MembershipService>,
    interval: Duration,
}

impl FailureDetector {
    /// The detector looks for silent members every `interval`.
    pub(crate) fn new(
        context: LeaderContext,
        membership: Arc<MembershipService>,
        interval: Duration,
    ) -> Self {
        FailureDetector {
            context,
            membership,
            interval,
        }
    }

    /// Runs until its task is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let seen = self.context.leadership.changed().count();
            if self.context.leadership.is_leader() {
                self.watch().await;
            } else {
                self.context.leadership.changed().after(seen).await;
            }
        }
    }

    /// Looks for silent members for as long as this node leads.
    async fn watch(&self) {
        let mut last = Instant::now();
        let mut stalled = self.context.raft.lateness.stalled();
        let mut late = Duration::ZERO;
        while self.context.leadership.is_leader() {
            // A leader that did not run could not receive heartbeats: it cannot tell which members were silent.
            if last.elapsed() > self.interval * 2 {
                self.context.leases.reset_contacts();
            }
            last = Instant::now();
            let stalls = self.context.raft.lateness.stalled();
            if !planted!("late-timers-count") {
                self.context
                    .leases
                    .discount_silence(stalls.saturating_sub(stalled).max(late));
            }
            stalled = stalls;
            let pause = match self.tick().await {
                Some(due) => due.since(Instant::now()).min(self.interval),
                None => self.interval,
            };
            let due = Instant::now() + pause;
            env::sleep_until(due).await;
            late = Instant::now().since(due);
        }
    }

    /// Fails the members that were silent for too long; gives the time of the next check.
    async fn tick(&self) -> Option<Instant> {
        let epoch = self.context.leadership.epoch()?;
        let topology = self.context.raft.applied().topology();
        let config = &topology.config;
        let timeout = config.failure_timeout();
        let mut again: Option<Instant> = None;
        let mut silent: Vec<Arc<Node>> = Vec::new();
        let up = topology.nodes.values().filter(|node| node.status.is_up());
        for node in up.filter(|node| node.id != self.context.me) {
            // A joining member that catches up with the log does not know its own incarnation yet and sends no
            // heartbeats: its answers to Raft count instead.
            if node.status == NodeStatus::Joining && self.context.raft.was_heard_of(node.raft_id, timeout) {
                self.context.leases.record_contact(&node.id, node.incarnation);
            }
            match self
                .context
                .leases
                .try_expire(epoch, &node.id, node.incarnation, config)
            {
                Ok(()) => silent.push(node.clone()),
                Err(due) => again = Some(again.map_or(due, |first| first.min(due))),
            }
        }
        let ids: Vec<NodeId> = silent.iter().map(|node| node.id.clone()).collect();
        for node in &silent {
            self.context.logger.warn(format_args!(
                "node {} was not heard of for {timeout:?} and is failed",
                node.id
            ));
            let failed = self
                .membership
                .fail(epoch, &node.id, node.incarnation, &ids)
                .await;
            if let Err(error) = failed {
                // The member stays expired and is tried again. Where this node leads no longer, the next leader detects
                // the failure itself.
                self.context
                    .logger
                    .warn(format_args!("node {} could not be failed: {error}", node.id));
                again = Some(Instant::now() + RETRY_PAUSE);
            }
        }
        again
    }
}
