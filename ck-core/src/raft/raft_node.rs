//! The handle of one Raft node: membership changes, status, shutdown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::AbortHandle;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::raft::Precondition;
use openraft::{ChangeMembers, EmptyNode, ServerState};
use parking_lot::Mutex;

use super::applied_state::AppliedState;
use super::election::election_timer::ElectionTimer;
use super::election::lateness::Lateness;
use super::election::pledge::Pledges;
use super::election::quorum_acks::QuorumAcks;
use super::match_index::MatchIndex;
use super::storage::state_machine::Raft;
use super::storage::wal::{Wal, WalThread};
use super::transport::rpc_server::RpcServer;
use super::types::{LogId, RaftId, Vote, from_wal_id, stopped};
use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{ConsensusStats, NodeId};

/// A running Raft node.
pub(crate) struct RaftNode {
    pub(super) raft: Raft,
    pub(super) raft_id: RaftId,
    pub(super) server: Arc<RpcServer>,
    pub(super) wal: Arc<Wal>,
    pub(super) writer: Mutex<Option<WalThread>>,
    pub(super) applied: Arc<AppliedState>,
    pub(super) acks: Arc<QuorumAcks>,
    pub(super) match_index: Arc<MatchIndex>,
    /// How long this node may act as leader after a quorum acknowledged it without naming a pledged time.
    pub(crate) lease: Duration,
    pub(super) heartbeat: Duration,
    /// The vote of the leadership that this node is transferring. From that moment this leadership has no lease.
    pub(super) handing_over: Mutex<Option<Vote>>,
    /// Notified when this node starts to give up a leadership.
    pub(super) gave_up: ChangeNotifier,
    pub(super) pledges: Arc<Pledges>,
    pub(super) elections: Arc<ElectionTimer>,
    /// The scheduling and network delays that this node observed recently.
    pub(crate) lateness: Arc<Lateness>,
    /// Notified when Raft has been shut down. A proposal that was sent to it at that moment may lie in its channel for ever.
    pub(super) shut_down: Arc<ChangeNotifier>,
    /// Abort handles of the background tasks beside openraft's own.
    pub(super) tasks: Vec<AbortHandle>,
}

/// The Raft membership as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftMembers {
    /// The voters. During a joint membership change, the voters of the new configuration.
    pub voters: BTreeSet<RaftId>,
    /// Voters and learners.
    pub all: BTreeSet<RaftId>,
    /// True during a joint membership change (Raft paper, section 6).
    pub joint: bool,
}

/// A change of the Raft membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VoterChange {
    /// Adds nodes as learners: they receive the log and have no vote.
    AddLearners(BTreeSet<RaftId>),
    /// Makes exactly these nodes the voters. Voters that are not listed become learners.
    Voters(BTreeSet<RaftId>),
    /// Removes nodes from the membership.
    Remove(BTreeSet<RaftId>),
}

impl RaftNode {
    /// This node's Raft id.
    pub(crate) fn raft_id(&self) -> RaftId {
        self.raft_id
    }

    /// The replicated state as this node has applied it.
    pub(crate) fn applied(&self) -> &Arc<AppliedState> {
        &self.applied
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// True if this node has never been part of a Raft cluster.
    pub(crate) async fn is_pristine(&self) -> Result<bool> {
        self.raft
            .is_initialized()
            .await
            .map(|initialized| !initialized)
            .map_err(stopped)
    }

    /// Makes this node the only voter of a new cluster.
    pub(crate) async fn initialize(&self) -> Result<()> {
        let members = BTreeMap::from([(self.raft_id, EmptyNode::new())]);
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(Error::internal(format!("initialize Raft: {error}"))),
        }
    }

    /// Answers the Raft RPCs of other nodes.
    pub(crate) fn server(&self) -> &Arc<RpcServer> {
        &self.server
    }

    /// The Raft id of the leader that this node heard from last, and when.
    pub(crate) fn last_heard(&self) -> Option<(RaftId, Instant)> {
        self.pledges.heard()
    }

    /// The current leader as far as this node knows.
    pub(crate) fn leader(&self) -> Option<RaftId> {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().current_leader
    }

    /// Starts to give up the leadership of `vote`, which ends its lease at once. This must happen before any node is
    /// asked to take over: the successor can be elected while the lease would still be valid, and two leaders would
    /// hold a lease at the same time.
    pub(super) fn give_up(&self, vote: Vote) {
        *self.handing_over.lock() = Some(vote);
        self.gave_up.notify();
    }

    /// True if this node is giving up the leadership of `vote`.
    pub(super) fn gives_up(&self, vote: Vote) -> bool {
        *self.handing_over.lock() == Some(vote)
    }

