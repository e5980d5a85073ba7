//! What is under way while partitions move, for people who watch it.

use serde::{Deserialize, Serialize};

use super::{Maintenance, NodeId, RebalanceTrigger, Timestamp};

/// One step of a move: a copy that is to be made, or a role that goes from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// `partition-5`.
    pub partition_id: String,
    /// Its number.
    pub number: u32,
    /// The nodes that it can be copied from, or the one that the role goes from.
    pub from: Vec<NodeId>,
    /// The node that gets the copy or the role.
    pub to: NodeId,
    /// How far it is.
    pub state: MigrationState,
    /// Since when it is in the making, by the leader's clock. Unknown where it has not begun, and where the answer
    /// is not the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often the hook of the node that copies has failed, as that node said in its last sync.
    pub attempts: u32,
    /// What it waits for, or why its hook failed last; empty where it goes its way.
    pub reason: String,
}

/// How far one step of a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MigrationState {
    /// The node has as many copies under way as it may.
    Queued,
    /// The node was told to copy.
    Copying,
    /// The node was told to copy, its hook has failed, and is called again.
    Retrying,
    /// No node that is up has the data.
    NoSource,
    /// The copy is there; the role is taken from its holder and given to the other.
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

/// A member that is away and keeps its copies for the time being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayNode {
    /// Who.
    pub node: NodeId,
    /// Since when.
    pub since: Timestamp,
    /// When its copies are made anew elsewhere, if it is not back by then and there is no maintenance. Unknown where
    /// the answer is not the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_after: Option<Timestamp>,
}

/// A copy that was given up, and is not planned on that node for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvoidedCopy {
    /// `partition-5`.
    pub partition_id: String,
    /// Its number.
    pub number: u32,
    /// The node that did not get it copied.
    pub node: NodeId,
    /// How often that was given up; each time the node is avoided for twice as long.
    pub times: u32,
    /// Until when it is avoided.
    pub until: Timestamp,
}

/// What moves, and what moves wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// The node whose knowledge this is.
    pub answered_by: NodeId,
    /// True when that node leads: others know neither clocks nor attempts nor what is avoided.
    pub from_leader: bool,
    /// The revision that it is of.
    pub revision: u64,
    /// True while partitions are on their way somewhere.
    pub running: bool,
    /// What made them move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<RebalanceTrigger>,
    /// The node that did, empty for a manual one and where nothing moves.
    pub trigger_node_id: NodeId,
    /// When that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How many partitions were to change a holder or their primary.
    pub partitions_to_move: usize,
    /// How many of those are where they should be, or were given up.
    pub moved: usize,
    /// Set while no moves are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// What is under way, then what waits: at most a thousand.
    pub migrations: Vec<Migration>,
    /// How many there are.
    pub migrations_total: usize,
    /// Who is away.
    pub away: Vec<AwayNode>,
    /// What was given up and is not tried again for a while.
    pub avoided: Vec<AvoidedCopy>,
}
