//! What every part of a node needs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::data_dir::DataDir;
use super::phase::{Lifecycle, Phase};
use super::standing::Standing;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::leader::LeaderService;
use crate::logger::Logger;
use crate::membership::{AddressBook, Identity, Lease};
use crate::model::{NodeId, NodeStatus, RaftId};
use crate::net::{LocalIdentity, Security};
use crate::options::Options;
use crate::raft::{AppliedState, Leadership, Proposer, RaftNode};
use crate::routing::ViewGuard;
use crate::rpc::PeerClient;

/// How often a waiting node checks whether its log has failed.
const LOG_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// A disk that has not answered for this long hangs; or for [`HANGS_AFTER_ELECTIONS`] times the longest election
/// timeout, where that is longer. Busy disks take hundreds of milliseconds at times.
const HANGS_AFTER: Duration = Duration::from_secs(1);
const HANGS_AFTER_ELECTIONS: u32 = 3;

/// Who a node is, what it may do, and its ways to the log and to other nodes. Every part of the node holds this; it holds
/// none of them.
pub(crate) struct NodeContext {
    pub(crate) me: NodeId,
    /// A random number that distinguishes this process from all other processes of this node.
    pub(crate) process: u64,
    pub(crate) options: Options,
    pub(crate) logger: Arc<Logger>,
    pub(crate) data_dir: DataDir,
    pub(crate) peers: PeerClient,
    pub(crate) addresses: Arc<AddressBook>,
    /// What this node says of itself on each connection.
    pub(crate) identity: Arc<LocalIdentity>,
    /// What the other end of a connection has to prove.
    pub(crate) security: Security,
    pub(crate) applied: Arc<AppliedState>,
    /// This node's own lease: the time until which it may act as primary.
    pub(crate) lease: Lease,
    pub(crate) lifecycle: Lifecycle,
    /// Whether the cluster wants this node.
    pub(super) standing: Standing,
    /// Components that need a Raft id; set once, during bootstrap, join or restart.
    pub(super) raft: OnceLock<RaftParts>,
}

/// The components of a node that need a Raft id.
pub(crate) struct RaftParts {
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) leadership: Arc<Leadership>,
    /// Executes what only the leader may do.
    pub(crate) leader: Arc<LeaderService>,
}

impl NodeContext {
    /// The components that need a Raft id.
    ///
    /// # Errors
    /// [`ErrorCode::NotStarted`] before there are any, [`ErrorCode::Stopped`] once the node has stopped.
    pub(crate) fn raft_parts(&self) -> Result<&RaftParts> {
        if self.lifecycle.has_stopped() {
            return Err(Error::new(ErrorCode::Stopped, "the node has stopped"));
        }
        self.raft
            .get()
            .ok_or_else(|| Error::new(ErrorCode::NotStarted, "the node has not joined a cluster yet"))
    }

    /// This identity as it is stored: it says so where everybody has to prove something.
    pub(super) fn secured(&self, identity: Identity) -> Identity {
        match self.security.accepts_unproven() {
            true => identity,
            false => identity.with_security(),
        }
    }

    /// The view that lookups read. Takes no lock.
    pub(crate) fn view(&self) -> ViewGuard {
        self.applied.view().load()
    }

    /// True while the node may act as primary or leader at all: it is running, the log has admitted this very process,
    /// and the cluster has not refused it. Takes no lock.
    pub(super) fn acts(&self) -> bool {
        self.lifecycle.is_running() && self.applied.incarnation().is_some() && !self.standing.is_refused()
    }

