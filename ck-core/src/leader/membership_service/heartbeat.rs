//! Heartbeats of members (the wire call is named sync): each renews a lease.

use super::{COMMIT_TIMEOUT, MembershipService, not_leader};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::rpc::{SyncReply, SyncReport};
use crate::state::{Command, MAX_REASON_CHARS};

impl MembershipService {
    /// Takes a member's heartbeat and grants it a lease.
    ///
    /// # Errors
    /// [`ErrorCode::NotLeader`]; [`ErrorCode::Removed`] or [`ErrorCode::NotFound`] for a node that is no member;
    /// [`ErrorCode::Conflict`] for another incarnation than the known one, or one that is not up; [`ErrorCode::Busy`]
    /// while the member's leases are being revoked.
    pub(crate) fn heartbeat(&self, report: &SyncReport) -> Result<SyncReply> {
        let epoch = self.context.leadership.epoch().ok_or_else(not_leader)?;
        let (topology, revision) = {
            let state = self.context.applied.state();
            (state.topology().clone(), state.topology_revision())
        };
        let Some(node) = topology.nodes.get(&report.node) else {
            let removed = self.context.applied.state().removed_at(&report.node).is_some();
            let code = if removed {
                ErrorCode::Removed
            } else {
                ErrorCode::NotFound
            };
            return Err(Error::new(
                code,
                format!("node {:?} is not a member", report.node),
            ));
        };
        if node.incarnation != report.incarnation || !node.status.is_up() {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!(
                    "node {:?} is {} with incarnation {}, the sync is of {}",
                    report.node,
                    node.status.as_str(),
                    node.incarnation,
                    report.incarnation
                ),
            ));
        }
        // The revision that the lease names is read before the lease is granted: a role that is taken away later is
        // taken at a later revision.
        let config = &topology.config;
        if !self.context.leases.grant(
            &report.node,
            report.incarnation,
            report.revision,
            revision,
            config,
        ) {
            return Err(Error::new(
                ErrorCode::Busy,
                format!("the leases of node {:?} are being recalled", report.node),
            ));
        }
        if self.context.leadership.epoch() != Some(epoch) {
            return Err(not_leader());
        }
        // Compared as the state stores it: otherwise a longer reason would be proposed with every heartbeat.
        let reason = report.health_reason.chars().take(MAX_REASON_CHARS);
        if node.health != report.health || !node.health_reason.chars().eq(reason) {
            self.propose_health(report);
        }
        Ok(SyncReply {
            revision,
            leader: self.context.me.clone(),
            lease_ms: config.lease_ttl_ms,
        })
    }

    /// Proposes a member's own health, so that every node learns it. A proposal that fails is made again at the next
    /// heartbeat.
    fn propose_health(&self, report: &SyncReport) {
        let command = Command::ReportHealth {
            node: report.node.clone(),
            incarnation: report.incarnation,
            health: report.health,
            reason: report.health_reason.clone(),
        };
        let proposer = self.context.proposer.clone();
        env::spawn(async move { drop(proposer.propose(command, COMMIT_TIMEOUT).await) });
    }
}
