//! Members: bootstrap, join, activate, leave, mark down, remove.

use std::sync::Arc;
use std::time::Duration;

use super::sessions::SessionEnd;
use super::{Absence, ApplyContext, CommandResult, MAX_TERM, NodeSpec, Promotion, Reply, State, refuse};
use crate::error::{Error, ErrorCode};
use crate::model::{
    ClusterConfig, EventKind, LeaderChangeEvent, LeaveReason, Node, NodeHealthState, NodeId, NodeJoinEvent,
    NodeLeaveEvent, NodeRejoinEvent, NodeStatus, Timestamp, partition_id,
};

/// The maximum number of partitions of a cluster.
pub(crate) const MAX_PARTITIONS: u32 = 65_536;
/// The largest Raft id of a first member: later ids can count up from it without overflow.
const MAX_FIRST_RAFT_ID: u64 = u32::MAX as u64;

impl State {
    pub(super) fn bootstrap(
        &mut self,
        cluster_id: &str,
        config: &ClusterConfig,
        spec: &NodeSpec,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        if !self.topology.cluster_id.is_empty() {
            return refuse(ErrorCode::AlreadyExists, "the cluster exists already");
        }
        check_id(&spec.id)?;
        if config.partition_count == 0
            || config.partition_count > MAX_PARTITIONS
            || config.replication_factor == 0
            || cluster_id.is_empty()
        {
            return refuse(
                ErrorCode::InvalidArgument,
                "a cluster needs an id, 1 to 65536 partitions and at least one copy of each",
            );
        }
        let raft_id = spec.raft_id.unwrap_or(self.next_raft_id);
        if raft_id > MAX_FIRST_RAFT_ID {
            return refuse(
                ErrorCode::InvalidArgument,
                format!("the first Raft id is at most {MAX_FIRST_RAFT_ID}, not {raft_id}"),
            );
        }
        self.next_raft_id = raft_id + 1;
        let incarnation = context.index;
        let topology = self.topology_mut(context.index);
        topology.cluster_id = cluster_id.to_owned();
        topology.config = config.clone();
        let mut node = node_from(spec, raft_id, NodeStatus::Active, context);
        // The Raft membership in which it votes precedes this entry in the log, so `apply_membership` did not see the
        // node.
        node.voter = true;
        let node = Arc::new(node);
        topology.nodes.insert(spec.id.clone(), node.clone());
        self.processes.insert(spec.id.clone(), spec.process);
        self.sessions.open(incarnation, &spec.id);
        context.emit(EventKind::NodeJoin(NodeJoinEvent {
            node,
            cluster_size: 1,
            is_bootstrap: true,
        }));
        Ok(Reply::Joined {
            raft_id,
            incarnation,
            retired_raft_id: None,
        })
    }

    pub(super) fn leader_elected(
        &mut self,
        id: &NodeId,
        term: u64,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        if !self.topology.nodes.contains_key(id) {
            return refuse(ErrorCode::NotFound, format!("there is no node {id:?}"));
        }
        if term > MAX_TERM {
            return refuse(
                ErrorCode::InvalidArgument,
                format!("term {term}; no term is above {MAX_TERM}"),
            );
        }
        // Two nodes may lead in one term, one after the other: the order in the log decides.
        if term == self.topology.leader_term && self.topology.leader.as_ref() == Some(id) {
            return Ok(Reply::Unchanged);
        }
        if term < self.topology.leader_term {
            return refuse(
                ErrorCode::Conflict,
                format!(
                    "term {term} is over: the leadership of term {} was recorded",
                    self.topology.leader_term
                ),
            );
        }
        let topology = Arc::make_mut(&mut self.topology);
        topology.leader = Some(id.clone());
        topology.leader_epoch += 1;
        topology.leader_term = term;
        topology.elected_at = context.at;
        let epoch = topology.leader_epoch;
        context.emit(EventKind::LeaderChange(LeaderChangeEvent {
            node_id: id.clone(),
            epoch,
        }));
        Ok(Reply::Done)
    }

