//! Somebody on the network who has found out how members talk, and who has no secret to know.
//!
//! He says what he likes about members. The messages are the real ones, so that a change of theirs changes what he says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;

use super::SimNode;
use crate::env;
use crate::error::{Error, Result};
use crate::model::{NodeId, RaftId};
use crate::net::sim::SimNetwork;
use crate::net::{Lane, LocalIdentity, Transport};
use crate::raft::{ForwardAnswer, ForwardCall, ForwardRequest, RaftAnswer, RaftRequest, WriteOutcome};
use crate::rpc::{
    JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong, ProcessTag, Service, decode,
    encode, unexpected,
};
use crate::state::{Command, Expect, NodeSpec, Proposal};

/// How long he waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What he says of members, or orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberOrder {
    /// That process of the member is about to stop.
    Stop {
        /// The member.
        node: NodeId,
        /// Its process.
        incarnation: u64,
    },
    /// The log of that process of the member has failed.
    Failed {
        /// The member.
        node: NodeId,
        /// Its process.
        incarnation: u64,
    },
    /// That process of the member is to be removed, whatever is lost with it.
    Remove {
        /// The member.
        node: NodeId,
        /// Its process.
        incarnation: u64,
    },
    /// Partitions are to be moved to where they belong.
    Rebalance,
    /// The leader is to hand its leadership over.
    StepDown,
    /// Maintenance begins for this reason, or ends.
    Maintenance(Option<String>),
}

impl From<MemberOrder> for MemberCall {
    fn from(order: MemberOrder) -> Self {
        match order {
            MemberOrder::Stop { node, incarnation } => MemberCall::Stop { node, incarnation },
            MemberOrder::Failed { node, incarnation } => MemberCall::Failed { node, incarnation },
            MemberOrder::Remove { node, incarnation } => MemberCall::Remove {
                node,
                force: true,
                incarnation: Some(incarnation),
            },
            MemberOrder::Rebalance => MemberCall::Rebalance,
            MemberOrder::StepDown => MemberCall::StepDown {
                to: None,
                cooldown_ms: None,
            },
            MemberOrder::Maintenance(reason) => MemberCall::Maintenance { reason },
        }
    }
}

/// A machine on the network that is no member.
#[derive(Debug)]
pub struct Stranger {
    network: SimNetwork,
    addr: String,
    transport: Arc<dyn Transport>,
}

impl Stranger {
    /// A machine at this address.
    pub fn new(network: &SimNetwork, addr: &str) -> Self {
        Stranger {
            network: network.clone(),
            addr: addr.to_owned(),
            transport: network.transport(addr),
        }
    }

    /// A machine that has the cluster's secret, and says to be this node: a member that has turned.
    pub fn with_identity(network: &SimNetwork, addr: &str, node: &str) -> Self {
        let stranger = Stranger::new(network, addr);
        stranger
            .transport
            .identify(Arc::new(LocalIdentity::new(node.into())));
        stranger
    }

    /// Its address.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// From now on it says to everybody who asks that it is this node, and the process of it that runs.
    ///
    /// # Errors
    /// When that cannot be encoded.
    pub fn pose_as(&self, node: &SimNode) -> Result<()> {
        let topology = node.topology();
        let answer = encode(&MemberAnswer::Done(MemberReply::Pong(Pong {
            node_id: node.id().clone(),
            tag: ProcessTag::of(node.process()),
            cluster_id: topology.cluster_id.clone(),
            cluster_name: topology.config.cluster_name.clone(),
            forming: None,
        })))?;
        let handler = move |_, _| std::future::ready(answer.clone()).boxed();
        self.network.serve(&self.addr, Arc::new(handler));
        Ok(())
    }

    /// Asks a node who it is. The result is the number by which it names its process.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self, to: &SimNode) -> Result<u64> {
        let answer = self.ask(to, MemberCall::Ping, 0).await?;
        Ok(answer.into_reply()?.into_pong()?.tag.number())
    }

    /// Asks to be let into the cluster of `to` as this node.
    ///
    /// # Errors
    /// With which it is refused.
    pub async fn join(&self, to: &SimNode, spec: NodeSpec) -> Result<()> {
        let topology = to.topology();
        let call = MemberCall::Join(Box::new(JoinRequest {
            spec,
            cluster_name: topology.config.cluster_name.clone(),
            cluster_id: Some(topology.cluster_id.clone()),
            partition_count: None,
            replication_factor: None,
            lease_ttl_ms: None,
            failure_timeout_ms: None,
            election_timeout_ms: None,
        }));
        self.ask(to, call, 0).await?.into_join()?.result.map(drop)
    }

    /// Says something of members to a node, or orders something, under a leader epoch; 0 names none.
    ///
    /// # Errors
    /// With which it is refused.
    pub async fn order(&self, to: &SimNode, order: MemberOrder, epoch: u64) -> Result<()> {
        self.ask(to, order.into(), epoch).await?.into_reply().map(drop)
    }

    /// Tells a node that Raft node `from` leads in this term. The result is for how many milliseconds it pledges to vote
    /// for nobody else; `None` where it pledges nothing.
    ///
    /// # Errors
    /// With which it is refused.
    pub async fn heartbeat(&self, to: &SimNode, from: RaftId, term: u64) -> Result<Option<u64>> {
        let cluster = to.topology().cluster_id.clone();
        let receiver = to.raft_id().unwrap_or_default();
        let request = RaftRequest::heartbeat(cluster, from, receiver, term);
        match self.call(to, Lane::Control, Service::Raft, &request).await? {
            RaftAnswer::Heard { pledged_ms } => Ok(pledged_ms),
            RaftAnswer::Refused(error) => Err(error),
            other => Err(unexpected(&other)),
        }
    }

    /// Proposes to write a key in this session, as if a member forwarded it.
    ///
    /// # Errors
    /// With which it is refused.
    pub async fn propose_in(&self, to: &SimNode, session: u64, key: &str) -> Result<()> {
        let command = Command::SetData {
            key: key.to_owned(),
            value: Bytes::from_static(b"forged"),
            expect: Expect::Any,
        };
        let proposal = Proposal {
            session,
            seq: u64::MAX,
            low: u64::MAX,
            ..Proposal::without_session(command, env::wall_now())
        };
        let request = ForwardRequest {
            cluster: to.topology().cluster_id.clone(),
            from: None,
            call: ForwardCall::Propose(encode(&proposal)?.into()),
        };
        match self.call(to, Lane::Request, Service::Forward, &request).await? {
            ForwardAnswer::Written(WriteOutcome::Applied(response)) => response.result.map(drop),
            ForwardAnswer::Refused(error) => Err(error),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, to: &SimNode, call: MemberCall, epoch: u64) -> Result<MemberAnswer> {
        let cluster = to.topology().cluster_id.clone();
        // As if a member had forwarded it, so that whoever is asked answers it.
        let request = MemberRequest::new(cluster, None, call)
            .forwarded(true)
            .under(epoch);
        self.call(to, Lane::Request, Service::Member, &request).await
    }

    async fn call<A: DeserializeOwned>(
        &self,
        to: &SimNode,
        lane: Lane,
        service: Service,
        request: &impl serde::Serialize,
    ) -> Result<A, Error> {
        let body = service.envelope(&encode(request)?);
        let answer = self.transport.call(to.addr(), lane, body, ANSWER_TIMEOUT).await?;
        decode(&answer, "an answer")
    }
}