    /// The id of the last entry of this node's log.
    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.wal.last().map(from_wal_id)
    }

    /// True if this node no longer takes part in Raft: its log has failed, Raft has panicked, or it was closed.
    pub(crate) fn has_ended(&self) -> bool {
        let mut metrics = self.raft.metrics();
        // If Raft panicked, `running_state` still says that it runs, but the metrics channel is closed.
        metrics.borrow_and_update().running_state.is_err()
            || metrics
                .changed()
                .now_or_never()
                .is_some_and(|changed| changed.is_err())
    }

    /// The error with which the log failed, if it did. From then on it refuses every append.
    pub(crate) fn log_failure(&self) -> Option<Error> {
        self.wal
            .failure()
            .filter(|error| error.code() != ErrorCode::Stopped)
    }

    /// How many bytes of the log are queued for the disk.
    #[cfg(test)]
    pub(crate) fn unwritten(&self) -> u64 {
        self.wal.unwritten()
    }

    /// How long the log's writer has been waiting for the disk to answer; `None` if it is not waiting.
    pub(crate) fn disk_silence(&self) -> Option<Duration> {
        self.wal.waits_since().map(Instant::elapsed)
    }

    /// The Raft state in one line, for traces.
    #[cfg(feature = "sim")]
    pub(crate) fn describe(&self) -> String {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<RaftId> = metrics.membership_config.voter_ids().collect();
        format!(
            "{} is {:?} in term {}, follows {:?}, log {:?}, committed {:?}, applied {:?}, voters {voters:?}",
            self.raft_id,
            metrics.state,
            metrics.current_term,
            metrics.current_leader,
            metrics.last_log_index,
            metrics.local_committed.map(|id| id.index),
            metrics.last_applied.map(|id| id.index),
        )
    }

    /// Raft's status and counters.
    pub(crate) fn stats(&self, node_of: impl Fn(RaftId) -> Option<NodeId>) -> ConsensusStats {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .and_then(node_of)
            .unwrap_or_else(|| "".into());
        let state = match metrics.state {
            ServerState::Leader => "Leader",
            ServerState::Follower => "Follower",
            ServerState::Candidate => "Candidate",
            ServerState::Learner => "Learner",
            ServerState::Shutdown => "Shutdown",
        };
        ConsensusStats {
            state: state.to_owned(),
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            last_log_term: self.wal.last().map_or(0, |id| id.term),
            commit_index: metrics
                .cluster_committed
                .or(metrics.local_committed)
                .map_or(0, |id| id.index),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            num_peers: metrics
                .membership_config
                .nodes()
                .filter(|(id, _)| **id != self.raft_id)
                .count(),
            is_leader: metrics.state == ServerState::Leader && metrics.current_leader == Some(self.raft_id),
            current_term: metrics.current_term,
            current_leader: leader.clone(),
            leader,
        }
    }

    /// The current Raft membership.
    pub(crate) fn raft_members(&self) -> RaftMembers {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let configs = metrics.membership_config.get_joint_config();
        RaftMembers {
            voters: configs.last().cloned().unwrap_or_default(),
            all: metrics.membership_config.nodes().map(|(id, _)| *id).collect(),
            joint: configs.len() > 1,
        }
    }

    /// True if the known membership contains no node but this one.
    pub(crate) fn is_alone(&self) -> bool {
        self.raft_members().all.iter().all(|id| *id == self.raft_id)
    }

    /// The index of the last entry of this node's log.
    pub(crate) fn last_index(&self) -> u64 {
        self.wal.last().map_or(0, |id| id.index)
    }

    /// The match index of each follower. Empty if this node does not lead.
    pub(crate) fn replication(&self) -> BTreeMap<RaftId, u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(replication) = &metrics.replication else {
            return BTreeMap::new();
        };
        replication
            .iter()
            .map(|(id, matched)| (*id, matched.map_or(0, |id| id.index)))
            .collect()
    }

    /// If a follower has lost entries that it had acknowledged to this leader: the index up to which it had
    /// acknowledged the log.
    pub(crate) fn lost_by(&self, raft_id: RaftId) -> Option<u64> {
        let term = self.raft.metrics().borrow_watched().vote.leader_id.term;
        self.match_index.lost_by(raft_id, term)
    }

    /// Changes the membership, provided that it has not changed since it was read here. A joint change that was left
    /// unfinished is completed by the next change.
    pub(crate) async fn change_members(&self, change: VoterChange) -> Result<()> {
        let (based_on, change, retain) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let based_on = *metrics.membership_config.log_id();
            match change {
                VoterChange::AddLearners(ids) => {
                    let learners = ids.into_iter().map(|id| (id, EmptyNode::new()));
                    (based_on, ChangeMembers::AddNodes(learners.collect()), true)
                }
                VoterChange::Voters(voters) => (based_on, ChangeMembers::ReplaceAllVoters(voters), true),
                VoterChange::Remove(ids) => (based_on, ChangeMembers::RemoveNodes(ids), true),
            }
        };
        let unchanged = Precondition::LastMembershipLogId {
            last_membership_log_id: based_on,
        };
        match self.raft.change_membership_if(change, retain, [unchanged]).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(Error::new(
                ErrorCode::Conflict,
                format!("the change of voters was refused: {error}"),
            )),
            Err(RaftError::Fatal(fatal)) => Err(stopped(fatal)),
        }
    }

    /// Keeps this node from campaigning on its own for `duration`, so that another node becomes leader.
    pub(crate) fn hold_elections_for(&self, duration: Duration) {
        self.elections.hold_for(duration);
    }

    /// Aborts the background tasks without waiting for openraft or the log, because the disk does not answer.
    pub(crate) fn abandon(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.applied.close();
    }

    /// Stops Raft and closes the log. Everything acknowledged is already durable.
    pub(crate) async fn close(&self) -> Result<()> {
        self.tasks.iter().for_each(AbortHandle::abort);
        let ended = self.raft.shutdown().await;
        self.shut_down.notify();
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.wal.close(Box::new(move |result| drop(tx.send(result))));
        let closed = rx.await.unwrap_or(Ok(()));
        let thread = self.writer.lock().take();
        if let Some(thread) = thread {
            env::blocking(move || thread.join()).await??;
        }
        self.applied.close();
        ended.map_err(stopped)?;
        closed
    }
}
