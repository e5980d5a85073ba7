//! Leadership as the cluster sees it: an epoch that the state machine counts, held under a lease.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;

use crate::env::{self, Instant};
use crate::model::NodeId;
use crate::options::TimingValues;
use crate::raft::proposals::outcome::is_over;
use crate::raft::proposals::proposer::Proposer;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::Vote;
use crate::state::Command;

/// How long a new leader tries to commit its epoch before it checks whether it still leads.
const EPOCH_COMMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after a failed attempt of a node that leads. A leader accepts no writes at the very beginning and the very
/// end of its leadership, and every attempt changes the metrics that the loop waits for. The pause doubles up to the
/// longest: an attempt that is refused each time has a cause that does not pass, and each attempt may append an entry
/// to the log.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A change of the leadership of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadershipChange {
    /// The node leads, with this epoch.
    Became(u64),
    /// The node no longer leads. This is the epoch that ended.
    Lost(u64),
}

/// Watches Raft and records whether this node leads, and with which epoch.
pub(crate) struct Leadership {
    me: NodeId,
    node: Arc<RaftNode>,
    proposer: Arc<Proposer>,
    timing: TimingValues,
    held: Mutex<Option<HeldLeadership>>,
    changed: env::ChangeNotifier,
}

/// A leadership whose epoch is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeldLeadership {
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

    /// The epoch with which this node leads at this moment. A quorum acknowledged it so recently that no other node can
    /// lead. The leader state of Raft alone is not enough: a leader that is cut off stays in it.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let held = (*self.held.lock())?;
        let valid = self.node.leading() == Some(held.vote) && self.is_leased();
        valid.then_some(held.epoch)
    }

    /// True if this node leads at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.epoch().is_some()
    }

    /// Notified whenever the leadership of this node begins or ends.
    pub(crate) fn changed(&self) -> &env::ChangeNotifier {
        &self.changed
    }

    /// Runs until Raft stops. `tell` is called with every change, in order.
    pub(crate) async fn run(&self, tell: impl Fn(LeadershipChange)) {
        // These metrics change rarely, and not with every entry.
        let mut metrics = self.node.raft().server_metrics();
        let mut pause = FIRST_RETRY_PAUSE;
        loop {
            let acknowledged = self.node.acks.changed().count();
            let gave_up = self.node.gave_up.count();
            let topology = self.node.applied().changed().count();
            if !self.step(&tell).await {
                env::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_RETRY_PAUSE);
                continue;
            }
            pause = FIRST_RETRY_PAUSE;
            // The end of the lease is no event of Raft, so this waits for it.
            let lease = self.node.lease_until().filter(|_| self.held().is_some());
            let changed = metrics.changed();
            let alive = match lease {
                Some(until) => tokio::select! {
                    biased;
                    changed = changed => changed.is_ok(),
                    _ = self.node.gave_up.after(gave_up) => true,
                    () = env::sleep_until(until) => true,
                },
                // A leader without a lease gets it by an acknowledgement, and its epoch is recorded once it is a
                // member.
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

    /// False if the step must be retried soon.
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
            // Raft can elect a node whose vote was removed by an entry that is not committed yet. Such a leader never
            // has a lease.
            return self.give_way().await;
        }
        // Without a lease no epoch is proposed: a leader that is cut off would only fill its log.
        if self.held().is_some() || !self.is_leased() {
            return true;
        }
        let topology = self.node.applied().topology();
        if !topology.nodes.contains_key(&self.me) {
            // A removed node may still be elected while it votes, perhaps because only it has every entry. It cannot be
            // recorded as leader, so it transfers its leadership. A node that bootstraps a cluster is not in the
            // topology yet either: it leads, but there is no member to record.
            return topology.cluster_id.is_empty() || self.give_way().await;
        }
        let command = Command::LeaderElected {
            node: self.me.clone(),
            term: vote.leader_id.term,
        };
        let elected = self.proposer.propose_here(command, EPOCH_COMMIT_TIMEOUT).await;
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
                *self.held.lock() = Some(HeldLeadership { epoch, vote });
                tell(LeadershipChange::Became(epoch));
                self.changed.notify();
            }
        }
        true
    }

    /// Transfers leadership to the best successor. False if this must be retried.
    async fn give_way(&self) -> bool {
        match self.node.successors(self.timing.heartbeat).first() {
            Some(successor) => {
                let handed = self.node.transfer(*successor, self.timing.election_max);
                handed.await.is_ok()
            }
            None => false,
        }
    }

    fn held(&self) -> Option<HeldLeadership> {
        *self.held.lock()
    }

    fn lose(&self, tell: &impl Fn(LeadershipChange)) {
        let held = self.held.lock().take();
        if let Some(held) = held {
            tell(LeadershipChange::Lost(held.epoch));
            self.changed.notify();
        }
    }
}
