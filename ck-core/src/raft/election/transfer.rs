//! Handing leadership over.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::raft::VoteRequest;

use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{RaftId, Vote, stopped};

/// How many entries a successor may lack: it must have them before it can take over.
const CLOSE: u64 = 500;

impl RaftNode {
    /// The voters that could take over now: they have the log, and were heard of lately. Best first.
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

    /// Hands leadership to `to`, and takes it back when that node does not take it within `deadline`: openraft
    /// itself would accept no writes until somebody else leads, which may be never.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] when the hand-over failed and this node leads again, or tries to.
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

    /// True where another leader was heard of, though Raft may not know yet: its vote for that one waits for the disk.
    fn has_successor(&self, given_up: Vote) -> bool {
        let leader = (given_up.leader_id.term, given_up.leader_id.node_id);
        self.pledges.heard_of_one_after(leader)
    }

    /// Ends a leadership that is handed over and that nobody took; false where somebody has taken it meanwhile. A leader
    /// that is handing over does nothing any more, and openraft lets no leader campaign. So it first gives the target its
    /// vote for the next term, which is what a hand-over is about and makes it a follower; then it campaigns for the term
    /// after that.
    async fn take_back(&self, given_up: Vote, target: RaftId) -> Result<bool> {
        let mut next = given_up;
        next.leader_id.term += 1;
        next.leader_id.node_id = target;
        next.committed = false;
        let mut request = VoteRequest::new(next, self.last_log_id());
        // No lease stands in the way: it is this node's own, and it has given that up.
        request.leadership_transfer = true;
        // That waits for the disk, which may take its time.
        self.raft().vote(request).await.map_err(stopped)?;
        if self.has_successor(given_up) {
            return Ok(false);
        }
        self.raft().trigger().elect(false).await.map_err(stopped)?;
        Ok(true)
    }
}
