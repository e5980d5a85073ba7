//! Hands leadership over on request.

use std::time::Duration;

use super::LeaderContext;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{NodeId, RaftId};
use crate::options::TimingValues;

/// How long a leader looks for a successor. Usually the first candidate takes over, within milliseconds; on a busy
/// machine it may need more than one attempt, or another node.
pub(crate) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a condition is checked that no notifier announces.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Transfers this node's leadership to another voter.
pub(crate) struct LeadershipTransfer {
    context: LeaderContext,
    timing: TimingValues,
}

impl LeadershipTransfer {
    pub(super) fn new(context: LeaderContext, timing: TimingValues) -> Self {
        LeadershipTransfer { context, timing }
    }

    /// Transfers leadership, to `target` where one is named, and does not campaign again for `cooldown`: without one,
    /// for twice the longest election timeout. This node must lead. A candidate that does not take over in time is
    /// asked again after the others, until [`TRANSFER_TIMEOUT`] has passed. Gives the revision that this node has
    /// applied.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason where no voter could take over, or none did; [`ErrorCode::NotFound`]
    /// where there is no node `target`.
    pub(crate) async fn step_down(&self, target: Option<&NodeId>, cooldown: Option<Duration>) -> Result<u64> {
        if target == Some(&self.context.me) {
            return Ok(self.context.applied.revision());
        }
        let revision = self.hand_over(target).await?;
        // Gives the new leader time to establish itself, though it may be slower than this node.
        let cooldown = cooldown.unwrap_or(self.timing.election_max * 2);
        self.context.raft.hold_elections_for(cooldown);
        Ok(revision)
    }

    async fn hand_over(&self, target: Option<&NodeId>) -> Result<u64> {
        let LeaderContext { raft, applied, .. } = &self.context;
        let target = match target {
            None => None,
            Some(id) => {
                let raft_id = applied.view().load().node(id).map(|node| node.raft_id);
                Some((
                    id,
                    raft_id
                        .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no node {id:?}")))?,
                ))
            }
        };
        let election = self.timing.election_max;
        let deadline = Instant::now() + TRANSFER_TIMEOUT;
        let mut tried = Vec::new();
        loop {
            let chosen = self.successor(target, &tried).await?;
            let Err(error) = raft.transfer(chosen, election).await else {
                return Ok(applied.revision());
            };
            tried.push(chosen);
            self.context.logger.warn(format_args!("stepping down: {error}"));
            // Either this node leads again and asks the next candidate, or another node was quicker: then leadership
            // was handed over all the same.
            loop {
                if let Some(leader) = raft.leader()
                    && leader != raft.raft_id()
                {
                    return Ok(applied.revision());
                }
                if error.code() != ErrorCode::Refused || Instant::now() + election >= deadline {
                    return Err(error);
                }
                if self.context.leadership.is_leader() {
                    break;
                }
                env::sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// The candidate to ask next: the best one that was not asked yet, else the one that was asked longest ago. A voter
    /// that was not heard from lately is waited for, for up to the longest election timeout: one late heartbeat is no
    /// reason to refuse.
    async fn successor(&self, target: Option<(&NodeId, RaftId)>, tried: &[RaftId]) -> Result<RaftId> {
        let raft = &self.context.raft;
        let patience = Instant::now() + self.timing.election_max;
        let own = raft.raft_id();
        let eligible = |id: &RaftId| *id != own && target.is_none_or(|(_, target)| *id == target);
        loop {
            let able: Vec<RaftId> = raft
                .successors(self.timing.heartbeat)
                .into_iter()
                .filter(eligible)
                .collect();
            // A candidate that was not tried comes before those that were, and those in the order of their last try.
            let next = able
                .into_iter()
                .min_by_key(|id| tried.iter().rposition(|tried| tried == id));
            if let Some(next) = next {
                return Ok(next);
            }
            let hopeless = !raft.raft_members().voters.iter().any(eligible);
            if hopeless || Instant::now() >= patience {
                let who = target.map_or_else(
                    || "no other voter".to_owned(),
                    |(target, _)| format!("node {target:?} does not vote, or nothing of it shows that it"),
                );
                return Err(Error::new(
                    ErrorCode::Refused,
                    format!(
                        "{who} has the whole log and was heard of lately; stepping down would leave nobody to lead"
                    ),
                ));
            }
            env::sleep(CHECK_INTERVAL).await;
        }
    }
}
