//! Transfers leadership on request.

use std::time::Duration;

use super::{Node, RaftParts};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{MemberCall, MemberReply};
use crate::model::{NodeId, whole_millis};
use crate::raft::RaftId;

/// How long a leader looks for a successor. Usually the first candidate takes over, within milliseconds; on a busy
/// machine it may need more than one attempt, or another node.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a new leader may take until the log names it.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a condition is checked that no notifier announces.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

impl Node {
    /// Transfers leadership, to `target` where one is named, and does not campaign again for `cooldown`: without one,
    /// for twice the longest election timeout. This node must lead. A candidate that does not take over in time is
    /// asked again after the others, until [`TRANSFER_TIMEOUT`] has passed.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason where no voter could take over, or none did; [`ErrorCode::NotFound`]
    /// where there is no node `target`.
    pub(super) async fn step_down_as_leader(
        &self,
        target: Option<&NodeId>,
        cooldown: Option<Duration>,
    ) -> Result<u64> {
        if target == Some(&self.me) {
            return Ok(self.applied.revision());
        }
        let revision = self.hand_over(target).await?;
        // Gives the new leader time to establish itself, though it may be slower than this node.
        let cooldown = cooldown.unwrap_or(self.options.timing.values().election_max * 2);
        self.member()?.raft.hold_elections_for(cooldown);
        Ok(revision)
    }

    async fn hand_over(&self, target: Option<&NodeId>) -> Result<u64> {
        let member = self.member()?;
        let target = match target {
            None => None,
            Some(id) => {
                let raft_id = self.view().node(id).map(|node| node.raft_id);
                Some((
                    id,
                    raft_id
                        .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no node {id:?}")))?,
                ))
            }
        };
        let election = self.options.timing.values().election_max;
        let deadline = Instant::now() + TRANSFER_TIMEOUT;
        let mut tried = Vec::new();
        loop {
            let chosen = self.successor(member, target, &tried).await?;
            let Err(error) = member.raft.transfer(chosen, election).await else {
                return Ok(self.applied.revision());
            };
            tried.push(chosen);
            self.logger.warn(format_args!("stepping down: {error}"));
            // Either this node leads again and asks the next candidate, or another node was quicker: then leadership
            // was handed over all the same.
            loop {
                if let Some(leader) = member.raft.leader()
                    && leader != member.raft.raft_id()
                {
                    return Ok(self.applied.revision());
                }
                if error.code() != ErrorCode::Refused || Instant::now() + election >= deadline {
                    return Err(error);
                }
                if member.leadership.is_leader() {
                    break;
                }
                env::sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// The candidate to ask next: the best one that was not asked yet, else the one that was asked longest ago. A voter
    /// that was not heard from lately is waited for, for up to the longest election timeout: one late heartbeat is no
    /// reason to refuse.
    async fn successor(
        &self,
        member: &RaftParts,
        target: Option<(&NodeId, RaftId)>,
        tried: &[RaftId],
    ) -> Result<RaftId> {
        let timing = self.options.timing.values();
        let patience = Instant::now() + timing.election_max;
        let own = member.raft.raft_id();
        let eligible = |id: &RaftId| *id != own && target.is_none_or(|(_, target)| *id == target);
        loop {
            let able: Vec<RaftId> = member
                .raft
                .successors(timing.heartbeat)
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
            let hopeless = !member.raft.raft_members().voters.iter().any(eligible);
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

    /// Has the leader, whichever node that is, hand leadership over; gives the new leader.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason; [`ErrorCode::NotFound`].
    pub(crate) async fn step_down(&self, target: Option<NodeId>) -> Result<NodeId> {
        self.demote(target, None).await
    }

    /// The same, and the former leader does not campaign for `cooldown`, which is twice the longest election timeout
    /// where none is given. Where a target is named, it leads when this returns.
    ///
    /// # Errors
    /// As [`Node::step_down`]; [`ErrorCode::Timeout`] when the log does not name a new leader in time.
    pub(crate) async fn demote(&self, target: Option<NodeId>, cooldown: Option<Duration>) -> Result<NodeId> {
        let member = self.member()?;
        self.check_member()?;
        let before = self.applied.topology().leader_epoch;
        let leads = member.leadership.is_leader();
        let from = member.raft.leader().and_then(|id| self.node_of(id));
        let ordered = if leads {
            if target.as_ref() == Some(&self.me) {
                return Ok(self.me.clone());
            }
            self.step_down_as_leader(target.as_ref(), cooldown).await?
        } else {
            // Ordered even where this node already takes the target for the leader: this node may be the last to do so.
            let call = MemberCall::StepDown {
                to: target.clone(),
                cooldown_ms: cooldown.map(whole_millis),
            };
            match self
                .ask_leader(call, TRANSFER_TIMEOUT + SUCCESSOR_TIMEOUT)
                .await?
            {
                MemberReply::Revision { revision, .. } => revision,
                _ => return Err(Error::internal("the leader answered out of turn")),
            }
        };
        let deadline = Instant::now() + SUCCESSOR_TIMEOUT;
        loop {
            let seen = self.applied.changed().count();
            let revision = self.applied.revision();
            let topology = self.applied.topology();
            // A leader that took leadership back before another node had it has a new epoch too, so the leader must
            // differ as well.
            let changed = topology.leader_epoch > before && from != topology.leader;
            let leader = topology.leader.clone().filter(|leader| match &target {
                // Before that revision the log names the leader that was asked, which may have been the target already.
                Some(target) => leader == target && revision >= ordered,
                None => changed,
            });
            if let Some(leader) = leader {
                return Ok(leader);
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() {
                return Err(match (target, &topology.leader) {
                    (Some(target), Some(leader)) if changed => Error::new(
                        ErrorCode::Refused,
                        format!("leadership went to node {leader:?} instead of {target:?}; order it again"),
                    ),
                    _ => Error::new(ErrorCode::Timeout, "the new leader has not made itself known yet"),
                });
            }
            let _ = env::timeout(remaining, self.applied.changed().after(seen)).await;
        }
    }
}
