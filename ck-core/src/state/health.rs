//! The health of members and of the cluster.

use std::sync::Arc;

use super::{ApplyContext, CommandResult, MAX_ELECTION_STRETCH, Reply, State, refuse};
use crate::error::ErrorCode;
use crate::model::{
    ClusterHealthEvent, EventKind, Maintenance, NodeHealthState, NodeId, NodeStatus, partition_id,
};

/// The longest reason that is kept, in characters.
pub(crate) const MAX_REASON_CHARS: usize = 256;

impl State {
    pub(super) fn report_health(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        health: NodeHealthState,
        reason: &str,
        context: &ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let known = self.node(id)?;
        if !known.status.is_up() {
            return refuse(
                ErrorCode::Conflict,
                format!("node {id:?} is {}", known.status.as_str()),
            );
        }
        // Every node reports with every heartbeat: only a change may make plans stale.
        if known.health == health && known.health_reason == reason {
            return Ok(Reply::Unchanged);
        }
        if let Some(slot) = self.topology_mut(context.index).nodes.get_mut(id) {
            let node = Arc::make_mut(slot);
            node.health = health;
            node.health_reason = reason;
        }
        Ok(Reply::Done)
    }

    /// Sets the stretch factor of election timeouts. No plan depends on it, so no plan becomes stale.
    pub(super) fn set_election_stretch(&mut self, factor: u32) -> CommandResult {
        if !(1..=MAX_ELECTION_STRETCH).contains(&factor) {
            return refuse(
                ErrorCode::Conflict,
                format!("election timeouts are stretched by 1 to {MAX_ELECTION_STRETCH}, not by {factor}"),
            );
        }
        if self.topology.election_stretch() == factor {
            return Ok(Reply::Unchanged);
        }
        Arc::make_mut(&mut self.topology).stretch = factor;
        Ok(Reply::Done)
    }

    /// Begins automatic maintenance when more than half of the members have failed. New copies would not repair
    /// such a failure and could make it worse, so no moves are planned until an administrator has acted.
    pub(super) fn record_mass_failure(&mut self, context: &ApplyContext<'_>) {
        if self.topology.maintenance.is_some() {
            return;
        }
        let members = || self.topology.nodes.values().filter(|node| self.is_member(node));
        let failed = members().filter(|node| node.status == NodeStatus::Failed).count();
        let total = members().count();
        if failed * 2 > total {
            self.topology_mut(context.index).maintenance = Some(Maintenance {
                reason: format!("{failed} of {total} members have failed"),
                automatic: true,
            });
        }
    }

    /// Ends automatic maintenance when no member is failed any more: all have rejoined, or an administrator has removed them.
    pub(super) fn end_mass_failure(&mut self, context: &ApplyContext<'_>) {
        let automatic = self.topology.maintenance.as_ref().is_some_and(|m| m.automatic);
        let mut nodes = self.topology.nodes.values();
        if automatic && !nodes.any(|node| node.status == NodeStatus::Failed) {
            self.topology_mut(context.index).maintenance = None;
        }
    }

    /// Begins or ends maintenance: while it lasts no moves are planned, and primaries still fail over.
    pub(super) fn set_maintenance(
        &mut self,
        reason: Option<&str>,
        context: &ApplyContext<'_>,
    ) -> CommandResult {
        let requested = reason.map(|reason| Maintenance {
            reason: reason.chars().take(MAX_REASON_CHARS).collect(),
            automatic: false,
        });
        if self.topology.maintenance == requested {
            return Ok(Reply::Unchanged);
        }
        self.topology_mut(context.index).maintenance = requested;
        Ok(Reply::Done)
    }

    /// Emits the cluster's health when it differs from the last one emitted.
    pub(super) fn update_health(&mut self, context: &mut ApplyContext<'_>) {
        let members = self.topology.nodes.values().filter(|node| self.is_member(node));
        let mut total = 0;
        let mut unhealthy = Vec::new();
        for node in members {
            total += 1;
            if !node.status.is_serving() || node.health != NodeHealthState::Healthy {
                unhealthy.push(node.id.clone());
            }
        }
        let status = match unhealthy.len() {
            _ if !self.lost.is_empty() => "critical",
            0 => "healthy",
            bad if bad * 2 > total => "critical",
            _ => "degraded",
        };
        let first = self.health.is_none();
        // Tens of thousands of partitions may be lost, and most changes do not change which.
        let lost_partitions = match &mut self.health {
            Some(last) if !context.lost_changed => std::mem::take(&mut last.lost_partitions),
            _ => self.lost.iter().copied().map(partition_id).collect(),
        };
        let now = ClusterHealthEvent {
            healthy_nodes: total - unhealthy.len(),
            unhealthy_nodes: unhealthy.len(),
            total_nodes: total,
            status: status.to_owned(),
            unhealthy_node_ids: unhealthy,
            lost_partitions,
        };
        let is_emitted = self.health.as_ref().is_some_and(|last| {
            last.status == now.status
                && last.unhealthy_node_ids == now.unhealthy_node_ids
                && (!context.lost_changed || last.lost_partitions == now.lost_partitions)
        });
        // A new cluster is healthy: no event is needed.
        let is_new = !is_emitted && (!first || status != "healthy");
        if is_new {
            context.emit(EventKind::ClusterHealthChange(now.clone()));
        }
        self.health = Some(now);
    }
}
