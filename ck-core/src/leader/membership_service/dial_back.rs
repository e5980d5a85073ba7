//! Who answers where: a node is admitted, and known, where it says that it is and answers as itself.

use std::time::Duration;

use super::MembershipService;
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{
    JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong, ProcessTag,
};
use crate::model::Node;
use crate::net::Lane;
use crate::raft::{AppliedState, Service, decode, encode};

/// How long a node that is asked who it is has to answer.
const DIAL_BACK_TIMEOUT: Duration = Duration::from_secs(1);

impl MembershipService {
    /// A member with this id is known. Is it this process, an earlier one, or another one that lives?
    pub(super) async fn check_duplicate(&self, known: &Node, request: &JoinRequest) -> Result<()> {
        if !known.status.is_up() {
            return Ok(());
        }
        let process = self.context.applied.state().process_of(&known.id);
        let again = process == Some(request.spec.process);
        if again && known.peer_addr == request.spec.peer_addr {
            return Ok(());
        }
        let Ok(pong) = self.ping(&known.peer_addr).await else {
            return Ok(());
        };
        if pong.node_id != known.id || pong.cluster_id != self.pong.cluster_id_of(&self.context.applied) {
            return Ok(());
        }
        if again {
            return Err(Error::new(
                ErrorCode::JoinRefused,
                format!(
                    "node {:?} answers at {}, where it is known to be; it is not taken to be at {}",
                    known.id, known.peer_addr, request.spec.peer_addr
                ),
            ));
        }
        if pong.tag == ProcessTag::of(request.spec.process) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::DuplicateNode,
            format!(
                "a node with id {:?} is a member and answers at {}; every node needs an id of its own",
                known.id, known.ip
            ),
        ))
    }

    /// A node is admitted only where it says that it is: one that cannot be reached could not vote.
    pub(super) async fn dial_back(&self, request: &JoinRequest) -> Result<()> {
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
            Ok(pong) if pong.node_id == spec.id && pong.tag == ProcessTag::of(spec.process) => Ok(()),
            Ok(pong) => Err(refused(format!("node {:?} answers there", pong.node_id))),
            Err(error) => Err(refused(format!(
                "it cannot be reached there: {}",
                error.message()
            ))),
        }
    }

    /// Asks who is at an address.
    pub(super) async fn ping(&self, address: &str) -> Result<Pong> {
        match self.call(address, MemberCall::Ping).await? {
            MemberReply::Pong(pong) => Ok(pong),
            other => Err(Error::new(
                ErrorCode::Version,
                format!("a ping was answered with {other:?}"),
            )),
        }
    }

    pub(super) async fn call(&self, address: &str, call: MemberCall) -> Result<MemberReply> {
        let request = MemberRequest {
            cluster: self.pong.cluster_id_of(&self.context.applied),
            forwarded: true,
            epoch: 0,
            call,
            from: Some(self.context.me.clone()),
        };
        let body = Service::Member.envelope(&encode(&request)?);
        let answer = self
            .transport
            .call(address, Lane::Control, body, DIAL_BACK_TIMEOUT)
            .await?;
        match decode(&answer, "the answer of a node")? {
            MemberAnswer::Done(reply) => Ok(reply),
            MemberAnswer::Refused(error) => Err(error),
            other => Err(Error::new(
                ErrorCode::Version,
                format!("the node answered out of turn: {other:?}"),
            )),
        }
    }

    /// A node told where it is before there is a leader to commit that: noted once it has been seen there.
    pub(crate) async fn note_address(&self, request: &JoinRequest) {
        let Some(raft_id) = request.spec.raft_id else {
            return;
        };
        let topology = self.context.applied.topology();
        let known = topology
            .nodes
            .get(&request.spec.id)
            .filter(|node| node.raft_id == raft_id);
        let ours = request.cluster_id.as_deref() == Some(topology.cluster_id.as_str());
        let Some(known) = known.filter(|node| ours && node.peer_addr != request.spec.peer_addr) else {
            return;
        };
        // Who answers where it is known to be is nowhere else.
        let (before, now) = futures_util::join!(self.ping(&known.peer_addr), self.dial_back(request));
        let is_there = before.is_ok_and(|pong| pong.node_id == known.id);
        if now.is_ok() && !is_there {
            self.addresses.hint(raft_id, request.spec.peer_addr.clone());
        }
    }
}

impl Pong {
    /// The cluster id as of now: this node may have become a member since it started.
    fn cluster_id_of(&self, applied: &AppliedState) -> String {
        if self.cluster_id.is_empty() {
            applied.topology().cluster_id.clone()
        } else {
            self.cluster_id.clone()
        }
    }
}
