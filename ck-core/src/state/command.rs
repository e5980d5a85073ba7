//! What can be asked of the state machine, and what it answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{
    ClusterConfig, LeaveReason, NodeHealthState, NodeId, RebalanceTrigger, Target, Timestamp,
};

/// A command on its way through the log, with what makes it safe to retry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The incarnation of the node that proposes: the session whose memory recognises a retry. 0 proposes
    /// without that memory, and is only for commands that are harmless twice.
    #[serde(rename = "s")]
    pub session: u64,
    /// The proposal's number within its session.
    #[serde(rename = "q")]
    pub seq: u64,
    /// Every earlier proposal of the session below this number is settled, and may be forgotten.
    #[serde(rename = "l")]
    pub low: u64,
    /// The proposer's wall clock: the only time that the state machine knows.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The leader epoch that a leader decided this under, by what it alone knows: who is leased, who is silent. It
    /// is refused once another leadership has been recorded.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What is asked.
    #[serde(rename = "c")]
    pub command: Command,
}

impl Proposal {
    /// A proposal that no session remembers, so that a retry of it is another one: for commands that are harmless twice.
    pub fn unremembered(command: Command, at: Timestamp) -> Self {
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
    /// By all together.
    pub cluster: u32,
}

/// A change of the replicated state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// The first entry of a new cluster, with its first member.
    Bootstrap {
        /// The new cluster's id.
        cluster_id: String,
        /// What must agree from now on.
        config: ClusterConfig,
        /// The first member; its `raft_id` is given.
        node: NodeSpec,
    },
    /// A leader's first committed command: raises the leader epoch.
    LeaderElected {
        /// Who leads.
        node: NodeId,
        /// In which Raft term.
        term: u64,
    },
    /// Admits a node, or a new process of a member.
    Join {
        /// The node as it describes itself.
        node: NodeSpec,
        /// Who takes over the roles that an earlier process of the node still had.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// For how many milliseconds nothing had been heard of an earlier process when that was decided.
        #[serde(default)]
        silent_ms: u64,
        /// No lease of the earlier process names this revision or a later one, as the leader knows: it never acted on a
        /// role that it was given then.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// The node has caught up and is a full member.
    Activate {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
    },
    /// A member stopped or is dead. Its place is kept.
    #[serde(rename = "Down")]
    MarkDown {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
        /// Stopped in an orderly way, or failed.
        reason: LeaveReason,
        /// Who takes over its roles.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// For how many milliseconds nothing had been heard of it when that was decided.
        #[serde(default)]
        silent_ms: u64,
        /// No lease of the earlier process names this revision or a later one, as the leader knows: it never acted on a
        /// role that it was given then.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// A member is to be drained.
    Leave {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
    },
    /// A member is gone for good.
    Remove {
        /// Who.
        node: NodeId,
        /// Why.
        reason: LeaveReason,
        /// Who takes over its roles.
        promotions: Vec<Promotion>,
        /// The topology revision that the promotions were planned on.
        planned_on: u64,
        /// It is refused where the member is the last that counts as holding a partition's data.
        #[serde(default)]
        keep_last: bool,
        /// No lease of the earlier process names this revision or a later one, as the leader knows: it never acted on a
        /// role that it was given then.
        #[serde(default)]
        unleased_from: Option<u64>,
    },
    /// The application on a node says how it is.
    ReportHealth {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
        /// How.
        health: NodeHealthState,
        /// Why, where it is not healthy.
        reason: String,
    },
    /// The first assignment of all partitions.
    CreatePartitions {
        /// For each partition its holders and its primary.
        assignments: Vec<Target>,
        /// The topology revision that it was planned on.
        planned_on: u64,
    },
    /// Partitions are to move.
    Plan {
        /// Why.
        trigger: RebalanceTrigger,
        /// The node that is the reason, empty where somebody asked.
        trigger_node: NodeId,
        /// Partition numbers and where they go.
        targets: Vec<(u32, Target)>,
        /// The topology revision that it was planned on.
        planned_on: u64,
        /// How many copies are made at a time.
        #[serde(default)]
        limit: CopyLimit,
    },
    /// A holder has the data of these partitions.
    Confirm {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
        /// Partition numbers, each with the revision that told the node to copy.
        partitions: Vec<(u32, u64)>,
        /// No hook of the node copies anything: its application has not said that it has the data, and as it confirms at once
        /// what it is told to hold, nothing is gained by telling it a few at a time.
        #[serde(default)]
        at_once: bool,
    },
    /// The primaries of these partitions are to stop: the first half of a planned change of primary.
    Release {
        /// Partition numbers, each with its epoch when this was decided.
        partitions: Vec<(u32, u64)>,
    },
    /// Partitions without a primary get one: the second half of a planned change, or a holder that is back.
    Grant {
        /// Who gets what.
        grants: Vec<Grant>,
    },
    /// No moves are planned from now on, for this reason; with none, they are again.
    Maintenance {
        /// Why, for people.
        reason: Option<String>,
    },
    /// Writes a value of the replicated store.
    SetData {
        /// 1 to [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES) bytes.
        key: String,
        /// Up to [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES).
        value: Bytes,
        /// What must be true before.
        expect: Expect,
    },
    /// Deletes a value of the replicated store.
    DeleteData {
        /// The key.
        key: String,
        /// What must be true before.
        expect: Expect,
    },
    /// Election timeouts are stretched by so much from now on.
    Stretch {
        /// 1 to [`MAX_STRETCH`](super::MAX_STRETCH).
        factor: u32,
    },
    /// Copies that have been in the making for too long are given up, with the moves that they are part of.
    #[serde(rename = "GiveUp")]
    AbandonCopies {
        /// Partition numbers, each with the node that copies and the revision that told it to.
        copies: Vec<(u32, NodeId, u64)>,
    },
    /// A person accepts what a node has of a partition as the data, because nobody better is left.
    Recover {
        /// The partition.
        number: u32,
        /// Whose copy counts from now on.
        from: NodeId,
        /// Also where a holder that counts lives, which then copies from `from`, and where `from` holds no copy.
        force: bool,
    },
    /// A node's application has registered its hook that copies after the node had confirmed these copies without one, or
    /// is about to clean up: it is told of each anew, and they count again when it has confirmed them.
    Reconfirm {
        /// Who.
        node: NodeId,
        /// Which process of it.
        incarnation: u64,
        /// Partition numbers, each with the revision that told the node to copy.
        partitions: Vec<(u32, u64)>,
    },
    /// A piece of a large value, on its way before the command that writes it: other commands pass between the pieces.
    Stage {
        /// The number, within the session, of the proposal that is to write the value.
        of: u64,
        /// Where in the value the piece belongs.
        offset: u64,
        /// The piece.
        bytes: Bytes,
    },
    /// Writes a value whose pieces were staged for this very proposal.
    SetStaged {
        /// The key.
        key: String,
        /// How long the value is.
        length: u64,
        /// What must be true before.
        expect: Expect,
    },
}

impl Command {
    /// True for what any member may propose, through whoever leads. Everything else the leader decides by what it alone
    /// knows, and never takes from another node.
    pub(crate) fn is_anybodys(&self) -> bool {
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

    /// True for what may change the replicated store.
    pub(crate) const fn writes_data(&self) -> bool {
        matches!(
            self,
            Command::SetData { .. } | Command::DeleteData { .. } | Command::SetStaged { .. }
        )
    }

    /// From which revision on the process that goes was leased for nothing, where that is known.
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
    /// A name for people.
    pub name: String,
    /// The advertised `host:port`.
    pub ip: String,
    /// The port in `ip`.
    pub port: u16,
    /// Where peers dial it.
    pub peer_addr: String,
    /// The application's endpoints.
    pub services: BTreeMap<String, String>,
    /// The failure zone.
    pub zone: Option<String>,
    /// Its share of the partitions.
    pub weight: u32,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// A random number that names this process, so that a repeated join is recognised as one.
    pub process: u64,
    /// Its number in Raft, where it comes back with its log; a node without a log gets a new one.
    pub raft_id: Option<u64>,
}

/// A partition's new primary where the old one is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The partition.
    pub number: u32,
    /// A live holder of the data.
    pub to: NodeId,
}

/// The primary role of one partition, for a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The partition.
    pub number: u32,
    /// The epoch that it was decided on; the grant raises it.
    pub epoch: u64,
    /// A live holder of the data.
    pub to: NodeId,
}

/// What must be true of a key before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// It does not exist.
    Absent,
    /// It exists, and this revision wrote it.
    Revision(u64),
}

/// What the state machine answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The log index of the command: the revision from which its effect can be read.
    pub revision: u64,
    /// What came of it.
    pub result: Result<Reply, Error>,
    /// True when this is what came of the proposal, however often it was tried: the answer of the state machine, given
    /// once and remembered. False for a refusal that speaks of this attempt only, and not of those before it.
    #[serde(default = "settled")]
    pub settles: bool,
}

fn settled() -> bool {
    true
}

/// What came of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// The command was fine and there was nothing to do.
    Unchanged,
    /// The node is admitted.
    Joined {
        /// Its number in Raft.
        raft_id: u64,
        /// Its incarnation: the revision of its admission.
        incarnation: u64,
        /// The number in Raft that it had before and must not use any more.
        retired_raft_id: Option<u64>,
    },
    /// So many partitions were affected.
    Partitions(usize),
    /// Whether the key existed.
    Deleted(bool),
}
