//! Until when this node leads for sure, and reads that rest on it.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{RaftMetrics, ReadPolicy, ServerState};

use crate::env::{self, Instant};
use crate::error::Result;
use crate::planted::planted;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{RaftId, Types, Vote, stopped};

/// The committed vote for `me`, if there is one: its leadership.
pub(in crate::raft) fn leadership(metrics: &RaftMetrics<Types>, me: RaftId) -> Option<Vote> {
    let leads = metrics.state == ServerState::Leader && metrics.vote.committed;
    (leads && metrics.vote.leader_id.node_id == me).then_some(metrics.vote)
}

impl RaftNode {
    /// The committed vote for this node, if there is one: what tells two of its leaderships apart.
    pub(in crate::raft) fn leading(&self) -> Option<Vote> {
        // Not `server_metrics`: those are not told when Raft stops.
        let metrics = self.raft().metrics();
        self.vote_of(&metrics.borrow_watched())
    }

    fn vote_of(&self, metrics: &RaftMetrics<Types>) -> Option<Vote> {
        leadership(metrics, self.raft_id())
    }

    /// Until when this node may act as leader: a quorum has acknowledged it, and no voter gives its vote to
    /// another for so long. Counted from when the acknowledged message was *sent*.
    pub(crate) fn lease_until(&self) -> Option<Instant> {
        // One look: the vote and the voters of one moment.
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
            // A vote for another has left this node: who needs it no more may lead already.
            return None;
        }
        if !self.votes_in(&metrics) {
            // The others need no vote of this node's. A sole voter does not even wait for the lease that it granted:
            // Raft lets it elect itself at once.
            return None;
        }
        let now = Instant::now();
        if planted("leader-without-lease") {
            return Some(now + self.lease);
        }
        if planted("lease-by-openraft") && metrics.membership_config.voter_ids().count() > 1 {
            return metrics.last_quorum_acked.map(|acked| *acked + self.lease);
        }
        if planted("lease-too-long") {
            return Some(self.acknowledged(&metrics)? + 4 * self.lease);
        }
        let configs = metrics.membership_config.get_joint_config();
        let term = vote.leader_id.term;
        self.acks
            .quorum_pledged_until(self.raft_id(), term, configs, now + self.lease)
    }

    /// When the newest message of this leadership was sent that a quorum has acknowledged. Its own acknowledgement counts
    /// at any moment: for a sole voter that is now.
    fn acknowledged(&self, metrics: &RaftMetrics<Types>) -> Option<Instant> {
        let configs = metrics.membership_config.get_joint_config();
        let term = metrics.vote.leader_id.term;
        self.acks
            .quorum_acked_at(self.raft_id(), term, configs, Instant::now())
    }

    /// True when this node has a vote.
    pub(in crate::raft) fn votes(&self) -> bool {
        let metrics = self.raft().metrics();
        self.votes_in(&metrics.borrow_watched())
    }

    fn votes_in(&self, metrics: &RaftMetrics<Types>) -> bool {
        let mut voters = metrics.membership_config.voter_ids();
        voters.any(|voter| voter == self.raft_id())
    }

    /// True when a node of Raft has acknowledged something of this leader's that was sent within `time`.
    pub(crate) fn was_heard_of(&self, raft_id: RaftId, time: Duration) -> bool {
        let metrics = self.raft().metrics();
        self.was_heard_of_in(&metrics.borrow_watched(), raft_id, time)
    }

    /// [`was_heard_of`](Self::was_heard_of) for who looks at the metrics already: to look again meanwhile would wait for
    /// Raft, which waits for the first look to end.
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

    /// The revision that a read must see to be linearizable. Only the leader can tell; `Err` is who leads instead, as far
    /// as is known.
    pub(in crate::raft) async fn read_index(&self) -> Result<std::result::Result<u64, Option<RaftId>>> {
        if planted("read-without-quorum") {
            return Ok(Ok(self.applied().revision()));
        }
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
        if planted("read-by-openraft") {
            return Ok(Ok(index));
        }
        // openraft has asked a quorum, but see quorum_acks.rs: what it took for the answer may be one to an earlier question.
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