    pub(super) fn join(
        &mut self,
        spec: &NodeSpec,
        promotions: &[Promotion],
        planned_on: u64,
        silent_ms: u64,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        if self.topology.cluster_id.is_empty() {
            return refuse(ErrorCode::NotStarted, "the cluster has not been bootstrapped");
        }
        check_id(&spec.id)?;
        let Some(known) = self.topology.nodes.get(&spec.id).cloned() else {
            return self.join_new(spec, context);
        };
        if known.status.is_up() && self.processes.get(&spec.id) == Some(&spec.process) {
            return self.rejoin_same_process(&known, spec, context);
        }
        self.check_planned_on(planned_on)?;
        let last_contact = context.at.before(Duration::from_millis(silent_ms));
        self.rejoin_new_process(&known, last_contact, spec, promotions, context)
    }

    fn join_new(&mut self, spec: &NodeSpec, context: &mut ApplyContext<'_>) -> CommandResult {
        if spec.raft_id.is_some() {
            return match self.removed.get(&spec.id) {
                Some(revision) => refuse(
                    ErrorCode::Removed,
                    format!(
                        "node {:?} was removed from the cluster at revision {revision}; \
                         to join again, start it with an empty data directory",
                        spec.id
                    ),
                ),
                None => refuse(
                    ErrorCode::WrongCluster,
                    format!("node {:?} has a log, but this cluster does not know it", spec.id),
                ),
            };
        }
        self.removed.remove(&spec.id);
        let raft_id = self.admit(spec, None, context);
        Ok(Reply::Joined {
            raft_id,
            incarnation: context.index,
            retired_raft_id: None,
        })
    }

    /// The same process joins again: its answer was lost, or its address has changed.
    fn rejoin_same_process(
        &mut self,
        known: &Arc<Node>,
        spec: &NodeSpec,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        let mut node = (**known).clone();
        node.ip.clone_from(&spec.ip);
        node.port = spec.port;
        node.peer_addr.clone_from(&spec.peer_addr);
        if node != **known {
            self.topology_mut(context.index)
                .nodes
                .insert(spec.id.clone(), Arc::new(node));
        }
        Ok(Reply::Joined {
            raft_id: known.raft_id,
            incarnation: known.incarnation,
            retired_raft_id: None,
        })
    }

    fn rejoin_new_process(
        &mut self,
        known: &Arc<Node>,
        last_contact: Timestamp,
        spec: &NodeSpec,
        promotions: &[Promotion],
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        if let Some(raft_id) = spec.raft_id
            && raft_id != known.raft_id
        {
            return refuse(
                ErrorCode::WrongCluster,
                format!(
                    "node {:?} has the log of Raft id {raft_id}, but is known with {}",
                    spec.id, known.raft_id
                ),
            );
        }
        if known.status.is_serving() {
            // The earlier process crashed, and no node noticed until now.
            self.record_absence(&spec.id, last_contact);
        }
        if self.processes.get(&spec.id) != Some(&spec.process) {
            self.sessions.close(&spec.id, SessionEnd::Replaced, context.index);
        }
        let retired_raft_id = spec.raft_id.is_none().then_some(known.raft_id);
        let raft_id = self.admit(spec, Some(known), context);
        self.hand_over_roles(&spec.id, promotions, context);
        Ok(Reply::Joined {
            raft_id,
            incarnation: context.index,
            retired_raft_id,
        })
    }

    /// Enters the node as joining, with a new incarnation, and returns its Raft id.
    fn admit(&mut self, spec: &NodeSpec, known: Option<&Arc<Node>>, context: &ApplyContext<'_>) -> u64 {
        let raft_id = spec.raft_id.unwrap_or_else(|| {
            if let Some(known) = known.filter(|_| planted!("reuse-raft-id")) {
                return known.raft_id;
            }
            let assigned = self.next_raft_id;
            self.next_raft_id += 1;
            assigned
        });
        let mut node = node_from(spec, raft_id, NodeStatus::Joining, context);
        if let Some(known) = known {
            node.joined_at = known.joined_at;
            node.voter = known.voter && known.raft_id == raft_id;
            if !known.status.is_up() {
                node.last_seen = known.last_seen;
            }
        }
        self.topology_mut(context.index)
            .nodes
            .insert(spec.id.clone(), Arc::new(node));
        self.processes.insert(spec.id.clone(), spec.process);
        self.migrations.set_copies_at_once(&spec.id, false);
        self.sessions.open(context.index, &spec.id);
        raft_id
    }

