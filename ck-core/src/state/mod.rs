//! The replicated state machine: the same commands in the same order give the same state, the same answers and the same
//! events on every node.
//!
//! Pure: no clock, no I/O, no randomness. Time enters as a timestamp inside the proposal. A command that cannot be
//! carried out changes nothing and answers with an error; it never stops the state machine.

mod command;
mod data;
mod diff;
mod events;
mod health;
mod members;
mod migrations;
mod partitions;
mod primaries;
mod recover;
mod sessions;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use tests::story as examples;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use command::{Command, CopyLimit, Expect, Grant, NodeSpec, Promotion, Proposal, Reply, Response};
pub use data::{DataStore, MAX_DATA_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub(crate) use data::{check_key, check_value};
pub use diff::diff_events;
pub(crate) use diff::own_copies;
pub(crate) use events::sources;
pub(crate) use health::MAX_REASON_CHARS;

use crate::error::{Error, ErrorCode};
use crate::model::{
    ClusterHealthEvent, Event, EventKind, Node, NodeId, Partition, RebalanceTrigger, Timestamp, Topology,
};
use migrations::Migrations;
use sessions::Sessions;

/// The largest factor by which the election timeouts are stretched.
pub const MAX_ELECTION_STRETCH: u32 = 8;
/// The highest valid Raft term: far from the overflow, so that there is always a next one.
pub(crate) const MAX_TERM: u64 = 1 << 62;

/// The version of the serialised state. A node refuses a state with a newer version than it knows.
pub const STATE_VERSION: u16 = 1;

/// The replicated state: everything that the cluster agrees on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u16,
    /// Shared with the views that routing reads, so it is copied before it is changed.
    topology: Arc<Topology>,
    /// The index of the last entry applied.
    revision: u64,
    /// The last revision that changed the input of plans.
    topology_revision: u64,
    /// The next Raft id to assign; no id is assigned twice.
    next_raft_id: u64,
    /// The process number of each member's present incarnation.
    processes: BTreeMap<NodeId, u64>,
    /// Members that were removed, with the revision: they must not return with their old logs.
    removed: BTreeMap<NodeId, u64>,
    /// The members that are away. A serving node is not in it, nor a node that never was a full member.
    absent: BTreeMap<NodeId, Absence>,
    rebalance: Option<RebalanceRun>,
    /// The copies that wait, and those under way.
    #[serde(default, rename = "moves")]
    migrations: Migrations,
    /// The partitions of which no serving node holds the data.
    #[serde(default)]
    lost: BTreeSet<u32>,
    data: DataStore,
    sessions: Sessions,
    health: Option<ClusterHealthEvent>,
}

/// A member that is away, or whose new process has not caught up yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Absence {
    /// When it went down, as far as the cluster noticed.
    since: Timestamp,
    /// The partitions that it held then.
    held: Vec<u32>,
    /// Whether its leave event was emitted: none is for a restart that no node noticed before it rejoined.
    #[serde(rename = "told")]
    leave_emitted: bool,
}

/// A rebalance under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceRun {
    /// The cause of the rebalance.
    pub trigger: RebalanceTrigger,
    /// The node that caused it; empty where no node did, as for a manual rebalance.
    pub trigger_node: NodeId,
    /// How many partitions change.
    pub partitions_to_move: usize,
    /// The nodes that gain or lose a copy or a role, sorted.
    pub nodes_affected: Vec<NodeId>,
    /// When it began.
    pub started_at: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        State {
            version: STATE_VERSION,
            topology: Arc::default(),
            revision: 0,
            topology_revision: 0,
            next_raft_id: 1,
            processes: BTreeMap::new(),
            removed: BTreeMap::new(),
            absent: BTreeMap::new(),
            rebalance: None,
            migrations: Migrations::default(),
            lost: BTreeSet::new(),
            data: DataStore::default(),
            sessions: Sessions::default(),
            health: None,
        }
    }
}

/// The command being applied: its place in the log, the time of its proposal, and the events that it emits.
struct ApplyContext<'a> {
    index: u64,
    at: Timestamp,
    /// The session and the number of the proposal.
    proposal: (u64, u64),
    events: &'a mut Vec<Event>,
    /// The partitions that the command has changed, as they were before.
    touched: BTreeMap<u32, Arc<Partition>>,
    /// Whether the set of lost partitions has changed.
    lost_changed: bool,
    /// The member that the command removes.
    gone: Option<Arc<Node>>,
    /// The process that goes down never acted in a role that it was given at this revision or later.
    unleased_from: u64,
}

impl ApplyContext<'_> {
    fn emit(&mut self, kind: EventKind) {
        self.events.push(Event {
            revision: self.index,
            timestamp: self.at,
            kind,
        });
    }
}

