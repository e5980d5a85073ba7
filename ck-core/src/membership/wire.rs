//! What members and would-be members say to each other.

use serde::{Deserialize, Serialize};

use super::address_book::PeerAddress;
use crate::consensus::RaftId;
use crate::error::Error;
use crate::model::{ClusterConfig, NodeHealthState, NodeId, RebalanceStatus};
use crate::rebalance::CopyReport;
use crate::state::NodeSpec;

/// One call of one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberRequest {
    /// The caller's cluster id, empty where it has none yet.
    pub(crate) cluster: String,
    /// True when a member has forwarded it: it is not forwarded again.
    pub(crate) forwarded: bool,
    pub(crate) call: MemberCall,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberCall {
    /// Who are you?
    Ping,
    /// Let me in, or back in.
    Join(Box<JoinRequest>),
    /// I am here, and this far.
    Sync(SyncReport),
    /// Give your leases back: act as primary no more before you are granted one that you ask for later.
    GiveBack { node: NodeId, incarnation: u64 },
    /// I am about to stop.
    Stop { node: NodeId, incarnation: u64 },
    /// My log has failed, and I act as primary no more: give my roles to others.
    Failed { node: NodeId, incarnation: u64 },
    /// Take that member out for good.
    Remove { node: NodeId },
    /// Move partitions to where they belong.
    Rebalance,
    /// Create the partitions if there are none.
    CreatePartitions,
    /// Give leadership up, to that node where one is named, and do not stand for it again for so long.
    StepDown {
        to: Option<NodeId>,
        cooldown_ms: Option<u64>,
    },
    /// Move what I have elsewhere, then take me out.
    Leave { node: NodeId, incarnation: u64 },
    /// Plan no more moves, for this reason; with none, plan again.
    Maintenance { reason: Option<String> },
    /// What is under way?
    RebalanceStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberAnswer {
    Done(MemberReply),
    Join(Box<JoinAnswer>),
    /// This node does not lead and does not forward; perhaps that address leads.
    NotLeader(Option<String>),
    Refused(Error),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberReply {
    Pong(Pong),
    Sync(SyncReply),
    /// The leases are given back.
    GivenBack,
    /// Committed with this revision; so many partitions are concerned.
    Revision {
        revision: u64,
        partitions: usize,
    },
    Rebalance(Box<RebalanceStatus>),
}

/// Who answers at an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pong {
    pub(crate) node_id: NodeId,
    /// Names the process.
    pub(crate) process: u64,
    /// Empty before the node is a member.
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
}

/// A node that asks to be let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub(crate) spec: NodeSpec,
    pub(crate) cluster_name: String,
    /// The cluster that the node's data directory belongs to.
    pub(crate) cluster_id: Option<String>,
    /// What it was told to ask for; unset, it takes what the cluster has.
    pub(crate) partition_count: Option<u32>,
    pub(crate) replication_factor: Option<u32>,
    #[serde(default)]
    pub(crate) lease_ttl_ms: Option<u64>,
    #[serde(default)]
    pub(crate) failure_timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) election_timeout_ms: Option<u64>,
}

/// The answer, with what the member knows of others either way: a node whose cluster has no leader yet learns
/// where its peers are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinAnswer {
    pub(crate) result: Result<JoinReply, Error>,
    pub(crate) peers: Vec<PeerAddress>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinReply {
    pub(crate) cluster_id: String,
    pub(crate) config: ClusterConfig,
    pub(crate) raft_id: RaftId,
    pub(crate) incarnation: u64,
    pub(crate) revision: u64,
}

/// A member that says that it is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncReport {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    /// How far it has applied the log.
    pub(crate) revision: u64,
    pub(crate) health: NodeHealthState,
    pub(crate) health_reason: String,
    /// The copies whose hooks have failed, not all of them where there are many.
    #[serde(default)]
    pub(crate) copies: Vec<CopyReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncReply {
    /// The last change of members or partitions that the leader had applied when it answered: the lease counts once
    /// the node has applied it too.
    pub(crate) revision: u64,
    pub(crate) leader: NodeId,
    /// How long the lease lasts from the moment at which the node asked; 0 grants none.
    #[serde(default)]
    pub(crate) lease_ms: u64,
}