    pub(super) fn activate(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        if self
            .topology
            .nodes
            .get(id)
            .is_some_and(|node| node.status != NodeStatus::Joining)
        {
            return Ok(Reply::Unchanged);
        }
        let absent = self.absent.remove(id);
        let at = context.at;
        let cluster_size = self.topology.nodes.values().filter(|n| self.is_member(n)).count() + 1;
        let Some(slot) = self.topology_mut(context.index).nodes.get_mut(id) else {
            return Ok(Reply::Unchanged);
        };
        let node = Arc::make_mut(slot);
        node.status = NodeStatus::Active;
        node.last_seen = at;
        let node = slot.clone();
        match absent {
            Some(absence) => context.emit(EventKind::NodeRejoin(NodeRejoinEvent {
                node,
                offline_duration: at.since(absence.since),
                last_seen_at: absence.since,
                partitions_before_leave: absence.held.into_iter().map(partition_id).collect(),
            })),
            None => {
                context.emit(EventKind::NodeJoin(NodeJoinEvent {
                    node,
                    cluster_size,
                    is_bootstrap: false,
                }));
            }
        }
        self.resume_copies(id, context);
        Ok(Reply::Done)
    }

    pub(super) fn mark_down(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        (reason, silent): (LeaveReason, Duration),
        promotions: &[Promotion],
        planned_on: u64,
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        if !self
            .topology
            .nodes
            .get(id)
            .is_some_and(|node| node.status.is_up())
        {
            return Ok(Reply::Unchanged);
        }
        self.check_planned_on(planned_on)?;
        let since = context.at.before(silent);
        self.record_absence(id, since);
        // A failed member's process may be alive, with proposals in flight, so its sessions stay open.
        match reason {
            LeaveReason::HealthCheckFailure => {}
            LeaveReason::GracefulShutdown => self.sessions.close(id, SessionEnd::Stopped, context.index),
            LeaveReason::RemovedByAdmin => self.sessions.close(id, SessionEnd::Removed, context.index),
        }
        let not_emitted = self.absent.get_mut(id).filter(|absence| !absence.leave_emitted);
        if let Some(absence) = not_emitted {
            absence.leave_emitted = true;
            self.emit_leave(id, reason, context);
        }
        if let Some(slot) = self.topology_mut(context.index).nodes.get_mut(id) {
            let node = Arc::make_mut(slot);
            node.status = match reason {
                LeaveReason::HealthCheckFailure => NodeStatus::Failed,
                LeaveReason::GracefulShutdown | LeaveReason::RemovedByAdmin => NodeStatus::Stopped,
            };
            node.last_seen = since;
            node.health = NodeHealthState::Healthy;
            node.health_reason.clear();
        }
        self.hand_over_roles(id, promotions, context);
        if reason == LeaveReason::HealthCheckFailure {
            self.record_mass_failure(context);
        }
        Ok(Reply::Done)
    }

    pub(super) fn leave(
        &mut self,
        id: &NodeId,
        incarnation: u64,
        context: &ApplyContext<'_>,
    ) -> CommandResult {
        self.check_incarnation(id, incarnation)?;
        match self.node(id)?.status {
            NodeStatus::Active if self.topology.active_count() > 1 => {}
            NodeStatus::Active => {
                return refuse(
                    ErrorCode::Refused,
                    format!(
                        "node {id:?} is the only active one; no other node could take over its partitions"
                    ),
                );
            }
            NodeStatus::Leaving => return Ok(Reply::Unchanged),
            status => {
                return refuse(
                    ErrorCode::Refused,
                    format!(
                        "node {id:?} is {}; only an active one can be drained",
                        status.as_str()
                    ),
                );
            }
        }
        if let Some(slot) = self.topology_mut(context.index).nodes.get_mut(id) {
            Arc::make_mut(slot).status = NodeStatus::Leaving;
        }
        Ok(Reply::Done)
    }

