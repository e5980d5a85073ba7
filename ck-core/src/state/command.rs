//! The commands of the state machine, and its answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{
    ClusterConfig, LeaveReason, NodeHealthState, NodeId, RebalanceTrigger, Target, Timestamp,
};

/// A command as an entry of the log, with what makes a retry safe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The incarnation of the proposing node: the session that recognises a retry. 0 proposes without a session, and is
    /// only for commands that are harmless when applied twice.
    #[serde(rename = "s")]
    pub session: u64,
    /// The proposal's number within its session.
    #[serde(rename = "q")]
    pub seq: u64,
    /// Every earlier proposal of the session below this number is settled; its answer may be forgotten.
    #[serde(rename = "l")]
    pub low: u64,
    /// The proposer's wall clock: the only time that the state machine knows.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The leader epoch under which the leader decided the command by what only it knows: leases and silence of
    /// members. The command is refused once another leadership has been recorded.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The command.
    #[serde(rename = "c")]
    pub command: Command,
}

impl Proposal {
    /// A proposal without a session, so that a retry of it counts as another proposal: for commands that are harmless
    /// when applied twice.
    pub fn without_session(command: Command, at: Timestamp) -> Self {
        Proposal {
            session: 0,
            seq: 0,
            low: 0,
            at,
            epoch: None,
            command,
        }
    }
}

/// How many planned copies are made at a time; 0 for any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLimit {
    /// By one node.
    pub node: u32,
    /// By all nodes together.
    pub cluster: u32,
}

