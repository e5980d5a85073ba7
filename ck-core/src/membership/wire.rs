//! What members and would-be members say to each other.

use serde::{Deserialize, Serialize};

use super::address_book::PeerAddress;
use super::process_tag::ProcessTag;
use crate::error::Error;
use crate::model::{ClusterConfig, NodeHealthState, NodeId, RebalanceStatus};
use crate::raft::RaftId;
use crate::state::NodeSpec;

/// One call of one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberRequest {
    /// The caller's cluster id, empty where it has none yet.
    pub(crate) cluster: String,
    /// True when a member has forwarded it: it is not forwarded again.
    pub(crate) forwarded: bool,
    pub(crate) call: MemberCall,
    /// The member that passes the call on, where one does: one that was taken out orders nothing any more.
    #[serde(default)]
    pub(crate) from: Option<NodeId>,
    /// The epoch of the leader that the caller knows, for an order; 0 where it knows none. An order is for that leader: one
    /// that turns up later, again or late, does nothing.
    #[serde(default)]
    pub(crate) epoch: u64,
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
    /// Take that member out for good; forced, even where what it alone holds is lost by that.
    Remove {
        node: NodeId,
        #[serde(default)]
        force: bool,
        /// Which process of it was meant, where one was known: not one that was let in meanwhile.
        #[serde(default)]
        incarnation: Option<u64>,
    },
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
    /// When were the members last heard of?
    LastSeen,
    /// Promise to let this node found the cluster, and nobody else.
    Promise { founder: NodeId, expect: u32 },
    /// What that node has of a partition counts as its data from now on.
    Recover { number: u32, from: NodeId, force: bool },
}

impl MemberCall {
    /// True for what somebody orders and wants to know the outcome of. The rest is said again and again.
    pub(crate) fn is_order(&self) -> bool {
        match self {
            MemberCall::Remove { .. }
            | MemberCall::Rebalance
            | MemberCall::CreatePartitions
            | MemberCall::StepDown { .. }
            | MemberCall::Leave { .. }
            | MemberCall::Maintenance { .. }
            | MemberCall::Recover { .. } => true,
            MemberCall::Ping
            | MemberCall::Join(_)
            | MemberCall::Sync(_)
            | MemberCall::GiveBack { .. }
            | MemberCall::Stop { .. }
            | MemberCall::Failed { .. }
            | MemberCall::RebalanceStatus
            | MemberCall::LastSeen
            | MemberCall::Promise { .. } => false,
        }
    }
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
    /// For how many milliseconds each member has been silent; those not heard of by this leader are left out.
    LastSeen(Vec<(NodeId, u64)>),
    /// Promised, durably.
    Promised,
}

/// Who answers at an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pong {
    pub(crate) node_id: NodeId,
    /// Which process of it, without its number: anybody may ask.
    pub(crate) tag: ProcessTag,
    /// Empty before the node is a member.
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    /// How the node goes about a cluster, where it has none and may found one.
    #[serde(default)]
    pub(crate) forming: Option<Forming>,
}

/// What a node without a cluster says of its part in founding one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forming {
    /// How many nodes it expects before anybody founds; 0 for one that may found by itself.
    pub(crate) expect: u32,
    /// The nodes without a cluster that it knows of, itself included, in order.
    pub(crate) knows: Vec<NodeId>,
    /// The node that it has promised to let found the cluster.
    pub(crate) promised: Option<NodeId>,
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
    /// The cluster that has decided. A node that belongs to one believes no other's refusal.
    #[serde(default)]
    pub(crate) cluster_id: String,
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
    /// The delay to reckon with that it has seen lately: of its own timers, and of the leader's heartbeats.
    #[serde(default)]
    pub(crate) delay_ms: u64,
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

/// What a node says of a copy that it does not get made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyReport {
    pub(crate) number: u32,
    /// The revision that told it to copy.
    pub(crate) since: u64,
    /// How often its hook has failed.
    pub(crate) attempts: u32,
    /// Why it failed last.
    pub(crate) error: String,
}
