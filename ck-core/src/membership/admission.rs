//! The leader's side of joining, stopping and removing.

use std::sync::Arc;
use std::time::Duration;

use super::agreement::check_agreement;
use super::spec_check::check_spec;
use super::{AddressBook, JoinReply, JoinRequest, MemberCall, MemberReply, Pong, SyncReply, SyncReport};
use crate::consensus::{AppliedState, Leadership, LeaseManager, Proposer};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{LeaveReason, Node, NodeId, Topology, whole_millis};
use crate::net::Transport;
use crate::planted::planted;
use crate::rebalance;
use crate::state::{Command, MAX_REASON_CHARS, Promotion, Reply, Response};

/// How long one commit may take.
const PROPOSE: Duration = Duration::from_secs(5);
/// How often a change is planned anew because the topology moved under it.
const REPLANS: usize = 20;

/// Decides who is a member. Acts only where the leader is.
pub(crate) struct Admission {
    pub(super) me: Pong,
    pub(super) applied: Arc<AppliedState>,
    proposer: Arc<Proposer>,
    leadership: Arc<Leadership>,
    leases: Arc<LeaseManager>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) addresses: Arc<AddressBook>,
}

impl Admission {
    pub(crate) fn new(
        me: Pong,
        applied: Arc<AppliedState>,
        proposer: Arc<Proposer>,
        leadership: Arc<Leadership>,
        leases: Arc<LeaseManager>,
        transport: Arc<dyn Transport>,
        addresses: Arc<AddressBook>,
    ) -> Self {
        Admission {
            me,
            applied,
            proposer,
            leadership,
            leases,
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
        let epoch = self.leadership.epoch().ok_or_else(not_leader)?;
        let topology = self.applied.topology();
        check_spec(&request.spec)?;
        check_agreement(&topology.config, &topology.cluster_id, request)?;
        let known = topology.nodes.get(&request.spec.id);
        let duplicate = async {
            match known {
                Some(known) => self.check_duplicate(known, request).await,
                None => Ok(()),
            }
        };
        // Side by side: the address that it had before may be silent.
        let (duplicate, dialled) = futures_util::join!(duplicate, self.dial_back(request));
        duplicate?;
        dialled?;
        // A process that comes with the node's own log has the lock on its directory: the earlier one is dead. Of any
        // other nobody knows.
        let replaced = known.filter(|known| {
            known.status.is_up()
                && request.spec.raft_id.is_none()
                && self.applied.state().process_of(&known.id) != Some(request.spec.process)
        });
        if let Some(known) = replaced {
            self.revoke_leases(epoch, known).await?;
        }
        let known = known.map(|known| known.incarnation);
        let silent_ms = known.map_or(0, |known| self.silent_ms(&request.spec.id, known));
        let joined = self
            .with_promotions(
                epoch,
                &request.spec.id,
                known,
                &[],
                |promotions, planned_on, unleased_from| Command::Join {
                    node: request.spec.clone(),
                    promotions,
                    planned_on,
                    silent_ms,
                    unleased_from,
                },
            )
            .await;
        let joined = joined.and_then(|response| response.result.map(|reply| (response.revision, reply)));
        if let (Some(known), Err(error)) = (replaced, &joined) {
            self.cancel_revocation(known, error);
        }
        let (revision, reply) = joined?;
        match reply {
            Reply::Joined {
                raft_id, incarnation, ..
            } => Ok(JoinReply {
                cluster_id: topology.cluster_id.clone(),
                config: topology.config.clone(),
                raft_id,
                incarnation,
                revision,
            }),
            other => Err(Error::internal(format!("a join was answered with {other:?}"))),
        }
    }

    /// Notes a member's sync, and grants it a lease.
    pub(crate) fn sync(&self, report: &SyncReport) -> Result<SyncReply> {
        let epoch = self.leadership.epoch().ok_or_else(not_leader)?;
        let (topology, revision) = {
            let state = self.applied.state();
            (state.topology().clone(), state.topology_revision())
        };
        let Some(node) = topology.nodes.get(&report.node) else {
            let removed = self.applied.state().removed_at(&report.node).is_some();
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
        // The state that the lease names was read before the lease is granted: whatever is taken away later is
        // taken under a later revision.
        let config = &topology.config;
        if !self.leases.grant(
            &report.node,
            report.incarnation,
            report.revision,
            revision,
            config,
        ) {
            return Err(Error::new(
                ErrorCode::Busy,
                format!("the leases of node {:?} are being recalled", report.node),
            ));
        }
        if self.leadership.epoch() != Some(epoch) {
            return Err(not_leader());
        }
        // As it is kept: a longer one would be passed on with every sync.
        let reason = report.health_reason.chars().take(MAX_REASON_CHARS);
        if node.health != report.health || !node.health_reason.chars().eq(reason) {
            self.pass_on(report);
        }
        Ok(SyncReply {
            revision,
            leader: self.me.node_id.clone(),
            lease_ms: config.lease_ttl_ms,
        })
    }

    /// Has everybody told what a member says of its own health; its next sync says it again, should that fail.
    fn pass_on(&self, report: &SyncReport) {
        let command = Command::ReportHealth {
            node: report.node.clone(),
            incarnation: report.incarnation,
            health: report.health,
            reason: report.health_reason.clone(),
        };
        let proposer = self.proposer.clone();
        env::spawn(async move { drop(proposer.propose(command, PROPOSE).await) });
    }

    /// A member says that it stops: its roles go to others at once.
    pub(crate) async fn stop(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        self.down_by_its_word(node, incarnation, LeaveReason::GracefulShutdown)
            .await
    }

    /// A member says that its log has failed.
    pub(crate) async fn fail_by_its_word(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        self.down_by_its_word(node, incarnation, LeaveReason::HealthCheckFailure)
            .await
    }

    /// Anybody may have said it in the member's name: nobody takes over before the member has given its leases back, or
    /// they have run out.
    async fn down_by_its_word(
        &self,
        node: &NodeId,
        incarnation: u64,
        reason: LeaveReason,
    ) -> Result<(u64, usize)> {
        let epoch = self.leadership.epoch().ok_or_else(not_leader)?;
        let known = self.applied.topology().nodes.get(node).cloned();
        let known = known.filter(|known| known.status.is_up() && known.incarnation == incarnation);
        if let Some(known) = &known {
            self.revoke_leases(epoch, known).await?;
        }
        let downed = self.down(epoch, node, incarnation, reason, &[]).await;
        if let (Some(known), Err(error)) = (&known, &downed) {
            self.cancel_revocation(known, error);
        }
        downed
    }

    /// A member is dead: its roles go to others that have the data, but not to those of `silent`, which are about
    /// to be failed too. Its leases have ended, as the leader of `epoch` knows.
    pub(super) async fn fail(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        silent: &[NodeId],
    ) -> Result<(u64, usize)> {
        self.down(epoch, node, incarnation, LeaveReason::HealthCheckFailure, silent)
            .await
    }

    async fn down(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: u64,
        reason: LeaveReason,
        avoided: &[NodeId],
    ) -> Result<(u64, usize)> {
        let silent_ms = match reason {
            LeaveReason::HealthCheckFailure => self.silent_ms(node, incarnation),
            LeaveReason::GracefulShutdown | LeaveReason::RemovedByAdmin => 0,
        };
        let response = self
            .with_promotions(
                epoch,
                node,
                Some(incarnation),
                avoided,
                |promotions, planned_on, unleased_from| Command::Down {
                    node: node.clone(),
                    incarnation,
                    reason,
                    promotions,
                    planned_on,
                    silent_ms,
                    unleased_from,
                },
            )
            .await?;
        response.result.map(|_| (response.revision, 0))
    }

    fn silent_ms(&self, node: &str, incarnation: u64) -> u64 {
        whole_millis(self.leases.silence(node, incarnation))
    }

    /// A member is to be drained: what it has moves elsewhere, then it is taken out.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] where nobody could take over.
    pub(crate) async fn leave(&self, node: &NodeId, incarnation: u64) -> Result<(u64, usize)> {
        let command = Command::Leave {
            node: node.clone(),
            incarnation,
        };
        self.commit(command).await
    }

    /// Begins or ends maintenance.
    pub(crate) async fn maintain(&self, reason: Option<String>) -> Result<(u64, usize)> {
        self.commit(Command::Maintenance { reason }).await
    }

    async fn commit(&self, command: Command) -> Result<(u64, usize)> {
        let response = self.proposer.propose(command, PROPOSE).await?;
        response.result.map(|_| (response.revision, 0))
    }

    /// Accepts what a node has of a partition as its data.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] where that would give up a better copy and is not forced.
    pub(crate) async fn recover(&self, number: u32, from: &NodeId, force: bool) -> Result<(u64, usize)> {
        let from = from.clone();
        self.commit(Command::Recover { number, from, force }).await
    }

    /// Takes a member out for good.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Busy`] where another process of it has been let in than the one that was
    /// `meant`; [`ErrorCode::Refused`] for the last one, and unless it is forced for the last that counts as holding a
    /// partition's data.
    pub(crate) async fn remove(
        &self,
        node: &NodeId,
        meant: Option<u64>,
        force: bool,
    ) -> Result<(u64, usize)> {
        let epoch = self.leadership.epoch().ok_or_else(not_leader)?;
        let present = self
            .applied
            .topology()
            .nodes
            .get(node)
            .map(|known| known.incarnation);
        if present.is_some() && meant.is_some() && present != meant {
            return Err(let_in_meanwhile(node));
        }
        if !force {
            // Before its leases are taken back: nothing has changed for it then.
            self.applied.state().check_not_last(node)?;
        }
        let known = self.applied.topology().nodes.get(node).cloned();
        let incarnation = known.as_ref().map(|known| known.incarnation);
        let up = known.filter(|known| known.status.is_up());
        if let Some(known) = &up {
            self.revoke_leases(epoch, known).await?;
        }
        let removed = self
            .with_promotions(
                epoch,
                node,
                incarnation,
                &[],
                |promotions, planned_on, unleased_from| Command::Remove {
                    node: node.clone(),
                    reason: LeaveReason::RemovedByAdmin,
                    promotions,
                    planned_on,
                    keep_last: !force,
                    unleased_from,
                },
            )
            .await
            .and_then(|response| response.result.map(|_| (response.revision, 0)));
        if let (Err(error), Some(known)) = (&removed, &up) {
            self.cancel_revocation(known, error);
        }
        removed
    }

    /// Takes back the leases of a member's process; returns when none counts any more: at once where it says so
    /// itself, or when they have run out.
    async fn revoke_leases(&self, epoch: u64, known: &Node) -> Result<()> {
        if planted("remove-the-leased") {
            return Ok(());
        }
        let config = self.applied.topology().config.clone();
        let ended = self
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

    /// Gives leases to a member again whose leases were taken back for what did not come about. Where nobody knows
    /// whether it still will, it gets none: it will be failed for its silence, and come back.
    fn cancel_revocation(&self, known: &Node, error: &Error) {
        let never = matches!(
            error.code(),
            ErrorCode::Busy | ErrorCode::Refused | ErrorCode::NotFound
        );
        if never {
            self.leases.cancel_revocation(&known.id, known.incarnation);
        }
    }

    /// Who takes over from `node`, and the topology that this was planned on. Takes its time where there are many partitions,
    /// and that not from whoever else runs here.
    async fn promotions(
        &self,
        topology: Arc<Topology>,
        node: &NodeId,
        avoided: &[NodeId],
    ) -> Result<(Arc<Topology>, Vec<Promotion>)> {
        let (leaving, avoided) = (node.clone(), avoided.to_vec());
        env::blocking(move || {
            let promotions = rebalance::promotions(&topology, &leaving, &avoided);
            (topology, promotions)
        })
        .await
    }

    /// Proposes a command that says who takes over from `node`, amended as often as the topology moves on; but only
    /// while `node` is the `incarnation` of it that was looked at, none for no member: another process that was let in
    /// meanwhile may hold leases that nobody took back. And only under the `epoch` with whose leases it was decided. Nothing
    /// may be granted to that incarnation any more: the command says, too, from where on it was leased for nothing.
    async fn with_promotions(
        &self,
        epoch: u64,
        node: &NodeId,
        incarnation: Option<u64>,
        avoided: &[NodeId],
        command: impl Fn(Vec<Promotion>, u64, Option<u64>) -> Command,
    ) -> Result<Response> {
        let mut plan = self.promotions(self.applied.topology(), node, avoided).await?;
        for _ in 0..REPLANS {
            if self.leadership.epoch() != Some(epoch) {
                return Err(not_leader());
            }
            let (topology, planned_on) = {
                let state = self.applied.state();
                (state.topology().clone(), state.topology_revision())
            };
            let present = topology.nodes.get(node).map(|node| node.incarnation);
            if present != incarnation {
                return Err(let_in_meanwhile(node));
            }
            if !plan.0.serving().eq(topology.serving()) {
                plan = self.promotions(topology, node, avoided).await?;
                continue;
            }
            let (planned, promotions) = plan;
            let promotions = rebalance::amended(promotions, (&planned, &topology), node, avoided);
            plan = (topology, promotions.clone());
            let unleased_from =
                present.and_then(|incarnation| self.leases.unleased_from(epoch, node, incarnation));
            let command = command(promotions, planned_on, unleased_from);
            // A leader of which the log says that it stopped has no session any more in which it could be let back in.
            let is_own_join = *node == self.me.node_id && matches!(command, Command::Join { .. });
            let response = if is_own_join {
                self.proposer
                    .propose_unremembered(epoch, command, PROPOSE)
                    .await?
            } else {
                self.proposer.propose_under(Some(epoch), command, PROPOSE).await?
            };
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

fn let_in_meanwhile(node: &NodeId) -> Error {
    Error::new(
        ErrorCode::Busy,
        format!("node {node:?} was let in or taken out meanwhile; try again"),
    )
}

fn not_leader() -> Error {
    Error::new(ErrorCode::NotLeader, "this node does not lead any more")
}
