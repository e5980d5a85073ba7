//! The calls about members, between members and from joining nodes to members, and their answers.

use serde::{Deserialize, Serialize};

use super::peer_client::{PeerCall, unexpected};
use super::process_tag::ProcessTag;
use super::service::Service;
use crate::error::{Error, Result};
use crate::model::{ClusterConfig, NodeHealthState, NodeId, RaftId, RebalanceStatus};
use crate::state::NodeSpec;

/// A call about members, from one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberRequest {
    /// The caller's cluster id; empty where it has none yet.
    pub(crate) cluster: String,
    /// True when a member has forwarded the call: it is not forwarded again.
    pub(crate) forwarded: bool,
    pub(crate) call: MemberCall,
    /// The member that makes the call or forwards it: the orders of a removed member are refused.
    #[serde(default)]
    pub(crate) from: Option<NodeId>,
    /// The leader epoch that the caller knows, for an order; 0 where it knows none. An order is meant for that leader:
    /// one that arrives under a later epoch, repeated or delayed, is refused.
    #[serde(default)]
    pub(crate) epoch: u64,
}

impl MemberRequest {
    /// A call of a node that is not a member, or of one that names no leader.
    pub(crate) fn new(cluster: String, from: Option<NodeId>, call: MemberCall) -> Self {
        MemberRequest {
            cluster,
            forwarded: false,
            call,
            from,
            epoch: 0,
        }
    }

    /// Marks the call as one that is answered where it arrives, and not forwarded.
    pub(crate) fn forwarded(mut self, forwarded: bool) -> Self {
        self.forwarded = forwarded;
        self
    }

    /// Names the leader epoch that the caller knows.
    pub(crate) fn under(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }
}

impl PeerCall for MemberRequest {
    type Answer = MemberAnswer;
    const SERVICE: Service = Service::Member;
    const ANSWER: &'static str = "the answer of a node";
}

/// What a call about members asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberCall {
    /// Asks which node and which process answers.
    Ping,
    /// Asks to join, as a new node or as a new process of a member.
    Join(Box<JoinRequest>),
    /// A heartbeat: reports that the member lives and what it has applied, and asks for a lease.
    Sync(SyncReport),
    /// Asks the member to give its leases back: it acts as primary again only under a lease that it asks for later.
    GiveBack { node: NodeId, incarnation: u64 },
    /// The member reports that it is about to stop.
    Stop { node: NodeId, incarnation: u64 },
    /// The member reports that its log has failed and that it does not act as primary any more: others take its roles.
    Failed { node: NodeId, incarnation: u64 },
    /// Removes a member; with `force` also where data is lost that only this member holds.
    Remove {
        node: NodeId,
        #[serde(default)]
        force: bool,
        /// The incarnation that is meant, where one is known: a process that joined meanwhile is not removed.
        #[serde(default)]
        incarnation: Option<u64>,
    },
    /// Asks the leader to plan a rebalance now.
    Rebalance,
    /// Creates the partitions if there are none.
    CreatePartitions,
    /// Asks the leader to transfer leadership, to `to` where it is given, and not to campaign again for `cooldown_ms`.
    StepDown {
        to: Option<NodeId>,
        cooldown_ms: Option<u64>,
    },
    /// Asks to drain the member: its copies move elsewhere, then it is removed.
    Leave { node: NodeId, incarnation: u64 },
    /// Begins maintenance for this reason, so that no moves are planned; `None` ends it.
    Maintenance { reason: Option<String> },
    /// Asks for the migrations under way.
    RebalanceStatus,
    /// Asks when the leader last heard of each member.
    LastSeen,
    /// Asks for the promise to let only this node found the cluster.
    Promise { founder: NodeId, expect: u32 },
    /// Accepts the copy of node `from` as the partition's data.
    Recover { number: u32, from: NodeId, force: bool },
}

impl MemberCall {
    /// True for an order: a call on behalf of a person or a program that waits for its outcome. All other calls nodes
    /// make and repeat on their own.
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

/// The answer to a call about members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberAnswer {
    Done(MemberReply),
    Join(Box<JoinAnswer>),
    /// This node does not lead and does not forward; the leader's address, where this node knows one.
    NotLeader(Option<String>),
    Refused(Error),
}

impl MemberAnswer {
    /// The reply of the node that was asked.
    ///
    /// # Errors
    /// The error with which the node refused the call; [`unexpected`] for an answer of another kind.
    pub(crate) fn into_reply(self) -> Result<MemberReply> {
        match self {
            MemberAnswer::Done(reply) => Ok(reply),
            MemberAnswer::Refused(error) => Err(error),
            other => Err(unexpected(&other)),
        }
    }

