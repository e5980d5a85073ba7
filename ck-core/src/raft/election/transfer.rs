//! Transfer of leadership to another voter.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::raft::VoteRequest;

use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{RaftId, Vote, stopped};

/// How many entries a successor may lack. It must receive them before it can take over.
const CLOSE: u64 = 500;

impl RaftNode {
    /// The voters that could take over now: their log is close to complete, and they have acknowledged this leader
    /// recently. The best one comes first.
    pub(crate) fn successors(&self, heartbeat: Duration) -> Vec<RaftId> {
        let last = self.last_index();
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let Some(replication) = &metrics.replication else {
            return Vec::new();
        };
        let mut able: Vec<(u64, RaftId)> = metrics
            .membership_config
            .voter_ids()
            .filter(|id| *id != self.raft_id())
            .filter_map(|id| {
                let matched = (*replication.get(&id)?)?.index;
                let fresh = self.was_heard_of_in(&metrics, id, heartbeat * 4);
                (fresh && matched + CLOSE >= last).then_some((matched, id))
            })
            .collect();
        able.sort_by_key(|(matched, id)| (std::cmp::Reverse(*matched), *id));
        able.into_iter().map(|(_, id)| id).collect()
    }

    /// Transfers leadership to `to`, and takes it back if `to` does not take it within `deadline`. Without that,
    /// openraft would accept no writes until another node leads, which may be never.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] when the transfer failed and this node leads again, or tries to. [`ErrorCode::Stopped`]
    /// when Raft has stopped.
    pub(crate) async fn transfer(&self, to: RaftId, deadline: Duration) -> Result<()> {
        let mut metrics = self.raft().metrics();
        let before = metrics.borrow_watched().vote;
        self.give_up(before);
        self.raft().trigger().transfer_leader(to).await.map_err(stopped)?;
        let until = Instant::now() + deadline;
        loop {
            {
                let now = metrics.borrow_and_update();
                if now.vote != before && now.vote.committed && now.current_leader.is_some() {
                    return Ok(());
                }
            }
            tokio::select! {
                biased;
                changed = metrics.changed() => {
                    if changed.is_err() {
                        return Err(Error::new(ErrorCode::Stopped, "Raft has stopped on this node"));
                    }
                }
                () = env::sleep_until(until) => break,
            }
        }
        if self.has_successor(before) || !self.take_back(before, to).await? {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Refused,
            format!(
                "Raft node {to} did not take leadership over within {deadline:?}; this node takes it back"
            ),
        ))
    }

    /// True if this node has heard from a later leader. Raft may not know it yet, because its vote for that leader
    /// waits for the disk.
    fn has_successor(&self, given_up: Vote) -> bool {
        let leader = (given_up.leader_id.term, given_up.leader_id.node_id);
        self.pledges.heard_of_one_after(leader)
    }

    /// Ends a leadership whose transfer failed, and campaigns; false if another node leads meanwhile. A leader that
    /// transfers its leadership processes nothing more, and openraft lets no leader campaign. So this node first gives
    /// the target its vote for the next term, which is the purpose of a transfer and makes this node a follower. Then
    /// it campaigns for the term after that.
    async fn take_back(&self, given_up: Vote, target: RaftId) -> Result<bool> {
        let mut next = given_up;
        next.leader_id.term += 1;
        next.leader_id.node_id = target;
        next.committed = false;
        let mut request = VoteRequest::new(next, self.last_log_id());
        // No lease prevents the vote: the lease is that of this node, which has given it up.
        request.leadership_transfer = true;
        // This waits for the disk, which may be slow.
        self.raft().vote(request).await.map_err(stopped)?;
        if self.has_successor(given_up) {
            return Ok(false);
        }
        self.raft().trigger().elect(false).await.map_err(stopped)?;
        Ok(true)
    }
}
