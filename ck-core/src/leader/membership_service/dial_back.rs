//! Dialling back: a node is admitted, and its address recorded, only where that node itself answers at the address.

use std::time::Duration;

use super::MembershipService;
use crate::error::{Error, ErrorCode, Result};
use crate::model::Node;
use crate::net::Lane;
use crate::rpc::{JoinRequest, MemberCall, MemberReply, MemberRequest, Pong, ProcessTag};

/// How long a dialled node may take to answer.
const DIAL_BACK_TIMEOUT: Duration = Duration::from_secs(1);

impl MembershipService {
    /// Checks whether a join under the id of a known member comes from that process, from a later process, or from a
    /// second live node with the same id.
    ///
    /// # Errors
    /// [`ErrorCode::DuplicateNode`] where another process of the id answers at the known address;
    /// [`ErrorCode::JoinRefused`] where the same process answers there and now names another address.
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
        if pong.node_id != known.id || pong.cluster_id != self.peers.cluster_id() {
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

    /// Refuses a node that does not answer at its own address: it could neither vote nor hold data.
    ///
    /// The refusal does not say what was found at the address, and the log does: otherwise anybody who may ask could have
    /// this node's network searched (server-side request forgery).
    ///
    /// # Errors
    /// [`ErrorCode::JoinRefused`].
    pub(super) async fn dial_back(&self, request: &JoinRequest) -> Result<()> {
        let spec = &request.spec;
        let found = match self.ping(&spec.peer_addr).await {
            Ok(pong) if pong.node_id == spec.id && pong.tag == ProcessTag::of(spec.process) => return Ok(()),
            Ok(pong) if pong.node_id == spec.id => "another process of it answers there".to_owned(),
            Ok(pong) => format!("node {:?} answers there", pong.node_id),
            Err(error) => format!("it cannot be reached there: {error}"),
        };
        let (me, at) = (&self.context.me, &spec.peer_addr);
        self.context.logger.warn(format_args!(
            "node {:?} is not admitted: it says that it is at {at}, but {found}",
            spec.id
        ));
        Err(Error::new(
            ErrorCode::JoinRefused,
            format!(
                "node {:?} says that it is at {at}, and does not answer node {me:?} there; the log of {me:?} says what was found",
                spec.id
            ),
        ))
    }

    /// Asks which node and which process answers at an address.
    pub(super) async fn ping(&self, address: &str) -> Result<Pong> {
        self.call(address, MemberCall::Ping).await?.into_pong()
    }

    pub(super) async fn call(&self, address: &str, call: MemberCall) -> Result<MemberReply> {
        let request =
            MemberRequest::new(self.peers.cluster_id(), Some(self.context.me.clone()), call).forwarded(true);
        let answer = self
            .peers
            .call(address, Lane::Control, &request, DIAL_BACK_TIMEOUT);
        answer.await?.into_reply()
    }

    /// Records the new address of a member that asks to join while no leader may exist to commit the address. The
    /// address is recorded as a hint, and only after that member has answered there.
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
        // A member that still answers at its known address is at no other.
        let (before, now) = futures_util::join!(self.ping(&known.peer_addr), self.dial_back(request));
        let is_there = before.is_ok_and(|pong| pong.node_id == known.id);
        if now.is_ok() && !is_there {
            self.addresses.hint(raft_id, request.spec.peer_addr.clone());
        }
    }
}