type CommandResult = Result<Reply, Error>;

fn refuse(code: ErrorCode, message: impl Into<String>) -> CommandResult {
    Err(Error::new(code, message))
}

impl State {
    /// Members, partitions and leader.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The index of the last entry applied.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The last revision that changed the input of plans. A plan names it, and is refused when it has changed since.
    pub fn topology_revision(&self) -> u64 {
        self.topology_revision
    }

    /// The replicated store.
    pub fn data(&self) -> &DataStore {
        &self.data
    }

    /// The rebalance under way, if there is one.
    pub fn rebalance(&self) -> Option<&RebalanceRun> {
        self.rebalance.as_ref()
    }

    /// The number of partitions that have a target and have not reached it.
    pub fn moving(&self) -> usize {
        self.migrations.moving
    }

    /// The number of a member's present process.
    pub fn process_of(&self, node: &str) -> Option<u64> {
        self.processes.get(node).copied()
    }

    /// The revision at which `node` was removed, if it was and has not joined again.
    pub fn removed_at(&self, node: &str) -> Option<u64> {
        self.removed.get(node).copied()
    }

    /// The node whose process proposes in this session, if it is known: open, or ended not long ago.
    pub fn session_owner(&self, session: u64) -> Option<&NodeId> {
        self.sessions.owner(session)
    }

    /// The cluster's health as of the last change.
    pub fn health(&self) -> Option<&ClusterHealthEvent> {
        self.health.as_ref()
    }

    /// Records that the log has reached `index` without a command: a blank or a membership entry.
    pub fn advance(&mut self, index: u64) {
        self.revision = self.revision.max(index);
    }

    /// Applies the command at `index`, and appends the events that it emits to `events`.
    pub fn apply(&mut self, index: u64, proposal: &Proposal, events: &mut Vec<Event>) -> Response {
        self.advance(index);
        match self.sessions.lookup(proposal.session, proposal.seq) {
            sessions::SessionLookup::New => {}
            sessions::SessionLookup::Answered(response) => return response,
            sessions::SessionLookup::Refused { error, settles } => {
                return Response {
                    revision: index,
                    result: Err(error),
                    settles,
                };
            }
        }
        self.sessions.drop_settled(proposal.session, proposal.low);
        let mut context = ApplyContext {
            index,
            at: proposal.at,
            proposal: (proposal.session, proposal.seq),
            events,
            touched: BTreeMap::new(),
            lost_changed: false,
            gone: None,
            unleased_from: proposal.command.unleased_from().unwrap_or(u64::MAX),
        };
        let result = self
            .check_epoch(proposal.epoch)
            .and_then(|()| self.dispatch(&proposal.command, &mut context));
        if result.is_ok() {
            self.after_apply(&mut context);
        }
        let response = Response {
            revision: index,
            result,
            settles: true,
        };
        self.sessions.remember(proposal, &response);
        response
    }

    /// Records which members vote, from a committed Raft membership.
    pub fn apply_membership(&mut self, index: u64, is_voter: impl Fn(u64) -> bool) {
        self.advance(index);
        let differs = self
            .topology
            .nodes
            .values()
            .any(|node| node.voter != is_voter(node.raft_id));
        if differs {
            for node in Arc::make_mut(&mut self.topology).nodes.values_mut() {
                let voter = is_voter(node.raft_id);
                if node.voter != voter {
                    Arc::make_mut(node).voter = voter;
                }
            }
        }
    }

