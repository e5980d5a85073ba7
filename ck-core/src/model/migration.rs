//! The progress of migrations, for people who watch it.

use serde::{Deserialize, Serialize};

use super::{Maintenance, NodeId, RebalanceTrigger, Timestamp};

/// One step of a partition's migration: a copy that has to be made, or the primary role that moves from one node to
/// another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The partition's name, such as `partition-5`.
    pub partition_id: String,
    /// The partition's number.
    pub number: u32,
    /// The nodes that it can be copied from, or the node that gives up the role.
    pub from: Vec<NodeId>,
    /// The node that gets the copy or the role.
    pub to: NodeId,
    /// The state of the step.
    pub state: MigrationState,
    /// When the step began, by the leader's clock. `None` when it has not begun, and when the answer is not the
    /// leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often the hook of the node that copies has failed, as that node said in its last heartbeat.
    pub attempts: u32,
    /// What the step waits for, or why its hook failed last; empty when it makes progress.
    pub reason: String,
}

/// The state of one step of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MigrationState {
    /// The node has as many copies in progress as it may.
    Queued,
    /// The node has to copy the data.
    Copying,
    /// The node has to copy the data, its hook has failed, and the hook is called again.
    Retrying,
    /// No node that is up has the data.
    NoSource,
    /// The copy is there; the primary role is taken from its holder and given to the other node.
    HandingOver,
}

impl MigrationState {
    /// The state as it is spelt in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            MigrationState::Queued => "queued",
            MigrationState::Copying => "copying",
            MigrationState::Retrying => "retrying",
            MigrationState::NoSource => "no_source",
            MigrationState::HandingOver => "handing_over",
        }
    }
}

/// A member that is away and keeps its copies for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayNode {
    /// The member.
    pub node: NodeId,
    /// When its absence began.
    pub since: Timestamp,
    /// When its copies are made elsewhere, if it is not back by then and there is no maintenance. `None` when the
    /// answer is not the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_after: Option<Timestamp>,
}

/// An abandoned copy, which is not planned on that node for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvoidedCopy {
    /// The partition's name, such as `partition-5`.
    pub partition_id: String,
    /// The partition's number.
    pub number: u32,
    /// The node that failed to copy it.
    pub node: NodeId,
    /// How often the copy was abandoned; each time the node is avoided for twice as long.
    pub times: u32,
    /// The time until which the node is avoided.
    pub until: Timestamp,
}

/// The migrations in progress and waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// The node that this information comes from.
    pub answered_by: NodeId,
    /// True when that node leads. Other nodes know neither times nor attempts nor avoided copies.
    pub from_leader: bool,
    /// The revision of this information.
    pub revision: u64,
    /// True while partitions are moving.
    pub running: bool,
    /// What caused the rebalance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<RebalanceTrigger>,
    /// The node that caused it; empty for a manual rebalance, and when nothing moves.
    pub trigger_node_id: NodeId,
    /// When the rebalance began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The number of partitions that were to change a holder or their primary.
    pub partitions_to_move: usize,
    /// The number of those that are where they should be, or were given up.
    pub moved: usize,
    /// Set during maintenance, while no migrations are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// The steps in progress, then the waiting ones: at most a thousand.
    pub migrations: Vec<Migration>,
    /// The number of all steps.
    pub migrations_total: usize,
    /// The members that are away.
    pub away: Vec<AwayNode>,
    /// The abandoned copies, which are not tried again for a while.
    pub avoided: Vec<AvoidedCopy>,
}
