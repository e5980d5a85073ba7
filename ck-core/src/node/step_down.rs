//! Has the leader hand leadership over, called on any node.

use std::time::Duration;

use super::Node;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::leader::TRANSFER_TIMEOUT;
use crate::model::{NodeId, whole_millis};
use crate::rpc::MemberCall;

/// How long a new leader may take until the log names it.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(2);

impl Node {
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
        let context = &self.context;
        let parts = context.raft_parts()?;
        context.check_member()?;
        let before = context.applied.topology().leader_epoch;
        let leads = parts.leadership.is_leader();
        let from = parts.raft.leader().and_then(|id| context.node_of(id));
        let ordered = if leads {
            if target.as_ref() == Some(&context.me) {
                return Ok(context.me.clone());
            }
            parts.leader.transfer.step_down(target.as_ref(), cooldown).await?
        } else {
            // Ordered even where this node already takes the target for the leader: this node may be the last to do so.
            let call = MemberCall::StepDown {
                to: target.clone(),
                cooldown_ms: cooldown.map(whole_millis),
            };
            let reply = self
                .leader
                .ask(call, TRANSFER_TIMEOUT + SUCCESSOR_TIMEOUT)
                .await?;
            reply.into_revision()?.0
        };
        let deadline = Instant::now() + SUCCESSOR_TIMEOUT;
        let applied = &context.applied;
        loop {
            let seen = applied.changed().count();
            let revision = applied.revision();
            let topology = applied.topology();
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
            let _ = env::timeout(remaining, applied.changed().after(seen)).await;
        }
    }
}