/// A change of the replicated state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// The first entry of a new cluster, with its first member.
    Bootstrap {
        /// The new cluster's id.
        cluster_id: String,
        /// The settings on which all members must agree.
        config: ClusterConfig,
        /// The first member; it keeps its `raft_id` where that is set, and gets the first Raft id otherwise.
        node: NodeSpec,
    },
    /// A leader's first committed command: raises the leader epoch.
    LeaderElected {
        /// The leader.
        node: NodeId,
        /// The Raft term in which it leads.
        term: u64,
    },
    /// Admits a node, or a new process of a member.
    Join {
        /// The node as it describes itself.
        node: NodeSpec,
        /// The new primaries of the partitions of which an earlier process of the node was still primary.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// For how many milliseconds the earlier process had been silent when this was decided.
        #[serde(default)]
        silent_ms: u64,
        /// No lease of the earlier process names this revision or a later one, whichever leader granted it: that
        /// process never acted in a role that it was given from there on.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// The node has caught up and is a full member.
    Activate {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
    },
    /// A member has stopped or failed. It stays a member.
    #[serde(rename = "Down")]
    MarkDown {
        /// The member.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
        /// Whether it stopped in an orderly way or failed.
        reason: LeaveReason,
        /// The new primaries of the partitions of which it was primary.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// For how many milliseconds the member had been silent when this was decided.
        #[serde(default)]
        silent_ms: u64,
        /// No lease of this incarnation names this revision or a later one, whichever leader granted it: it never acted
        /// in a role that it was given from there on.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// Begins to drain a member.
    Leave {
        /// The member.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
    },
    /// Removes a member.
    Remove {
        /// The member.
        node: NodeId,
        /// The reason.
        reason: LeaveReason,
        /// The new primaries of the partitions of which it was primary.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// Refuses the removal where the member is the last that counts as holding a partition's data.
        #[serde(default)]
        keep_last: bool,
        /// No lease of the member names this revision or a later one, whichever leader granted it: it never acted in a
        /// role that it was given from there on.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// Reports the health of a node, as its application sees it.
    ReportHealth {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
        /// Its health.
        health: NodeHealthState,
        /// The reason, where it is not healthy.
        reason: String,
    },
    /// Creates all partitions.
    CreatePartitions {
        /// The holders and the primary of each partition.
        assignments: Vec<Target>,
        /// The topology revision that the assignments were planned on.
        planned_on: u64,
    },
    /// Moves partitions.
    Plan {
        /// The cause of the plan.
        trigger: RebalanceTrigger,
        /// The node that caused it; empty where no node did, as for a manual rebalance.
        trigger_node: NodeId,
        /// Partition numbers, each with its target.
        targets: Vec<(u32, Target)>,
        /// The topology revision that the plan was made on.
        planned_on: u64,
        /// How many copies are made at a time.
        #[serde(default)]
        limit: CopyLimit,
    },
    /// Confirms that a holder has the data of these partitions.
    Confirm {
        /// The holder.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
        /// Partition numbers, each with the revision that assigned the copy to the node.
        partitions: Vec<(u32, u64)>,
        /// True if the node has no hook for copies: it confirms assigned copies at once, without its application, so the
        /// limits on copies do not apply to it.
        #[serde(default)]
        at_once: bool,
    },
    /// Takes the primary role of these partitions from its holders: the first half of a handover.
    Release {
        /// Partition numbers, each with its epoch when this was decided.
        partitions: Vec<(u32, u64)>,
    },
    /// Grants the primary role of partitions without a primary: the second half of a handover, or after a holder's
    /// return.
    Grant {
        /// The new primaries.
        grants: Vec<Grant>,
    },
    /// Begins maintenance, during which no moves are planned; `None` ends it.
    Maintenance {
        /// The reason, for people.
        reason: Option<String>,
    },
    /// Writes a value of the replicated store.
    SetData {
        /// The key: 1 to [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES) bytes.
        key: String,
        /// The value: up to [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES) bytes.
        value: Bytes,
        /// The condition of the write.
        expect: Expect,
    },
    /// Deletes a value of the replicated store.
    DeleteData {
        /// The key.
        key: String,
        /// The condition of the deletion.
        expect: Expect,
    },
    /// Sets the factor by which all election timeouts are stretched.
    Stretch {
        /// The factor: 1 to [`MAX_ELECTION_STRETCH`](super::MAX_ELECTION_STRETCH).
        factor: u32,
    },
    /// Abandons copies that have been pending for too long, and the moves that they are part of.
    #[serde(rename = "GiveUp")]
    AbandonCopies {
        /// Partition numbers, each with the node that copies and the revision that assigned the copy.
        copies: Vec<(u32, NodeId, u64)>,
    },
    /// Accepts a node's copy of a partition as its data: a person's decision, where no better copy is left.
    Recover {
        /// The partition.
        number: u32,
        /// The node whose copy counts from now on.
        from: NodeId,
        /// Also where a serving node has the data, which then copies from `from`, and where `from` holds no copy.
        force: bool,
    },
    /// Asks a node to confirm these copies again, because its application registered a copying hook only after the node
    /// had confirmed them without one, or has to clean up first. Where a serving node has a better copy, these count
    /// again only after that confirmation.
    Reconfirm {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: u64,
        /// Partition numbers, each with the revision that assigned the copy to the node.
        partitions: Vec<(u32, u64)>,
    },
    /// Stages a piece of a large value before the command that writes it; other commands may be applied between the
    /// pieces.
    Stage {
        /// The number, within the session, of the proposal that is to write the value.
        of: u64,
        /// The offset of the piece within the value, in bytes.
        offset: u64,
        /// The piece.
        bytes: Bytes,
    },
    /// Writes a value whose pieces were staged for this proposal.
    SetStaged {
        /// The key.
        key: String,
        /// The length of the value, in bytes.
        length: u64,
        /// The condition of the write.
        expect: Expect,
    },
}

impl Command {
    /// True for a command that any member may propose through the leader. The leader decides all others by what only it
    /// knows, and does not accept them from other nodes.
    pub(crate) fn is_open_to_members(&self) -> bool {
        match self {
            Command::Confirm { .. }
            | Command::Reconfirm { .. }
            | Command::SetData { .. }
            | Command::DeleteData { .. }
            | Command::Stage { .. }
            | Command::SetStaged { .. } => true,
            Command::Bootstrap { .. }
            | Command::LeaderElected { .. }
            | Command::Join { .. }
            | Command::Activate { .. }
            | Command::MarkDown { .. }
            | Command::Leave { .. }
            | Command::Remove { .. }
            | Command::ReportHealth { .. }
            | Command::CreatePartitions { .. }
            | Command::Plan { .. }
            | Command::Release { .. }
            | Command::Grant { .. }
            | Command::Maintenance { .. }
            | Command::Stretch { .. }
            | Command::AbandonCopies { .. }
            | Command::Recover { .. } => false,
        }
    }

    /// True for a command that may change the replicated store.
    pub(crate) const fn writes_data(&self) -> bool {
        matches!(
            self,
            Command::SetData { .. } | Command::DeleteData { .. } | Command::SetStaged { .. }
        )
    }

    /// The revision from which on no lease of the process that stops, fails, is replaced or is removed names any, where
    /// that is known.
    pub(super) fn unleased_from(&self) -> Option<u64> {
        match self {
            Command::Join { unleased_from, .. }
            | Command::MarkDown { unleased_from, .. }
            | Command::Remove { unleased_from, .. } => *unleased_from,
            _ => None,
        }
    }
}

/// A node as it describes itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its id.
    pub id: NodeId,
    /// The display name.
    pub name: String,
    /// The advertised `host:port`.
    pub ip: String,
    /// The port in `ip`.
    pub port: u16,
    /// The address at which peers dial it.
    pub peer_addr: String,
    /// The application's endpoints.
    pub services: BTreeMap<String, String>,
    /// The failure zone.
    pub zone: Option<String>,
    /// Its share of the partitions, relative to other nodes' weights.
    pub weight: u32,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
    /// A random number of this process, so that a repeated join is recognised.
    pub process: u64,
    /// Its Raft id, where it rejoins with its log; a node without a log gets a new one.
    pub raft_id: Option<u64>,
}

/// A partition's new primary when the old one is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The partition.
    pub number: u32,
    /// A serving holder of the data.
    pub to: NodeId,
}

/// The primary role of one partition, for a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The partition.
    pub number: u32,
    /// The epoch on which this was decided; the grant raises it.
    pub epoch: u64,
    /// A serving holder of the data.
    pub to: NodeId,
}

/// The condition on a key before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expect {
    /// No condition.
    #[default]
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists, and this revision wrote it.
    Revision(u64),
}

/// The answer of the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The log index of the command: the revision from which its effect can be read.
    pub revision: u64,
    /// The result of the command.
    pub result: Result<Reply, Error>,
    /// True when the result holds for the proposal, however often it was tried: the answer that the state machine gave
    /// once and remembers. False for a refusal of this attempt only, which says nothing of earlier attempts.
    #[serde(default = "settled")]
    pub settles: bool,
}

fn settled() -> bool {
    true
}

/// The result of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// The command was valid and there was nothing to do.
    Unchanged,
    /// The node is admitted.
    Joined {
        /// Its Raft id.
        raft_id: u64,
        /// Its incarnation: the revision of its join.
        incarnation: u64,
        /// The Raft id that it had before and must not use any more.
        retired_raft_id: Option<u64>,
    },
    /// The number of partitions that were affected.
    Partitions(usize),
    /// Whether the key existed.
    Deleted(bool),
}
