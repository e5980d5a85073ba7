//! The leader's lease, and the linearizable reads that depend on a quorum's acknowledgements.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{RaftMetrics, ReadPolicy, ServerState};

use crate::env::{self, Instant};
use crate::error::Result;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{RaftId, Types, Vote, stopped};

/// The committed vote for `me`, if `me` leads. It identifies one leadership.
pub(in crate::raft) fn leadership(metrics: &RaftMetrics<Types>, me: RaftId) -> Option<Vote> {
    let leads = metrics.state == ServerState::Leader && metrics.vote.committed;
    (leads && metrics.vote.leader_id.node_id == me).then_some(metrics.vote)
}

impl RaftNode {
    /// The committed vote for this node, if it leads. It distinguishes two leaderships of the same node.
    pub(in crate::raft) fn leading(&self) -> Option<Vote> {
        // Not `server_metrics`: their receivers are not notified when Raft stops.
        let metrics = self.raft().metrics();
        self.vote_of(&metrics.borrow_watched())
    }

    fn vote_of(&self, metrics: &RaftMetrics<Types>) -> Option<Vote> {
        leadership(metrics, self.raft_id())
    }

    /// The end of this leader's lease: a quorum has pledged to vote for no other candidate until then. A pledge counts
    /// from when the acknowledged message was *sent*. `None` if this node holds no lease.
    pub(crate) fn lease_until(&self) -> Option<Instant> {
        // One borrow, so that the vote and the voters are of the same moment.
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let vote = self.vote_of(&metrics)?;
        if self.gives_up(vote) {
            return None;
        }
        if self
            .pledges
            .has_left((vote.leader_id.term, vote.leader_id.node_id))
        {
            // A vote for another candidate has left this node, so that candidate may already lead.
            return None;
        }
        if !self.votes_in(&metrics) {
            // Without a vote of its own, this node cannot prevent the election of another leader. A sole voter does not
            // even wait for the end of its pledge: Raft lets it elect itself at once.
            return None;
        }
        let now = Instant::now();
        planted!("leader-without-lease", return Some(now + self.lease));
        if planted!("lease-by-openraft") && metrics.membership_config.voter_ids().count() > 1 {
            return metrics.last_quorum_acked.map(|acked| *acked + self.lease);
        }
        planted!(
            "lease-too-long",
            return Some(self.acknowledged(&metrics)? + 4 * self.lease)
        );
        let configs = metrics.membership_config.get_joint_config();
        let term = vote.leader_id.term;
        self.acks
            .quorum_pledged_until(self.raft_id(), term, configs, now + self.lease)
    }

    /// The send time of the newest message of this leadership that a quorum has acknowledged. This node acknowledges
    /// itself at any moment, so for a sole voter that is now.
    fn acknowledged(&self, metrics: &RaftMetrics<Types>) -> Option<Instant> {
        let configs = metrics.membership_config.get_joint_config();
        let term = metrics.vote.leader_id.term;
        self.acks
            .quorum_acked_at(self.raft_id(), term, configs, Instant::now())
    }

    /// True if this node is a voter.
    pub(in crate::raft) fn votes(&self) -> bool {
        let metrics = self.raft().metrics();
        self.votes_in(&metrics.borrow_watched())
    }

    fn votes_in(&self, metrics: &RaftMetrics<Types>) -> bool {
        let mut voters = metrics.membership_config.voter_ids();
        voters.any(|voter| voter == self.raft_id())
    }

    /// True if a Raft node has acknowledged a message that this leader sent within the last `time`.
    pub(crate) fn was_heard_of(&self, raft_id: RaftId, time: Duration) -> bool {
        let metrics = self.raft().metrics();
        self.was_heard_of_in(&metrics.borrow_watched(), raft_id, time)
    }

    /// [`was_heard_of`](Self::was_heard_of) for a caller that already borrows the metrics. A second borrow could wait
    /// for Raft to update them, and Raft waits for the first borrow to end.
    pub(in crate::raft) fn was_heard_of_in(
        &self,
        metrics: &RaftMetrics<Types>,
        raft_id: RaftId,
        time: Duration,
    ) -> bool {
        let vote = self.vote_of(metrics);
        let heard = vote.and_then(|vote| self.acks.last_acked(raft_id, vote.leader_id.term));
        heard.is_some_and(|at| at.elapsed() < time)
    }

    /// The revision that a read must reach to be linearizable. Only the leader knows it; the inner `Err` names the
    /// leader to ask instead, if it is known.
    pub(in crate::raft) async fn read_index(&self) -> Result<std::result::Result<u64, Option<RaftId>>> {
        planted!("read-without-quorum", return Ok(Ok(self.applied().revision())));
        let asked = Instant::now();
        let Some(vote) = self.leading() else {
            return Ok(Err(self.leader()));
        };
        let index = match self.raft().get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => linearizer.read_log_id().index(),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                return Ok(Err(forward.leader_id));
            }
            Err(RaftError::APIError(_)) => return Ok(Err(None)),
            Err(RaftError::Fatal(fatal)) => return Err(stopped(fatal)),
        };
        planted!("read-by-openraft", return Ok(Ok(index)));
        // openraft has asked a quorum, but it may have counted an answer to an earlier request (see quorum_acks.rs). So
        // this waits until a quorum acknowledges a request that was sent after the read began.
        loop {
            let seen = self.acks.changed().count();
            {
                let metrics = self.raft().metrics();
                let metrics = metrics.borrow_watched();
                if self.vote_of(&metrics) != Some(vote) {
                    return Ok(Err(metrics.current_leader));
                }
                if self.acknowledged(&metrics).is_some_and(|sent| sent > asked) {
                    return Ok(Ok(index));
                }
            }
            let answered = env::timeout(self.heartbeat, self.acks.changed().after(seen)).await;
            if answered.is_err() {
                self.raft().trigger().heartbeat().await.map_err(stopped)?;
            }
        }
    }
}