    /// True when this node leads the cluster at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        // A node that acts has not stopped.
        self.acts() && self.raft.get().is_some_and(|parts| parts.leadership.is_leader())
    }

    /// The member with this Raft id.
    pub(super) fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        let view = self.view();
        view.nodes()
            .iter()
            .find(|node| node.raft_id == raft_id)
            .map(|node| node.id.clone())
    }

    /// Waits for a future that may take long and may be dropped at any point.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`] when the node stops first; otherwise those of the future.
    pub(super) async fn until_stopped<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.lifecycle.stopping() => Err(Error::new(ErrorCode::Stopped, "the node was stopped")),
            outcome = future => outcome,
        }
    }

    /// Waits for an outcome that a node whose log has failed would never see.
    ///
    /// # Errors
    /// Why the log has failed.
    pub(super) async fn until_log_fails<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let failed = async {
            loop {
                if let Some(error) = self.log_failure() {
                    return error;
                }
                env::sleep(LOG_CHECK_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            error = failed => Err(error.context("the node's log has failed")),
            outcome = future => Ok(outcome),
        }
    }

    /// True when Raft has stopped on this node, though the node was not asked to stop.
    pub(super) fn has_left_raft(&self) -> bool {
        let is_up = matches!(self.lifecycle.phase(), Phase::Starting | Phase::Running);
        is_up && self.raft.get().is_some_and(|parts| parts.raft.has_ended())
    }

    /// Why Raft has stopped on this node: the error of its log, or [`ErrorCode::Stopped`] where the log has none.
    /// `None` while Raft runs, and when the node was asked to stop.
    pub(crate) fn log_failure(&self) -> Option<Error> {
        if !self.has_left_raft() {
            return None;
        }
        let failure = self.raft.get().and_then(|parts| parts.raft.log_failure());
        Some(failure.unwrap_or_else(|| Error::new(ErrorCode::Stopped, "Raft has stopped on this node")))
    }

    /// Says, as text for people, that Raft has stopped on this node and why; `None` as in
    /// [`NodeContext::log_failure`].
    pub(super) fn end_of_raft(&self) -> Option<String> {
        let error = self.log_failure()?;
        Some(match error.code() {
            ErrorCode::Stopped => "Raft has stopped on this node; restart it".to_owned(),
            _ => format!(
                "Raft has stopped on this node: its log has failed ({}); mend that and restart it",
                error.message()
            ),
        })
    }

    /// How long the disk has not answered, where that is so long that the disk hangs.
    pub(super) fn disk_silence(&self) -> Option<Duration> {
        let silence = self.raft.get()?.raft.disk_silence()?;
        let election = self.options.timing.values().election_max;
        let bound = HANGS_AFTER.max(election * HANGS_AFTER_ELECTIONS);
        (silence >= bound).then_some(silence)
    }

    /// The same as text for people.
    pub(super) fn disk_unhealthy_reason(&self) -> Option<String> {
        let silence = self.disk_silence()?;
        Some(format!(
            "the disk of data_dir {} has not answered for {}.{} s",
            self.data_dir.path.display(),
            silence.as_secs(),
            silence.subsec_millis() / 100
        ))
    }

    /// The delay to reckon with, as this node has seen lately in its own timers and in the leader's heartbeats.
    pub(super) fn delay(&self) -> Duration {
        self.raft_parts()
            .map_or(Duration::ZERO, |parts| parts.raft.lateness.delay())
    }

    /// Gives the proposer the incarnation that the log gave this process: retried proposals are deduplicated under it.
    pub(super) fn adopt_session(&self) {
        if let Ok(parts) = self.raft_parts() {
            parts.proposer.adopt_session();
        }
    }

    /// True once this process is an active member; false when the deadline passes or the node stops first.
    pub(super) async fn wait_until_active(&self, deadline: Instant) -> bool {
        let active = || {
            let topology = self.applied.topology();
            let up = topology
                .nodes
                .get(&self.me)
                .is_some_and(|node| node.status == NodeStatus::Active);
            up && self.applied.incarnation().is_some()
        };
        self.wait_for_topology(deadline, active).await
    }

    /// Waits for a condition that only a change of the topology can make true. False when the deadline passes or the
    /// node stops first.
    pub(super) async fn wait_for_topology(&self, deadline: Instant, condition: impl Fn() -> bool) -> bool {
        loop {
            let seen = self.applied.changed().count();
            if condition() {
                return true;
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() || !self.lifecycle.is_running() {
                return false;
            }
            let changed = async {
                tokio::select! {
                    biased;
                    () = self.lifecycle.stopping() => {}
                    _ = self.applied.changed().after(seen) => {}
                }
            };
            // The next pass of the loop checks the deadline.
            let _ = env::timeout(remaining, changed).await;
        }
    }
}
