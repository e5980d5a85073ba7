//! Leadership as the cluster sees it: an epoch, counted by the state machine, held under a lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use super::node::Consensus;
use super::proposer::Proposer;
use crate::env::{self, Instant};
use crate::error::ErrorCode;
use crate::model::NodeId;
use crate::state::Command;

/// How long a new leader tries to have its epoch committed before it looks whether it leads at all.
const ATTEMPT: Duration = Duration::from_secs(1);

/// This node's leadership began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadershipChange {
    /// It leads, with this epoch.
    Became(u64),
    /// It leads no longer; the epoch is the one that ended.
    Lost(u64),
}

/// Watches Raft and keeps the answer to "do I lead, and with which epoch?".
pub(crate) struct Leadership {
    me: NodeId,
    consensus: Arc<Consensus>,
    proposer: Arc<Proposer>,
    held: Mutex<Option<Held>>,
    changed: env::Signal,
}

/// A leadership whose first command is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: u64,
    vote: (u64, u64),
}

impl Leadership {
    pub(crate) fn new(me: NodeId, consensus: Arc<Consensus>, proposer: Arc<Proposer>) -> Self {
        Leadership {
            me,
            consensus,
            proposer,
            held: Mutex::new(None),
            changed: env::Signal::default(),
        }
    }

    /// The epoch with which this node leads, if it does at this very moment: a quorum acknowledged it so lately
    /// that nobody else can lead. That Raft calls it leader is not enough: one that is cut off goes on being
    /// called so.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let held = (*self.held.lock().unwrap_or_else(PoisonError::into_inner))?;
        let valid = self.vote() == Some(held.vote)
            && self
                .consensus
                .lease_until()
                .is_some_and(|until| Instant::now() < until);
        valid.then_some(held.epoch)
    }

    /// True when this node leads at this very moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.epoch().is_some()
    }

    /// Told whenever leadership begins or ends here.
    pub(crate) fn changed(&self) -> &env::Signal {
        &self.changed
    }

    /// The committed vote for this node, if there is one: what tells two of its leaderships apart.
    fn vote(&self) -> Option<(u64, u64)> {
        let metrics = self.consensus.raft().metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.state == ServerState::Leader && metrics.vote.committed;
        let leader = metrics.vote.leader_id;
        (leads && leader.node_id == self.consensus.raft_id()).then_some((leader.term, leader.node_id))
    }

    /// Runs until Raft stops; `tell` hears of every change, in order.
    pub(crate) async fn run(&self, tell: impl Fn(LeadershipChange)) {
        let mut metrics = self.consensus.raft().metrics();
        loop {
            self.step(&tell).await;
            // The end of the lease is no event of Raft's: somebody has to wait for it.
            let lease = self.consensus.lease_until().filter(|_| self.held().is_some());
            let changed = metrics.changed();
            let alive = match lease {
                Some(until) => tokio::select! {
                    biased;
                    changed = changed => changed.is_ok(),
                    () = env::sleep_until(until) => true,
                },
                None => changed.await.is_ok(),
            };
            if !alive {
                self.lose(&tell);
                return;
            }
        }
    }

    async fn step(&self, tell: &impl Fn(LeadershipChange)) {
        if let Some(held) = self.held()
            && (self.vote() != Some(held.vote)
                || self
                    .consensus
                    .lease_until()
                    .is_none_or(|until| Instant::now() >= until))
        {
            self.lose(tell);
        }
        let Some(vote) = self.vote() else { return };
        if self.held().is_some() {
            return;
        }
        // A node that does not know itself yet (bootstrap) has nothing to be recorded under.
        if !self.consensus.replica().topology().nodes.contains_key(&self.me) {
            return;
        }
        let command = Command::LeaderElected {
            node: self.me.clone(),
            term: vote.0,
        };
        let elected = self.proposer.propose_here(command, ATTEMPT).await;
        let recorded = match elected {
            Ok(response) => response.result.is_ok(),
            Err(error) if error.code() == ErrorCode::Stopped => return,
            Err(_) => false,
        };
        let leads = self.vote() == Some(vote);
        if recorded && leads {
            let topology = self.consensus.replica().topology();
            if topology.leader.as_ref() == Some(&self.me) && topology.leader_term == vote.0 {
                let epoch = topology.leader_epoch;
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { epoch, vote });
                tell(LeadershipChange::Became(epoch));
                self.changed.notify();
            }
        }
    }

    fn held(&self) -> Option<Held> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, tell: &impl Fn(LeadershipChange)) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            tell(LeadershipChange::Lost(held.epoch));
            self.changed.notify();
        }
    }
}
