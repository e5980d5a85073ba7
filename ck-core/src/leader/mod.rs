//! The duties of the leader: members, voters, leases, failure detection, election timeouts and the placement of
//! partitions.
//!
//! Every node runs these tasks; each waits until its node leads. The tasks only propose. Their view may be out of date,
//! so a command names the revision that it was planned on, and the state machine refuses a command that does not fit
//! any more.
//!
//! - Calls of members: [`LeaderService`] executes them, by [`MembershipService`], [`Rebalancer`] and
//!   [`LeadershipTransfer`], in the task of the call.
//! - Tasks, which the node spawns: [`MembershipReconciler`] (with `voters`), [`FailureDetector`], [`Rebalancer`] and
//!   [`ElectionTimeoutTuner`].
//! - [`LeaseManager`] is shared by all of them: the last contact with each member, and its leases.
//!
//! Locks: those of [`LeaseManager`] and [`ReportedDelays`] are held alone. `rebalancer` has two that are held together.
//!
//! Invariants: what is decided by what only this leader knows (leases, silence, the age of a copy) is proposed under
//! its epoch. No member is given a role while the last holder of the role may still act on it.
//!
//! Start with `service`, then `lease_manager`.

mod election_timeouts;
mod failure_detector;
mod lease_manager;
mod membership_service;
mod raft_membership;
mod rebalancer;
mod service;
mod transfer;
mod voters;

use std::sync::Arc;

pub(crate) use election_timeouts::{ElectionTimeoutTuner, ReportedDelays};
pub(crate) use failure_detector::FailureDetector;
pub(crate) use lease_manager::{LeaseManager, Leased};
pub(crate) use membership_service::MembershipService;
pub(crate) use raft_membership::MembershipReconciler;
pub(crate) use rebalancer::{RebalanceNow, RebalancePolicy, Rebalancer, local_status, rebalance};
pub(crate) use service::LeaderService;
pub(crate) use transfer::{LeadershipTransfer, TRANSFER_TIMEOUT};

use crate::logger::Logger;
use crate::model::NodeId;
use crate::raft::{AppliedState, Leadership, Proposer, RaftNode};

/// What every task of the leader needs.
#[derive(Clone)]
pub(crate) struct LeaderContext {
    pub(crate) me: NodeId,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) applied: Arc<AppliedState>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) leases: Arc<LeaseManager>,
    pub(crate) logger: Arc<Logger>,
}
