//! Leadership as the cluster sees it: an epoch, counted by the state machine, held under a lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use crate::env::{self, Instant};
use crate::model::NodeId;
use crate::options::TimingValues;
use crate::raft::proposals::outcome::is_over;
use crate::raft::proposals::proposer::Proposer;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::Vote;
use crate::state::Command;

/// How long a new leader tries to have its epoch committed before it looks whether it leads at all.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The pause after an attempt that failed although this node leads: a leader takes no writes at its very beginning
/// and its very end, and every attempt changes the metrics that are waited for. It doubles up to the longest: what is
/// refused each time is refused for a reason that does not pass, and each attempt may be an entry of the log.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    node: Arc<RaftNode>,
    proposer: Arc<Proposer>,
    timing: TimingValues,
    held: Mutex<Option<Held>>,
    changed: env::ChangeNotifier,
}

/// A leadership whose first command is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: u64,
    vote: Vote,
}

impl Leadership {
    pub(crate) fn new(
        me: NodeId,
        node: Arc<RaftNode>,
        proposer: Arc<Proposer>,
        timing: TimingValues,
    ) -> Self {
        Leadership {
            me,
            node,
            proposer,
            timing,
            held: Mutex::new(None),
            changed: env::ChangeNotifier::default(),
        }
    }

    /// The epoch with which this node leads, if it does at this very moment: a quorum acknowledged it so lately
    /// that nobody else can lead. That Raft calls it leader is not enough: one that is cut off goes on being
    /// called so.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let held = (*self.held.lock().unwrap_or_else(PoisonError::into_inner))?;
        let valid = self.node.leading() == Some(held.vote) && self.is_leased();
        valid.then_some(held.epoch)
    }

    /// True when this node leads at this very moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.epoch().is_some()
    }

    /// Told whenever leadership begins or ends here.
    pub(crate) fn changed(&self) -> &env::ChangeNotifier {
        &self.changed
    }

    /// Runs until Raft stops; `tell` hears of every change, in order.
    pub(crate) async fn run(&self, tell: impl Fn(LeadershipChange)) {
        // What it is told of is little: not every entry.
        let mut metrics = self.node.raft().server_metrics();
        let mut pause = FIRST_PAUSE;
        loop {
            let acknowledged = self.node.acks.changed().count();
            let gave_up = self.node.gave_up.count();
            let topology = self.node.applied().changed().count();
            if !self.step(&tell).await {
                env::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = FIRST_PAUSE;
            // The end of the lease is no event of Raft's: somebody has to wait for it.
            let lease = self.node.lease_until().filter(|_| self.held().is_some());
            let changed = metrics.changed();
            let alive = match lease {
                Some(until) => tokio::select! {
                    biased;
                    changed = changed => changed.is_ok(),
                    _ = self.node.gave_up.after(gave_up) => true,
                    () = env::sleep_until(until) => true,
                },
                // One that has no lease yet gets it with an acknowledgement, and is recorded once it is a member.
                None => tokio::select! {
                    biased;
                    changed = changed => changed.is_ok(),
                    _ = self.node.acks.changed().after(acknowledged) => true,
                    _ = self.node.applied().changed().after(topology) => true,
                },
            };
            if !alive {
                self.lose(&tell);
                return;
            }
        }
    }

    fn is_leased(&self) -> bool {
        self.node
            .lease_until()
            .is_some_and(|until| Instant::now() < until)
    }

    /// False when it has to be tried again soon.
    async fn step(&self, tell: &impl Fn(LeadershipChange)) -> bool {
        if let Some(held) = self.held()
            && (self.node.leading() != Some(held.vote) || !self.is_leased())
        {
            self.lose(tell);
        }
        let Some(vote) = self.node.leading() else {
            return true;
        };
        if !self.node.votes() {
            // Raft elects one that lost its vote by an entry that is not committed yet. It never has a lease.
            return self.give_way().await;
        }
        // Without a lease there is nothing to record: a leader that is cut off only fills its log.
        if self.held().is_some() || !self.is_leased() {
            return true;
        }
        let topology = self.node.applied().topology();
        if !topology.nodes.contains_key(&self.me) {
            // One that was removed may be elected all the same, for as long as it votes, and may have been the only one
            // with every entry: nobody can act under it, so it gives way. One that founds a cluster does not know itself
            // yet, and has nothing to be recorded under.
            return topology.cluster_id.is_empty() || self.give_way().await;
        }
        let command = Command::LeaderElected {
            node: self.me.clone(),
            term: vote.leader_id.term,
        };
        let elected = self.proposer.propose_here(command, ATTEMPT).await;
        let recorded = match elected {
            Ok(response) => response.result.is_ok(),
            Err(error) if is_over(&error) => return true,
            Err(_) => false,
        };
        if !recorded {
            return false;
        }
        if self.node.leading() == Some(vote) {
            let topology = self.node.applied().topology();
            if topology.leader.as_ref() == Some(&self.me) && topology.leader_term == vote.leader_id.term {
                let epoch = topology.leader_epoch;
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { epoch, vote });
                tell(LeadershipChange::Became(epoch));
                self.changed.notify();
            }
        }
        true
    }

    /// Hands leadership to whoever can take it. False when it has to be tried again.
    async fn give_way(&self) -> bool {
        match self.node.successors(self.timing.heartbeat).first() {
            Some(successor) => {
                let handed = self.node.transfer(*successor, self.timing.election_max);
                handed.await.is_ok()
            }
            None => false,
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