    pub(super) fn remove(
        &mut self,
        id: &NodeId,
        reason: LeaveReason,
        promotions: &[Promotion],
        (planned_on, keep_last): (u64, bool),
        context: &mut ApplyContext<'_>,
    ) -> CommandResult {
        let Some(node) = self.topology.nodes.get(id).cloned() else {
            return refuse(ErrorCode::NotFound, format!("there is no node {id:?}"));
        };
        self.check_planned_on(planned_on)?;
        if keep_last {
            self.check_not_last(id)?;
        }
        let others = self
            .topology
            .nodes
            .values()
            .filter(|n| n.status.is_serving() && n.id != *id)
            .count();
        if others == 0 {
            return refuse(
                ErrorCode::Refused,
                format!("node {id:?} is the last one that serves"),
            );
        }
        if self.is_member(&node) {
            self.emit_leave(id, reason, context);
        }
        self.sessions.close(id, SessionEnd::Removed, context.index);
        self.processes.remove(id);
        self.migrations.set_copies_at_once(id, false);
        self.absent.remove(id);
        self.removed.insert(id.clone(), context.index);
        context.gone = self.topology_mut(context.index).nodes.remove(id);
        self.hand_over_roles(id, promotions, context);
        Ok(Reply::Done)
    }

    /// Records what a member holds that goes down now, for its rejoin event. A member that is away already keeps its
    /// record, and a node that never was a full member gets none.
    fn record_absence(&mut self, id: &NodeId, at: Timestamp) {
        if !self.is_serving(id) {
            return;
        }
        let held = self
            .topology
            .partitions
            .iter()
            .filter(|p| p.copy(id).is_some())
            .map(|p| p.number)
            .collect();
        let absence = Absence {
            since: at,
            held,
            leave_emitted: false,
        };
        self.absent.insert(id.clone(), absence);
    }

    fn emit_leave(&self, id: &NodeId, reason: LeaveReason, context: &mut ApplyContext<'_>) {
        let Some(node) = self.topology.nodes.get(id).cloned() else {
            return;
        };
        let mut event = NodeLeaveEvent {
            node,
            reason,
            partitions_owned: Vec::new(),
            partitions_replica: Vec::new(),
        };
        for partition in &self.topology.partitions {
            if partition.primary.as_ref() == Some(id) {
                event.partitions_owned.push(partition_id(partition.number));
            } else if partition.copy(id).is_some() {
                event.partitions_replica.push(partition_id(partition.number));
            }
        }
        context.emit(EventKind::NodeLeave(event));
    }

    /// The member `id`.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn node(&self, id: &str) -> Result<&Arc<Node>, Error> {
        self.topology
            .nodes
            .get(id)
            .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no node {id:?}")))
    }
}

/// Refuses the empty id, which means "none" wherever a node is named.
fn check_id(id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "a node needs an id that is not empty",
        ));
    }
    Ok(())
}

fn node_from(spec: &NodeSpec, raft_id: u64, status: NodeStatus, context: &ApplyContext<'_>) -> Node {
    Node {
        id: spec.id.clone(),
        ip: spec.ip.clone(),
        port: spec.port,
        name: spec.name.clone(),
        status,
        services: spec.services.clone(),
        zone: spec.zone.clone(),
        weight: spec.weight,
        labels: spec.labels.clone(),
        incarnation: context.index,
        voter: false,
        health: NodeHealthState::Healthy,
        health_reason: String::new(),
        last_seen: context.at,
        joined_at: context.at,
        raft_id,
        peer_addr: spec.peer_addr.clone(),
    }
}
