//! A cluster without nodes: a log, the resulting state, and a leader's planning in its simplest form. Every
//! applied entry is checked against the invariants.

use std::collections::BTreeMap;

use super::invariants::InvariantChecker;
use crate::error::ErrorCode;
use crate::model::{
    ClusterConfig, Event, EventKind, LeaveReason, Node, NodeId, PartitionChangeEvent, RebalanceEvent,
    RebalanceTrigger, Role, RoleChange, Target, Timestamp,
};
use crate::state::{Command, CopyLimit, Grant, NodeSpec, Promotion, Proposal, Reply, Response, State};

/// One entry of the log.
#[derive(Debug, Clone)]
pub(super) enum LogEntry {
    Command(Box<Proposal>),
    /// The Raft ids that vote.
    Membership(Vec<u64>),
}

#[derive(Debug, Default)]
pub(super) struct Harness {
    pub(super) state: State,
    pub(super) log: Vec<LogEntry>,
    /// The clock, in milliseconds; every command advances it by one.
    pub(super) now: u64,
    /// The limits that plans name.
    pub(super) limit: CopyLimit,
    /// Every event so far.
    pub(super) events: Vec<Event>,
    read: usize,
    invariants: InvariantChecker,
}

impl Harness {
    /// A cluster of `nodes`, founded by the first of them, with all partitions created.
    pub(super) fn cluster(nodes: &[&str], assignments: &[Target], replication_factor: u32) -> Self {
        let mut harness = Harness::default();
        let count = u32::try_from(assignments.len()).unwrap();
        harness.ok(bootstrap(nodes[0], count, replication_factor));
        for (process, node) in (2..).zip(&nodes[1..]) {
            harness.start(node, process, None);
        }
        let assignments = assignments.to_vec();
        let planned_on = harness.state.topology_revision();
        harness.ok(Command::CreatePartitions {
            assignments,
            planned_on,
        });
        harness.take_event_lines();
        harness
    }

    /// Applies the next entry of the log and checks it.
    pub(super) fn apply(&mut self, proposal: Proposal) -> Response {
        let before = self.state.clone();
        let mut events = Vec::new();
        let response = self.state.apply(before.revision + 1, &proposal, &mut events);
        self.invariants
            .check_step((&before, &self.state), &proposal, &response, &events);
        self.events.append(&mut events);
        self.log.push(LogEntry::Command(Box::new(proposal)));
        response
    }

    /// Applies a membership entry.
    pub(super) fn vote(&mut self, voters: Vec<u64>) {
        let before = self.state.clone();
        self.state
            .apply_membership(before.revision + 1, |raft_id| voters.contains(&raft_id));
        self.invariants.check_membership_entry(&before, &self.state);
        self.log.push(LogEntry::Membership(voters));
    }

    /// Proposes without a session.
    pub(super) fn propose(&mut self, command: Command) -> Result<Reply, (ErrorCode, String)> {
        self.now += 1;
        let proposal = Proposal::without_session(command, Timestamp::from_millis(self.now));
        self.apply(proposal)
            .result
            .map_err(|error| (error.code(), error.message().to_owned()))
    }

    pub(super) fn ok(&mut self, command: Command) -> Reply {
        let debug = format!("{command:?}");
        self.propose(command)
            .unwrap_or_else(|error| panic!("{debug} was refused: {error:?}"))
    }

    pub(super) fn refused(&mut self, command: Command) -> ErrorCode {
        let debug = format!("{command:?}");
        match self.propose(command) {
            Ok(reply) => panic!("{debug} was not refused: {reply:?}"),
            Err((code, _)) => code,
        }
    }

    /// The record of a known node.
    pub(super) fn node(&self, id: &str) -> Node {
        (**self.state.node(id).unwrap()).clone()
    }

    pub(super) fn join(&self, id: &str, process: u64, raft_id: Option<u64>) -> Command {
        Command::Join {
            node: spec(id, process, raft_id),
            promotions: self.promotions(id),
            planned_on: self.state.topology_revision(),
            silent_ms: 0,
            unleased_from: None,
        }
    }

    pub(super) fn activate(&self, id: &str) -> Command {
        let incarnation = self.node(id).incarnation;
        Command::Activate {
            node: id.into(),
            incarnation,
        }
    }

    /// A process of the node starts, joins and catches up.
    pub(super) fn start(&mut self, id: &str, process: u64, raft_id: Option<u64>) {
        self.ok(self.join(id, process, raft_id));
        self.ok(self.activate(id));
    }

    /// A new process of the node rejoins with the node's log.
    pub(super) fn restart(&mut self, id: &str) {
        let raft_id = self.node(id).raft_id;
        let process = self.state.process_of(id).unwrap() + 1000;
        self.start(id, process, Some(raft_id));
    }

    pub(super) fn mark_down(&self, id: &str, reason: LeaveReason) -> Command {
        Command::MarkDown {
            node: id.into(),
            incarnation: self.node(id).incarnation,
            reason,
            promotions: self.promotions(id),
            planned_on: self.state.topology_revision(),
            silent_ms: 0,
            unleased_from: None,
        }
    }

