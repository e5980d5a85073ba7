//! The health of members and of the whole.

use super::{Context, Outcome, Reply, State};
use crate::model::{ClusterHealthEvent, EventKind, NodeHealthState, NodeId, NodeStatus};
use std::sync::Arc;

/// The longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 256;

impl State {
    pub(super) fn report_health(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        health: NodeHealthState,
        reason: &str,
        context: &Context<'_>,
    ) -> Outcome {
        self.check_incarnation(id, incarnation)?;
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let topology = self.change(context.index);
        let Some(node) = topology.nodes.get_mut(id) else {
            return Ok(Reply::Unchanged);
        };
        let node = Arc::make_mut(node);
        node.health = health;
        node.health_reason = reason;
        Ok(Reply::Done)
    }

    /// Tells when the cluster's health differs from what was told last.
    pub(super) fn update_health(&mut self, context: &mut Context<'_>) {
        let members = self
            .topology
            .nodes
            .values()
            .filter(|node| node.status != NodeStatus::Joining);
        let mut total = 0;
        let mut unhealthy = Vec::new();
        for node in members {
            total += 1;
            if !node.status.is_up() || node.health != NodeHealthState::Healthy {
                unhealthy.push(node.id.clone());
            }
        }
        let status = match unhealthy.len() {
            0 => "healthy",
            bad if bad * 2 > total => "critical",
            _ => "degraded",
        };
        let first = self.health.is_none();
        let now = ClusterHealthEvent {
            healthy_nodes: total - unhealthy.len(),
            unhealthy_nodes: unhealthy.len(),
            total_nodes: total,
            status: status.to_owned(),
            unhealthy_node_ids: unhealthy,
        };
        let told = self.health.as_ref().is_some_and(|last| {
            last.status == now.status && last.unhealthy_node_ids == now.unhealthy_node_ids
        });
        // A new cluster is healthy: that is no news.
        if !told && !(first && status == "healthy") {
            context.emit(EventKind::ClusterHealthChange(now.clone()));
        }
        self.health = Some(now);
    }
}
