//! Answers the calls about members that other nodes make.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::cluster_entry::ClusterEntry;
use super::context::NodeContext;
use super::leader_client::{LeaderClient, join_result};
use super::peer_audit::AuditedCall;
use super::standing::removed;
use crate::error::{Error, ErrorCode, Result};
use crate::http::JoinRate;
use crate::model::NodeId;
use crate::net::PeerConnection;
use crate::rpc::{
    JoinAnswer, MemberAnswer, MemberCall, MemberReply, MemberRequest, PeerService, Pong, ProcessTag, Service,
};

/// Answers calls about members: itself, or through the leader.
pub(super) struct MemberServer {
    context: Arc<NodeContext>,
    entry: Arc<ClusterEntry>,
    leader: LeaderClient,
    joins: JoinRate,
}

impl PeerService for MemberServer {
    type Call = MemberRequest;
    type Answer = MemberAnswer;
    const SERVICE: Service = Service::Member;
    const CALL: &'static str = "a call about members";
    /// The longest valid call is the join of a node with as many labels and services as are allowed.
    const MAX_BYTES: usize = 256 << 10;

    fn cluster_of(request: &MemberRequest) -> Option<&str> {
        match request.call {
            // A node that joins may have no cluster yet, or another one: its call gets a more detailed answer.
            MemberCall::Ping | MemberCall::Join(_) => None,
            _ => Some(&request.cluster),
        }
    }

    fn answer<'a>(
        &'a self,
        request: MemberRequest,
        connection: &'a Arc<PeerConnection>,
    ) -> BoxFuture<'a, Result<MemberAnswer>> {
        let audited = AuditedCall::of(&request.call);
        async move {
            let answer = MemberServer::answer(self, request, connection).await;
            if let Some(audited) = audited {
                audited.write(&self.context, connection, &answer);
            }
            answer
        }
        .boxed()
    }
}

impl MemberServer {
    pub(super) fn new(context: Arc<NodeContext>, entry: Arc<ClusterEntry>, leader: LeaderClient) -> Self {
        MemberServer {
            context,
            entry,
            leader,
            joins: JoinRate::default(),
        }
    }

    async fn answer(&self, request: MemberRequest, connection: &PeerConnection) -> Result<MemberAnswer> {
        let context = &self.context;
        if matches!(request.call, MemberCall::Ping) {
            return Ok(MemberAnswer::Done(MemberReply::Pong(self.pong())));
        }
        let cluster = context.peers.cluster_id();
        let is_member = |from: &NodeId| context.applied.topology().nodes.contains_key(from);
        if request.cluster == cluster && request.from.as_ref().is_some_and(is_member) {
            connection.mark_proven();
        }
        check_caller(&request, connection)?;
        self.check_order(&request)?;
        let forwarded = request.forwarded || !may_be_forwarded(&request.call);
        let call = request.call;
        match &call {
            MemberCall::GiveBack { node, incarnation } => {
                self.give_back(node, *incarnation).map(MemberAnswer::Done)
            }
            MemberCall::Promise { founder, expect } => {
                let promised = self.entry.answer_promise(founder, *expect).await;
                promised.map(MemberAnswer::Done)
            }
            MemberCall::Join(join) => {
                self.check_rate(connection)?;
                if let Ok(parts) = context.raft_parts() {
                    parts.leader.membership.note_address(join).await;
                }
                let result = join_result(self.leader.execute(call, forwarded, None).await);
                let peers = context.addresses.entries();
                Ok(MemberAnswer::Join(Box::new(JoinAnswer {
                    result,
                    peers,
                    cluster_id: cluster,
                })))
            }
            _ => self.leader.execute(call, forwarded, None).await,
        }
    }

    /// Refuses a join where the address that it comes from asks too often. A member asks for others, and as often as they do.
    fn check_rate(&self, connection: &PeerConnection) -> Result<()> {
        match connection.remote() {
            Some(address) if !connection.is_proven() => self.joins.check(address.ip()),
            _ => Ok(()),
        }
    }

    /// Refuses an order that must not be carried out: of a removed member, for another leader than the present one, or
    /// about this node itself.
    fn check_order(&self, request: &MemberRequest) -> Result<()> {
        let context = &self.context;
        let call = &request.call;
        if call.is_order()
            && let Some(from) = &request.from
            && let Some(revision) = context.applied.state().removed_at(from)
        {
            // The sender may not know of its removal yet. The order is not carried out, because the sender would never
            // see the result.
            return Err(removed(from, revision));
        }
        if call.is_order() && request.epoch > 0 {
            self.check_order_epoch(request.epoch)?;
        }
        if let MemberCall::Stop { node, .. } | MemberCall::Failed { node, .. } = call
            && *node == context.me
            && context.lifecycle.is_running()
        {
            return Err(Error::new(
                ErrorCode::Refused,
                format!("node {node:?} is this one, and goes on"),
            ));
        }
        Ok(())
    }

    /// An order is for the leader that its sender knew: an order that arrives under a later epoch was repeated or
    /// delayed, and is refused.
    fn check_order_epoch(&self, epoch: u64) -> Result<()> {
        let known = self.context.applied.topology().leader_epoch;
        if epoch >= known {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::NotLeader,
            format!("the order is for the leader with epoch {epoch}; this node knows of epoch {known}"),
        ))
    }

    /// Gives this process's leases back to the leader, which wants to give its roles to other nodes.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] when the call names another process.
    fn give_back(&self, node: &NodeId, incarnation: u64) -> Result<MemberReply> {
        let context = &self.context;
        if *node != context.me || context.applied.incarnation() != Some(incarnation) {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("this is not incarnation {incarnation} of node {node:?}"),
            ));
        }
        context.lease.give_back();
        Ok(MemberReply::GivenBack)
    }

    fn pong(&self) -> Pong {
        let context = &self.context;
        Pong {
            node_id: context.me.clone(),
            tag: ProcessTag::of(context.process),
            cluster_id: context.peers.cluster_id(),
            cluster_name: context.options.cluster_name.clone(),
            forming: self.entry.forming(),
        }
    }
}

/// Refuses a call that the node which has made the connection may not make: in the name of another node, or about one.
fn check_caller(request: &MemberRequest, connection: &PeerConnection) -> Result<()> {
    if let Some(from) = &request.from {
        connection.check_node(from)?;
    }
    match &request.call {
        MemberCall::Sync(report) => connection.check_node(&report.node),
        MemberCall::Stop { node, .. } | MemberCall::Failed { node, .. } | MemberCall::Leave { node, .. } => {
            connection.check_node(node)
        }
        MemberCall::Promise { founder, .. } => connection.check_node(founder),
        // A member may ask in the name of a node that has asked it.
        MemberCall::Join(_)
        | MemberCall::Ping
        | MemberCall::GiveBack { .. }
        | MemberCall::Remove { .. }
        | MemberCall::Rebalance
        | MemberCall::CreatePartitions
        | MemberCall::StepDown { .. }
        | MemberCall::Maintenance { .. }
        | MemberCall::RebalanceStatus
        | MemberCall::LastSeen
        | MemberCall::Recover { .. } => Ok(()),
    }
}

/// True for a call that a member passes on to the leader in its own name: what anybody may ask for, and what says who asks.
fn may_be_forwarded(call: &MemberCall) -> bool {
    matches!(call, MemberCall::Join(_))
}
