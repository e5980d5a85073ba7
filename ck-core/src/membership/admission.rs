//! The leader's side of joining, stopping and removing.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AddressBook, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong,
    SyncReply, SyncReport,
};
use crate::consensus::Service;
use crate::consensus::{Leadership, Proposer, Replica, SyncTable, decode, encode};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{ClusterConfig, LeaveReason, Node, NodeId};
use crate::net::{Lane, Transport};
use crate::rebalance;
use crate::state::{Command, Promotion, Reply, Response};

/// How long a node that wants in has to answer when it is dialled back.
const DIAL_BACK: Duration = Duration::from_secs(1);
/// How long one commit may take.
const PROPOSE: Duration = Duration::from_secs(5);
/// How often a change is planned anew because the topology moved under it.
const REPLANS: usize = 20;

/// Decides who is a member. Acts only where the leader is.
pub(crate) struct Admission {
    me: Pong,
    replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    leadership: Arc<Leadership>,
    syncs: Arc<SyncTable>,
    transport: Arc<dyn Transport>,
    addresses: Arc<AddressBook>,
}

impl Admission {
    pub(crate) fn new(
        me: Pong,
        replica: Arc<Replica>,
        proposer: Arc<Proposer>,
        leadership: Arc<Leadership>,
        syncs: Arc<SyncTable>,
        transport: Arc<dyn Transport>,
        addresses: Arc<AddressBook>,
    ) -> Self {
        Admission {
            me,
            replica,
            proposer,
            leadership,
            syncs,
            transport,
            addresses,
        }
    }

    /// Admits a node, or a new process of a member.
    ///
    /// # Errors
    /// [`ErrorCode::ClusterMismatch`] and [`ErrorCode::WrongCluster`] with both values,
    /// [`ErrorCode::DuplicateNode`], [`ErrorCode::JoinRefused`] when the node cannot be reached where it says it
    /// is, [`ErrorCode::Removed`]. Nothing has changed then.
    pub(crate) async fn join(&self, request: &JoinRequest) -> Result<JoinReply> {
        let topology = self.replica.topology();
        check_agreement(&topology.config, &topology.cluster_id, request)?;
        if let Some(known) = topology.nodes.get(&request.spec.id) {
            self.check_duplicate(known, request).await?;
        }
        self.dial_back(request).await?;
        let response = self
            .with_promotions(&request.spec.id, |promotions, planned_on| Command::Join {
                node: request.spec.clone(),
                promotions,
                planned_on,
            })
            .await?;
        match response.result? {
            Reply::Joined {
                raft_id, incarnation, ..
            } => Ok(JoinReply {
                cluster_id: topology.cluster_id.clone(),
                config: topology.config.clone(),
                raft_id,
                incarnation,
                revision: response.revision,
            }),
            other => Err(Error::internal(format!("a join was answered with {other:?}"))),
        }
    }

    /// A member with this id is known. Is it this process, an earlier one, or another one that lives?
    async fn check_duplicate(&self, known: &Node, request: &JoinRequest) -> Result<()> {
        if !known.status.is_up() {
            return Ok(());
        }
        if self.replica.state().process_of(&known.id) == Some(request.spec.process) {
            return Ok(());
        }
        if let Ok(pong) = self.ping(&known.peer_addr).await
            && pong.node_id == known.id
            && pong.process != request.spec.process
            && pong.cluster_id == self.me.cluster_id_of(&self.replica)
        {
            return Err(Error::new(
                ErrorCode::DuplicateNode,
                format!(
                    "a node with id {:?} is a member and answers at {}; every node needs an id of its own",
                    known.id, known.ip
                ),
            ));
        }
        Ok(())
    }

    /// A node is admitted only where it says that it is: one that cannot be reached could not vote.
    async fn dial_back(&self, request: &JoinRequest) -> Result<()> {
        let spec = &request.spec;
        let refused = |why: String| {
            Error::new(
                ErrorCode::JoinRefused,
                format!(
                    "node {:?} says that it is at {}, but {why}",
                    spec.id, spec.peer_addr
                ),
            )
        };
        match self.ping(&spec.peer_addr).await {
            Ok(pong) if pong.node_id == spec.id && pong.process == spec.process => Ok(()),
            Ok(pong) => Err(refused(format!("node {:?} answers there", pong.node_id))),
            Err(error) => Err(refused(format!(
                "it cannot be reached there: {}",
                error.message()
            ))),
        }
    }

    /// Asks who is at an address.
    pub(super) async fn ping(&self, address: &str) -> Result<Pong> {
        let request = MemberRequest {
            cluster: self.me.cluster_id_of(&self.replica),
            forwarded: true,
            call: MemberCall::Ping,
        };
        let body = Service::Member.envelope(&encode(&request)?);
        let answer = self
            .transport
            .call(address, Lane::Control, body, DIAL_BACK)
            .await?;
        match decode(&answer, "the answer of a node")? {
            MemberAnswer::Done(MemberReply::Pong(pong)) => Ok(pong),
            MemberAnswer::Refused(error) => Err(error),
            other => Err(Error::new(
                ErrorCode::Version,
                format!("a ping was answered with {other:?}"),
            )),
        }
    }

