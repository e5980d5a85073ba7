//! The leader's membership service: members join, renew their leases, stop, fail, leave and are removed.
//!
//! - `join` admits a node that `dial_back` has found at the address that it names; `heartbeat` renews a lease.
//! - `removal`: members that stop, fail, drain or are removed. `maintenance`: maintenance, and recovery of partitions.
//! - This file has what they share: leases are revoked before a change, and successors are planned for it.
//!
//! Tasks: runs in the task of whoever asks: a peer's call, this node's own, the failure detector. It spawns one, to
//! propose a member's changed health. Successors are planned in the blocking pool. A call waits for a commit, for a
//! dial-back, and where roles are taken from a live process until its leases are given back or have run out.
//!
//! Locks: none of its own.
//!
//! Every change is one commit. Invariant: a change that takes roles from a member is proposed only under the epoch that
//! this node leads, and only when none of the member's leases is valid any more: the member gave them back, they ran
//! out, or the failure detector has expired the member.
//!
//! Start with `MembershipService::with_promotions`.

mod dial_back;
mod heartbeat;
mod join;
mod maintenance;
mod removal;

use std::sync::Arc;
use std::time::Duration;

use super::LeaderContext;
use super::rebalancer;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::membership::AddressBook;
use crate::model::{Node, NodeId, Topology};
use crate::rpc::{MemberCall, MemberReply, PeerClient};
use crate::state::{Command, Promotion, Response};

/// How long one commit may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a change is planned again because the topology has changed meanwhile.
const MAX_REPLANS: usize = 20;

/// Changes the members. Every node has this service; only the leader's answers calls.
pub(crate) struct MembershipService {
    context: LeaderContext,
    peers: PeerClient,
    addresses: Arc<AddressBook>,
}

impl MembershipService {
    pub(crate) fn new(context: LeaderContext, peers: PeerClient, addresses: Arc<AddressBook>) -> Self {
        MembershipService {
            context,
            peers,
            addresses,
        }
    }

    async fn commit(&self, command: Command) -> Result<(u64, usize)> {
        let response = self.context.proposer.propose(command, COMMIT_TIMEOUT).await?;
        response.result.map(|_| (response.revision, 0))
    }

    /// Makes a `change` that takes roles from the process of `known`, where it may have leases: revokes them first, and lets
    /// the member have leases again where the change certainly did not happen.
    async fn with_leases_revoked<T>(
        &self,
        epoch: u64,
        known: Option<&Node>,
        change: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(known) = known else { return change.await };
        self.revoke_leases(epoch, known).await?;
        let changed = change.await;
        if let Err(error) = &changed {
            self.cancel_revocation(known, error);
        }
        changed
    }

    /// Revokes the leases of a member's process; returns when none is valid any more: at once where the process gives
    /// them back, otherwise when they have run out.
    async fn revoke_leases(&self, epoch: u64, known: &Node) -> Result<()> {
        planted!("remove-the-leased", return Ok(()));
        let config = self.context.applied.topology().config.clone();
        let ended = self
            .context
            .leases
            .revoke(epoch, &known.id, known.incarnation, &config)
            .ok_or_else(not_leader)?;
        let call = MemberCall::GiveBack {
            node: known.id.clone(),
            incarnation: known.incarnation,
        };
        if !matches!(
            self.call(&known.peer_addr, call).await,
            Ok(MemberReply::GivenBack)
        ) {
            env::sleep_until(ended).await;
        }
        Ok(())
    }

    /// Allows leases to a member again after the change that they were revoked for has failed with `error`. Where the
    /// change may still be committed, they stay revoked: the member will be failed for its silence, and rejoin.
    fn cancel_revocation(&self, known: &Node, error: &Error) {
        let never = matches!(
            error.code(),
            ErrorCode::Busy | ErrorCode::Refused | ErrorCode::NotFound
        );
        if never {
            self.context
                .leases
                .cancel_revocation(&known.id, known.incarnation);
        }
    }

    /// Plans which nodes take over the roles of `node`; gives the topology that was planned on, too. Runs on a blocking
    /// thread, because it takes long where there are many partitions.
    async fn promotions(
        &self,
        topology: Arc<Topology>,
        node: &NodeId,
        avoided: &[NodeId],
    ) -> Result<(Arc<Topology>, Vec<Promotion>)> {
        let (leaving, avoided) = (node.clone(), avoided.to_vec());
        env::blocking(move || {
            let promotions = rebalancer::promotions(&topology, &leaving, &avoided);
            (topology, promotions)
        })
        .await
    }

    /// Proposes a command with the promotions of the nodes that take over from `node`. The promotions are amended as
    /// often as the topology changes meanwhile.
    ///
    /// The command is proposed only under `epoch`, because that leader's leases decided it, and only while `node` has
    /// this `incarnation` (`None`: while it is no member), because a process that joined meanwhile may hold leases that
    /// were not revoked. No lease may be granted to that incarnation any more, so the command also names the revision
    /// from which on no lease of that incarnation names any.
    async fn with_promotions(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: Option<u64>,
        avoided: &[NodeId],
        command: impl Fn(Vec<Promotion>, u64, Option<u64>) -> Command,
    ) -> Result<Response> {
        let mut plan = self
            .promotions(self.context.applied.topology(), node, avoided)
            .await?;
        for _ in 0..MAX_REPLANS {
            if self.context.leadership.epoch() != Some(epoch) {
                return Err(not_leader());
            }
            let (topology, planned_on) = {
                let state = self.context.applied.state();
                (state.topology().clone(), state.topology_revision())
            };
            let present = topology.nodes.get(node).map(|node| node.incarnation);
            if present != incarnation {
                return Err(replaced_meanwhile(node));
            }
            if !plan.0.serving().eq(topology.serving()) {
                plan = self.promotions(topology, node, avoided).await?;
                continue;
            }
            let (planned, promotions) = plan;
            let promotions = rebalancer::amended(promotions, (&planned, &topology), node, avoided);
            plan = (topology, promotions.clone());
            let unleased_from =
                present.and_then(|incarnation| self.context.leases.unleased_from(epoch, node, incarnation));
            let command = command(promotions, planned_on, unleased_from);
            // A leader whose stop is committed has no open session, so it proposes its own rejoin without one.
            let is_own_join = *node == self.context.me && matches!(command, Command::Join { .. });
            let response = if is_own_join {
                self.context
                    .proposer
                    .propose_without_session(epoch, command, COMMIT_TIMEOUT)
                    .await?
            } else {
                self.context
                    .proposer
                    .propose_under(Some(epoch), command, COMMIT_TIMEOUT)
                    .await?
            };
            match &response.result {
                Err(error) if error.code() == ErrorCode::Conflict => {}
                _ => return Ok(response),
            }
        }
        Err(Error::new(
            ErrorCode::Busy,
            format!("the topology moved on under each of {MAX_REPLANS} plans for node {node:?}; try again"),
        ))
    }
}

fn replaced_meanwhile(node: &NodeId) -> Error {
    Error::new(
        ErrorCode::Busy,
        format!("node {node:?} was let in or taken out meanwhile; try again"),
    )
}

fn not_leader() -> Error {
    Error::new(ErrorCode::NotLeader, "this node does not lead any more")
}
