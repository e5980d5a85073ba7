//! Members that stop, fail, drain, or are removed.

use super::{MembershipService, not_leader, replaced_meanwhile};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::model::{LeaveReason, NodeId, whole_millis};
use crate::state::Command;

impl MembershipService {
    /// A member reports that it stops: its roles move to other members without a failure timeout.
    pub(crate) async fn stop(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        self.mark_down_reported(node, incarnation, LeaveReason::GracefulShutdown)
            .await
    }

    /// A member reports that its log has failed.
    pub(crate) async fn fail_reported(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        self.mark_down_reported(node, incarnation, LeaveReason::HealthCheckFailure)
            .await
    }

    /// Marks a member down that reported so. The report may be forged, so no other node takes over before the member
    /// has given its leases back, or they have run out.
    async fn mark_down_reported(
        &self,
        node: &NodeId,
        incarnation: u64,
        reason: LeaveReason,
    ) -> Result<(u64, usize)> {
        let epoch = self.context.leadership.epoch().ok_or_else(not_leader)?;
        let known = self.context.applied.topology().nodes.get(node).cloned();
        let known = known.filter(|known| known.status.is_up() && known.incarnation == incarnation);
        let mark_down = self.mark_down(epoch, node, incarnation, reason, &[]);
        self.with_leases_revoked(epoch, known.as_deref(), mark_down).await
    }

    /// Marks a member as failed. Other holders of the data take over its roles, except the nodes in `silent`, which are
    /// about to be failed too. The caller, as the leader of `epoch`, must know that the member's leases have run out.
    pub(in crate::leader) async fn fail(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        silent: &[NodeId],
    ) -> Result<(u64, usize)> {
        self.mark_down(epoch, node, incarnation, LeaveReason::HealthCheckFailure, silent)
            .await
    }

    async fn mark_down(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        reason: LeaveReason,
        avoided: &[NodeId],
    ) -> Result<(u64, usize)> {
        let silent_ms = match reason {
            LeaveReason::HealthCheckFailure => self.silent_ms(node, incarnation),
            LeaveReason::GracefulShutdown | LeaveReason::RemovedByAdmin => 0,
        };
        let response = self
            .with_promotions(
                epoch,
                node,
                Some(incarnation),
                avoided,
                |promotions, planned_on, unleased_from| Command::MarkDown {
                    node: node.clone(),
                    incarnation,
                    reason,
                    promotions,
                    planned_on,
                    silent_ms,
                    unleased_from,
                },
            )
            .await?;
        response.result.map(|_| (response.revision, 0))
    }

    pub(super) fn silent_ms(&self, node: &str, incarnation: u64) -> u64 {
        whole_millis(self.context.leases.silence(node, incarnation))
    }

    /// Begins to drain a member: its copies move to other nodes, then it is removed.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] where no other node could take over.
    pub(crate) async fn leave(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        let command = Command::Leave {
            node: node.clone(),
            incarnation,
        };
        self.commit(command).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Busy`] where another incarnation than the `meant` one has joined;
    /// [`ErrorCode::Refused`] for the last member, and without `force` for the last holder of a partition's data.
    pub(crate) async fn remove(
        &self,
        node: &NodeId,
        meant: Option<u64>,
        force: bool,
    ) -> Result<(u64, usize)> {
        let epoch = self.context.leadership.epoch().ok_or_else(not_leader)?;
        let present = self
            .context
            .applied
            .topology()
            .nodes
            .get(node)
            .map(|known| known.incarnation);
        if present.is_some() && meant.is_some() && present != meant {
            return Err(replaced_meanwhile(node));
        }
        if !force {
            // Checked before the leases are revoked: a refusal must change nothing for the member.
            self.context.applied.state().check_not_last(node)?;
        }
        let known = self.context.applied.topology().nodes.get(node).cloned();
        let incarnation = known.as_ref().map(|known| known.incarnation);
        let up = known.filter(|known| known.status.is_up());
        let remove = async {
            let response = self
                .with_promotions(
                    epoch,
                    node,
                    incarnation,
                    &[],
                    |promotions, planned_on, unleased_from| Command::Remove {
                        node: node.clone(),
                        reason: LeaveReason::RemovedByAdmin,
                        promotions,
                        planned_on,
                        keep_last: !force,
                        unleased_from,
                    },
                )
                .await?;
            response.result.map(|_| (response.revision, 0))
        };
        self.with_leases_revoked(epoch, up.as_deref(), remove).await
    }
}