    /// A node told where it is before there is a leader to commit that: noted once it has been seen there.
    pub(crate) async fn note_address(&self, request: &JoinRequest) {
        let Some(raft_id) = request.spec.raft_id else {
            return;
        };
        let topology = self.replica.topology();
        let known = topology
            .nodes
            .get(&request.spec.id)
            .filter(|node| node.raft_id == raft_id);
        let ours = request.cluster_id.as_deref() == Some(topology.cluster_id.as_str());
        if ours
            && known.is_some_and(|node| node.peer_addr != request.spec.peer_addr)
            && self.dial_back(request).await.is_ok()
        {
            self.addresses.hint(raft_id, request.spec.peer_addr.clone());
        }
    }

    /// Notes a member's sync.
    pub(crate) fn sync(&self, report: &SyncReport) -> Result<SyncReply> {
        let topology = self.replica.topology();
        let Some(node) = topology.nodes.get(&report.node) else {
            let removed = self.replica.state().removed_at(&report.node).is_some();
            let code = if removed {
                ErrorCode::Removed
            } else {
                ErrorCode::NotFound
            };
            return Err(Error::new(
                code,
                format!("node {:?} is not a member", report.node),
            ));
        };
        if node.incarnation != report.incarnation || !node.status.is_up() {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!(
                    "node {:?} is {} with incarnation {}, the sync is of {}",
                    report.node,
                    node.status.as_str(),
                    node.incarnation,
                    report.incarnation
                ),
            ));
        }
        self.syncs.note(&report.node, report.incarnation, report.revision);
        Ok(SyncReply {
            revision: self.replica.revision(),
            leader: self.me.node_id.clone(),
        })
    }

    /// A member says that it stops: its roles go to others at once.
    pub(crate) async fn stop(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        let response = self
            .with_promotions(node, |promotions, planned_on| Command::Down {
                node: node.clone(),
                incarnation,
                reason: LeaveReason::GracefulShutdown,
                promotions,
                planned_on,
            })
            .await?;
        response.result.map(|_| (response.revision, 0))
    }

    /// Takes a member out for good.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for the last one.
    pub(crate) async fn remove(&self, node: &NodeId) -> Result<(u64, usize)> {
        let response = self
            .with_promotions(node, |promotions, planned_on| Command::Remove {
                node: node.clone(),
                reason: LeaveReason::RemovedByAdmin,
                promotions,
                planned_on,
            })
            .await?;
        response.result.map(|_| (response.revision, 0))
    }

    /// Proposes a command that says who takes over from `node`, planned anew as often as the topology moves on.
    async fn with_promotions(
        &self,
        node: &NodeId,
        command: impl Fn(Vec<Promotion>, u64) -> Command,
    ) -> Result<Response> {
        for _ in 0..REPLANS {
            if !self.leadership.is_leader() {
                return Err(Error::new(
                    ErrorCode::NotLeader,
                    "this node does not lead any more",
                ));
            }
            let (topology, planned_on) = {
                let state = self.replica.state();
                (state.topology().clone(), state.topology_revision())
            };
            let promotions = rebalance::promotions(&topology, node);
            let response = self
                .proposer
                .propose(command(promotions, planned_on), PROPOSE)
                .await?;
            match &response.result {
                Err(error) if error.code() == ErrorCode::Conflict => {}
                _ => return Ok(response),
            }
        }
        Err(Error::new(
            ErrorCode::Busy,
            format!("the topology moved on under each of {REPLANS} plans for node {node:?}; try again"),
        ))
    }
}

impl Pong {
    /// The cluster id as of now: this node may have become a member since it started.
    fn cluster_id_of(&self, replica: &Replica) -> String {
        if self.cluster_id.is_empty() {
            replica.topology().cluster_id.clone()
        } else {
            self.cluster_id.clone()
        }
    }
}

/// What must be the same in the whole cluster is: the message gives both values.
fn check_agreement(config: &ClusterConfig, cluster_id: &str, request: &JoinRequest) -> Result<()> {
    let id = &request.spec.id;
    if request.cluster_name != config.cluster_name {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "node {id:?} wants to join cluster {:?}, this is {:?}",
                request.cluster_name, config.cluster_name
            ),
        ));
    }
    if let Some(theirs) = &request.cluster_id
        && theirs != cluster_id
    {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "node {id:?} brings the data_dir of another cluster named {:?}: its id is {theirs}, this one's {cluster_id}",
                config.cluster_name
            ),
        ));
    }
    let differ = |option: &str, theirs: u32, ours: u32| {
        Error::new(
            ErrorCode::ClusterMismatch,
            format!(
                "node {id:?} asks for {option} {theirs}, but the cluster has {ours}; leave the option out to take the cluster's"
            ),
        )
    };
    match request.partition_count {
        Some(theirs) if theirs != config.partition_count => {
            return Err(differ("partition_count", theirs, config.partition_count));
        }
        _ => {}
    }
    match request.replication_factor {
        Some(theirs) if theirs != config.replication_factor => {
            Err(differ("replication_factor", theirs, config.replication_factor))
        }
        _ => Ok(()),
    }
}