    pub(super) fn stop(&mut self, id: &str) {
        self.ok(self.mark_down(id, LeaveReason::GracefulShutdown));
    }

    pub(super) fn fail(&mut self, id: &str) {
        self.ok(self.mark_down(id, LeaveReason::HealthCheckFailure));
    }

    pub(super) fn remove(&self, id: &str, reason: LeaveReason) -> Command {
        Command::Remove {
            node: id.into(),
            reason,
            promotions: self.promotions(id),
            planned_on: self.state.topology_revision(),
            keep_last: false,
            unleased_from: None,
        }
    }

    /// For each partition of which `id` is primary, the first other serving holder.
    pub(super) fn promotions(&self, id: &str) -> Vec<Promotion> {
        let led = self.state.topology.partitions.iter();
        led.filter(|p| p.primary.as_deref() == Some(id))
            .filter_map(|p| {
                let to = p
                    .synced()
                    .find(|node| &***node != id && self.state.is_serving(node))?;
                Some(Promotion {
                    number: p.number,
                    to: to.clone(),
                })
            })
            .collect()
    }

    pub(super) fn plan(&self, trigger: RebalanceTrigger, node: &str, targets: &[(u32, Target)]) -> Command {
        Command::Plan {
            trigger,
            trigger_node: node.into(),
            targets: targets.to_vec(),
            planned_on: self.state.topology_revision(),
            limit: self.limit,
        }
    }

    /// The node confirms every pending copy.
    pub(super) fn confirm(&self, id: &str) -> Command {
        let pending = self.state.topology.partitions.iter().filter_map(|p| {
            let copy = p.copy(id)?;
            (!p.is_synced(id)).then_some((p.number, copy.since))
        });
        Command::Confirm {
            node: id.into(),
            incarnation: self.node(id).incarnation,
            partitions: pending.collect(),
            at_once: false,
        }
    }

    /// The hook of the node confirms every copy that counts already.
    pub(super) fn confirm_synced(&self, id: &str) -> Command {
        let held = self.state.topology.partitions.iter().filter_map(|p| {
            let copy = p.copy(id)?;
            p.is_synced(id).then_some((p.number, copy.since))
        });
        Command::Confirm {
            node: id.into(),
            incarnation: self.node(id).incarnation,
            partitions: held.collect(),
            at_once: false,
        }
    }

    /// The application on the node registers its hook late; with `all` it also cleans up, so that all its copies are in
    /// doubt.
    pub(super) fn reconfirm(&self, id: &str, all: bool) -> Command {
        let held = self.state.topology.partitions.iter().filter_map(|p| {
            let copy = p.copy(id)?;
            (all || copy.unhooked || !p.is_synced(id)).then_some((p.number, copy.since))
        });
        Command::Reconfirm {
            node: id.into(),
            incarnation: self.node(id).incarnation,
            partitions: held.collect(),
        }
    }

    /// Abandons every pending copy of `id`.
    pub(super) fn abandon_copies(&self, id: &str) -> Command {
        let pending = self.state.topology.partitions.iter().filter_map(|p| {
            let copy = p.copy(id)?;
            (!p.is_synced(id)).then(|| (p.number, copy.node.clone(), copy.since))
        });
        Command::AbandonCopies {
            copies: pending.collect(),
        }
    }

    /// A release of every partition that moves.
    pub(super) fn release(&self) -> Command {
        let moving = self
            .state
            .topology
            .partitions
            .iter()
            .filter(|p| p.target.is_some());
        Command::Release {
            partitions: moving.map(|p| (p.number, p.epoch)).collect(),
        }
    }

    /// A grant of every vacant partition to its target where that is ready, otherwise to the first holder that is.
    pub(super) fn grant(&self) -> Command {
        let vacant = self
            .state
            .topology
            .partitions
            .iter()
            .filter(|p| p.primary.is_none());
        let grants = vacant.filter_map(|p| {
            let able = |node: &&NodeId| p.is_synced(node) && self.state.is_serving(node);
            let expected = p.target.as_ref().map(|target| &target.primary).filter(able);
            let to = expected.or_else(|| p.synced().find(able))?.clone();
            Some(Grant {
                number: p.number,
                epoch: p.epoch,
                to,
            })
        });
        Command::Grant {
            grants: grants.collect(),
        }
    }

    /// The events since the last call, one line for each.
    pub(super) fn take_event_lines(&mut self) -> Vec<String> {
        let news = self.events[self.read..].iter().map(line).collect();
        self.read = self.events.len();
        news
    }

    /// A partition in one line: its primary, its epoch, and its copies, with `?` after a pending one.
    pub(super) fn partition(&self, number: usize) -> String {
        let p = &self.state.topology.partitions[number];
        let copies: Vec<String> = p
            .copies
            .iter()
            .map(|c| format!("{}{}", c.node, if p.is_synced(&c.node) { "" } else { "?" }))
            .collect();
        let primary = p.primary.as_deref().unwrap_or("-");
        format!("{primary}@{} {}", p.epoch, copies.join(" "))
    }

