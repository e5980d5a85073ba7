//! Changing the leader because somebody asked.

use std::time::Duration;

use super::{Node, RaftParts};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{MemberCall, MemberReply};
use crate::model::{NodeId, whole_millis};
use crate::raft::RaftId;

/// How long a leader goes on looking for somebody who takes over. Most often the first one does, in milliseconds;
/// on a busy machine it may need more than one attempt, or another node.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a new leader has to make itself known.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a condition is looked at that nothing announces.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

impl Node {
    /// Gives leadership up, to `target` where one is named, and does not stand for it again for `cooldown`. This node
    /// must lead. Who does not take over in time is asked again after the others, until [`TRANSFER_TIMEOUT`] has passed.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason where nobody could take over, or nobody did.
    pub(super) async fn step_down_as_leader(
        &self,
        target: Option<&NodeId>,
        cooldown: Option<Duration>,
    ) -> Result<u64> {
        if target == Some(&self.me) {
            return Ok(self.applied.revision());
        }
        let revision = self.hand_over(target).await?;
        // Whoever took over has time to find its feet, though it may be slower than this node.
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
            // Leadership comes back here, or goes to whoever was quicker: then it is given up all the same.
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

    /// Who is to be asked next: the best one that was not asked yet, then the one asked longest ago. A voter that
    /// was not heard of lately is waited for a little: one late heartbeat is no reason to refuse.
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
            // The first of those that come last in what was tried; nobody tried comes before everybody.
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

    /// Has the leader, whichever node that is, give leadership up; gives who leads afterwards.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason; [`ErrorCode::NotFound`].
    pub(crate) async fn step_down(&self, target: Option<NodeId>) -> Result<NodeId> {
        self.demote(target, None).await
    }

    /// The same; the one that led does not stand for election for `cooldown`, twice the longest election timeout
    /// where none is given. Where a target is named, it leads when this returns.
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
            // Also where this node takes the target for the leader: it may be the last to do so.
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
            // One that took leadership back before somebody else had it has an epoch of its own.
            let changed = topology.leader_epoch > before && from != topology.leader;
            let leader = topology.leader.clone().filter(|leader| match &target {
                // Up to there the log names the leader that was asked, which may have been the target already.
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