    fn dispatch(&mut self, command: &Command, context: &mut ApplyContext<'_>) -> CommandResult {
        match command {
            Command::Bootstrap {
                cluster_id,
                config,
                node,
            } => self.bootstrap(cluster_id, config, node, context),
            Command::LeaderElected { node, term } => self.leader_elected(node, *term, context),
            Command::Join {
                node,
                promotions,
                planned_on,
                silent_ms,
                ..
            } => self.join(node, promotions, *planned_on, *silent_ms, context),
            Command::Activate { node, incarnation } => self.activate(node, *incarnation, context),
            Command::MarkDown {
                node,
                incarnation,
                reason,
                promotions,
                planned_on,
                silent_ms,
                ..
            } => {
                let silent = Duration::from_millis(*silent_ms);
                self.mark_down(
                    node,
                    *incarnation,
                    (*reason, silent),
                    promotions,
                    *planned_on,
                    context,
                )
            }
            Command::Leave { node, incarnation } => self.leave(node, *incarnation, context),
            Command::Remove {
                node,
                reason,
                promotions,
                planned_on,
                keep_last,
                ..
            } => self.remove(node, *reason, promotions, (*planned_on, *keep_last), context),
            Command::ReportHealth {
                node,
                incarnation,
                health,
                reason,
            } => self.report_health(node, *incarnation, *health, reason, context),
            Command::CreatePartitions {
                assignments,
                planned_on,
            } => self.create_partitions(assignments, *planned_on, context),
            Command::Plan {
                trigger,
                trigger_node,
                targets,
                planned_on,
                limit,
            } => self.plan((*trigger, trigger_node), targets, *planned_on, *limit, context),
            Command::Confirm {
                node,
                incarnation,
                partitions,
                at_once,
            } => self.confirm(node, *incarnation, (partitions, *at_once), context),
            Command::Reconfirm {
                node,
                incarnation,
                partitions,
            } => self.reconfirm(node, *incarnation, partitions, context),
            Command::Release { partitions } => self.release(partitions, context),
            Command::Grant { grants } => self.grant(grants, context),
            Command::Maintenance { reason } => self.set_maintenance(reason.as_deref(), context),
            Command::Stretch { factor } => self.set_election_stretch(*factor),
            Command::AbandonCopies { copies } => self.abandon_copies(copies, context),
            Command::Recover { number, from, force } => self.recover(*number, from, *force, context),
            Command::SetData { key, value, expect } => self.data.set(key, value, *expect, context.index),
            Command::DeleteData { key, expect } => self.data.delete(key, *expect),
            Command::Stage { of, offset, bytes } => {
                self.sessions.stage(context.proposal.0, *of, *offset, bytes)
            }
            Command::SetStaged { key, length, expect } => self.set_staged(key, *length, *expect, context),
        }
    }

    fn set_staged(
        &mut self,
        key: &str,
        length: u64,
        expect: Expect,
        context: &ApplyContext<'_>,
    ) -> CommandResult {
        let (session, seq) = context.proposal;
        let value = self.sessions.staged(session, seq, length)?;
        let reply = self.data.set(key, &value, expect, context.index)?;
        self.sessions.unstage(session, seq);
        Ok(reply)
    }

    /// Carries out what follows from any change of the topology.
    fn after_apply(&mut self, context: &mut ApplyContext<'_>) {
        if self.topology_revision == context.index {
            self.end_mass_failure(context);
            self.update_indexes(context);
            self.start_copies(context);
            self.finish_rebalance(context);
            self.update_health(context);
        }
    }

    /// The topology, to be changed: plans that were made before become stale.
    fn topology_mut(&mut self, index: u64) -> &mut Topology {
        self.topology_revision = index;
        Arc::make_mut(&mut self.topology)
    }

    fn check_epoch(&self, decided_under: Option<u64>) -> Result<(), Error> {
        match decided_under {
            Some(epoch) if epoch != self.topology.leader_epoch => Err(Error::new(
                ErrorCode::NotLeader,
                format!(
                    "decided under leader epoch {epoch}, but that of {} was recorded since",
                    self.topology.leader_epoch
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_planned_on(&self, planned_on: u64) -> Result<(), Error> {
        if planned_on == self.topology_revision {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Conflict,
            format!(
                "planned on revision {planned_on}, but the topology changed at {}",
                self.topology_revision
            ),
        ))
    }

    fn check_incarnation(&self, node: &str, incarnation: u64) -> Result<(), Error> {
        let Some(known) = self.topology.nodes.get(node) else {
            return Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no node {node:?}"),
            ));
        };
        if known.incarnation == incarnation {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Conflict,
            format!(
                "node {node:?} is at incarnation {}, not {incarnation}",
                known.incarnation
            ),
        ))
    }

    /// True when `node` is a full member, serving or away: not a node that joins for the first time.
    fn is_member(&self, node: &Node) -> bool {
        node.status.is_serving() || self.absent.contains_key(&node.id)
    }

    /// The state as bytes, for a snapshot: self-describing, with a version.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when it cannot be encoded, which no state can cause.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|error| Error::internal(format!("encode state: {error}")))
    }

    /// The state in `bytes`.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when they are not a state, [`ErrorCode::Version`] when it has a newer version than this
    /// build knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct VersionHeader {
            version: u16,
        }
        // The version is decoded on its own only after a failure, because that costs another pass over all bytes.
        let decoded = rmp_serde::from_slice::<Self>(bytes);
        let version = match &decoded {
            Ok(state) => state.version,
            Err(_) => rmp_serde::from_slice::<VersionHeader>(bytes).map_or(0, |header| header.version),
        };
        if version > STATE_VERSION {
            return Err(Error::new(
                ErrorCode::Version,
                format!("the stored state has version {version}; this build knows up to {STATE_VERSION}"),
            ));
        }
        decoded.map_err(|error| {
            Error::new(
                ErrorCode::Corrupt,
                format!("the stored state cannot be read: {error}"),
            )
        })
    }
}