    /// Applies the whole log to an empty state.
    pub(super) fn replay(&self) -> (State, Vec<Event>) {
        let mut state = State::default();
        let mut events = Vec::new();
        for (index, entry) in (1..).zip(&self.log) {
            entry.apply(&mut state, index, &mut events);
        }
        (state, events)
    }
}

impl LogEntry {
    pub(super) fn apply(&self, state: &mut State, index: u64, events: &mut Vec<Event>) -> Option<Response> {
        match self {
            LogEntry::Command(proposal) => Some(state.apply(index, proposal, events)),
            LogEntry::Membership(voters) => {
                state.apply_membership(index, |raft_id| voters.contains(&raft_id));
                None
            }
        }
    }
}

pub(super) fn bootstrap(id: &str, partition_count: u32, replication_factor: u32) -> Command {
    Command::Bootstrap {
        cluster_id: "the-cluster".to_owned(),
        config: ClusterConfig {
            cluster_name: "test".to_owned(),
            partition_count,
            replication_factor,
            ..ClusterConfig::default()
        },
        node: spec(id, 1, None),
    }
}

pub(super) fn spec(id: &str, process: u64, raft_id: Option<u64>) -> NodeSpec {
    NodeSpec {
        id: id.into(),
        name: format!("node {id}"),
        ip: format!("{id}:8080"),
        port: 8080,
        peer_addr: format!("{id}:8080"),
        services: BTreeMap::new(),
        zone: None,
        weight: 100,
        labels: BTreeMap::new(),
        process,
        raft_id,
    }
}

/// The target `"a b c"`: on these nodes, with the first as primary.
pub(super) fn target(nodes: &str) -> Target {
    let mut nodes: Vec<NodeId> = nodes.split(' ').map(NodeId::from).collect();
    let primary = nodes[0].clone();
    nodes.sort();
    Target { nodes, primary }
}

/// One event in one line.
pub(super) fn line(event: &Event) -> String {
    match &event.kind {
        EventKind::PartitionChange(change) => partition_line(change),
        EventKind::NodeJoin(e) if e.is_bootstrap => format!("bootstrap {}", e.node.id),
        EventKind::NodeJoin(e) => format!("join {}, {} members", e.node.id, e.cluster_size),
        EventKind::NodeRejoin(e) => format!(
            "rejoin {} after {} ms, had {}",
            e.node.id,
            e.offline_duration.as_millis(),
            numbers(&e.partitions_before_leave)
        ),
        EventKind::NodeLeave(e) => format!(
            "leave {} ({}), led {}, copies {}",
            e.node.id,
            text(&e.reason),
            numbers(&e.partitions_owned),
            numbers(&e.partitions_replica)
        ),
        EventKind::RebalanceStart(e) => format!("rebalance starts: {}", rebalance_line(e)),
        EventKind::RebalanceComplete(e) => {
            format!(
                "rebalance done: {}, {} ms",
                rebalance_line(e),
                e.duration.as_millis()
            )
        }
        EventKind::ClusterHealthChange(e) => {
            let lost = match e.lost_partitions.as_slice() {
                [] => String::new(),
                lost => format!(", lost {}", numbers(lost)),
            };
            format!(
                "health {}: {} of {} well, not {}{lost}",
                e.status,
                e.healthy_nodes,
                e.total_nodes,
                names(&e.unhealthy_node_ids)
            )
        }
        EventKind::LeaderChange(e) => format!("leader {}, epoch {}", e.node_id, e.epoch),
        EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_) => unreachable!("not from the log"),
    }
}

fn partition_line(change: &PartitionChangeEvent) -> String {
    let what = match change.change {
        RoleChange::GainedReplica => "to copy",
        RoleChange::GainedPrimary => "leads",
        RoleChange::LostPrimary => "yields",
        RoleChange::LostCopy => "drops",
    };
    let mut line = format!("p{} {} {what}", change.number, change.node_id);
    if change.change.gained() == Some(Role::Primary) {
        line += &format!(" at {}", change.epoch);
    }
    let sources: Vec<NodeId> = change
        .copy_from_nodes
        .iter()
        .map(|node| node.id.clone())
        .collect();
    if !sources.is_empty() {
        line += &format!(" from {}", names(&sources));
    }
    if change.old_primary != change.new_primary {
        let name = |id: &NodeId| if id.is_empty() { "-".into() } else { id.clone() };
        line += &format!(" [{}>{}]", name(&change.old_primary), name(&change.new_primary));
    }
    format!("{line} ({})", text(&change.change_reason))
}

fn rebalance_line(event: &RebalanceEvent) -> String {
    format!(
        "{} {}, {} to move, {}",
        text(&event.trigger),
        event.trigger_node_id,
        event.partitions_to_move,
        names(&event.nodes_affected)
    )
}

fn names(ids: &[NodeId]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    ids.iter().map(|id| &**id).collect::<Vec<_>>().join("+")
}

fn numbers(ids: &[String]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    let numbers: Vec<&str> = ids
        .iter()
        .map(|id| id.strip_prefix("partition-").unwrap())
        .collect();
    numbers.join("+")
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}