    /// The answer to a join.
    ///
    /// # Errors
    /// As [`MemberAnswer::into_reply`].
    pub(crate) fn into_join(self) -> Result<JoinAnswer> {
        match self {
            MemberAnswer::Join(answer) => Ok(*answer),
            MemberAnswer::Refused(error) => Err(error),
            other => Err(unexpected(&other)),
        }
    }
}

/// What a call about members results in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MemberReply {
    Pong(Pong),
    Sync(SyncReply),
    /// The leases are given back.
    GivenBack,
    /// Committed at this revision; so many partitions are affected.
    Revision {
        revision: u64,
        partitions: usize,
    },
    Rebalance(Box<RebalanceStatus>),
    /// For how many milliseconds each member has been silent, without those that this leader has not heard of.
    LastSeen(Vec<(NodeId, u64)>),
    /// The promise is made, durably.
    Promised,
}

impl MemberReply {
    /// The reply to a ping.
    ///
    /// # Errors
    /// [`unexpected`] for a reply of another kind.
    pub(crate) fn into_pong(self) -> Result<Pong> {
        match self {
            MemberReply::Pong(pong) => Ok(pong),
            other => Err(unexpected(&other)),
        }
    }

    /// The reply to a heartbeat.
    ///
    /// # Errors
    /// As [`MemberReply::into_pong`].
    pub(crate) fn into_sync(self) -> Result<SyncReply> {
        match self {
            MemberReply::Sync(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// The revision of a change, and how many partitions it affects.
    ///
    /// # Errors
    /// As [`MemberReply::into_pong`].
    pub(crate) fn into_revision(self) -> Result<(u64, usize)> {
        match self {
            MemberReply::Revision { revision, partitions } => Ok((revision, partitions)),
            other => Err(unexpected(&other)),
        }
    }
}

/// The identity of the node that answers at an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pong {
    pub(crate) node_id: NodeId,
    /// Names the process without its number, because any caller may ask.
    pub(crate) tag: ProcessTag,
    /// Empty before the node is a member.
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    /// The node's part in founding a cluster, where it has none and may found one.
    #[serde(default)]
    pub(crate) forming: Option<Forming>,
}

/// What a node without a cluster reports of its part in founding one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forming {
    /// How many nodes it expects before one founds; 0 for a node that may found alone.
    pub(crate) expect: u32,
    /// The nodes without a cluster that it knows of, itself included, in order.
    pub(crate) knows: Vec<NodeId>,
    /// The node that it has promised to let found the cluster.
    pub(crate) promised: Option<NodeId>,
}

/// A node's request to join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub(crate) spec: NodeSpec,
    pub(crate) cluster_name: String,
    /// The cluster that the node's data directory belongs to.
    pub(crate) cluster_id: Option<String>,
    /// The settings that the node is configured with; it takes the cluster's for each unset one.
    pub(crate) partition_count: Option<u32>,
    pub(crate) replication_factor: Option<u32>,
    #[serde(default)]
    pub(crate) lease_ttl_ms: Option<u64>,
    #[serde(default)]
    pub(crate) failure_timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) election_timeout_ms: Option<u64>,
}

/// The known address of a Raft node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerAddress {
    pub(crate) raft_id: RaftId,
    pub(crate) address: String,
    /// The node's incarnation as far as the sender knows: the address of a later incarnation is right.
    pub(crate) incarnation: u64,
    /// The node named the address itself, and the log does not have it yet.
    pub(crate) hinted: bool,
}

/// The answer to a join. It names the known peers in either case, so that a node whose cluster has no leader yet finds
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinAnswer {
    pub(crate) result: Result<JoinReply>,
    pub(crate) peers: Vec<PeerAddress>,
    /// The cluster that has decided. A node that belongs to a cluster ignores the refusals of others.
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

/// A member's heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncReport {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    /// The revision that it has applied.
    pub(crate) revision: u64,
    pub(crate) health: NodeHealthState,
    pub(crate) health_reason: String,
    /// The copies whose hooks have failed; not all of them where there are many.
    #[serde(default)]
    pub(crate) copies: Vec<CopyReport>,
    /// The delay that it has observed lately, of its own timers and of the leader's Raft heartbeats.
    #[serde(default)]
    pub(crate) delay_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncReply {
    /// The last change of members or partitions that the leader had applied when it answered: the lease counts once the
    /// node has applied it too.
    pub(crate) revision: u64,
    pub(crate) leader: NodeId,
    /// How long the lease lasts from the moment at which the node asked; 0 grants none.
    #[serde(default)]
    pub(crate) lease_ms: u64,
}

/// A member's report of a copy whose hook fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyReport {
    pub(crate) number: u32,
    /// The revision that assigned the copy to the node.
    pub(crate) since: u64,
    /// How often its hook has failed.
    pub(crate) attempts: u32,
    /// The last error of the hook.
    pub(crate) error: String,
}
