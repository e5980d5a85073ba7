//! Stays a member: sends heartbeats to the leader, and rejoins when the cluster does not know this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::peer_rpc::removed;
use super::{Node, Phase};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{Discovery, Found, JoinReply, JoinRequest, MemberCall, MemberReply, SyncReport};
use crate::model::{NodeHealthState, NodeId, Topology, whole_millis};
use crate::state::MAX_REASON_CHARS;

/// Timeout of each step of an attempt to rejoin: the search for a member that admits this process, and the wait until
/// the log shows the admission.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any process lives.
const FOREVER: Duration = Duration::from_secs(1 << 31);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Node {
    /// Tries to rejoin until the cluster admits or refuses this node. It never stops otherwise, because a healed
    /// network must heal the cluster.
    pub(super) async fn rejoin_loop(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        while self.is_running() && self.applied.incarnation().is_none() {
            match self.try_rejoin().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    self.stop_rejoining(error);
                    return;
                }
            }
            env::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.adopt_session();
    }

    /// One attempt to rejoin. False when no member admitted this process; an error is a permanent refusal by this
    /// node's own cluster.
    async fn try_rejoin(&self) -> Result<bool> {
        let Ok(member) = self.member() else {
            return Ok(false);
        };
        if self.has_left_raft() {
            // A node that cannot write its log must not rejoin, whatever the others answer: it would be given roles and
            // lose them again.
            return Ok(false);
        }
        let leadership = member.leadership.changed().count();
        let identity = (member.raft.raft_id(), self.cluster_id());
        let request = self.join_request(Some(identity));
        let admitted = if member.leadership.is_leader() {
            member.membership.join(&request).await.ok()
        } else {
            self.search_for_own(&request, leadership).await?
        };
        let Some(reply) = admitted else {
            return Ok(false);
        };
        member.proposer.set_session(reply.incarnation);
        // The log will show the admission on this node; until then a further request gains nothing.
        let _ = env::timeout(REJOIN_TIMEOUT, self.applied.wait_for(reply.revision)).await;
        Ok(self.applied.incarnation().is_some())
    }

    /// Asks every known address until this node's own cluster has answered. Ends early where this node comes to lead,
    /// or where its log shows that this process was admitted.
    async fn search_for_own(&self, request: &JoinRequest, leadership: u64) -> Result<Option<JoinReply>> {
        let member = self.member()?;
        let own = self.cluster_id();
        let before = self.applied.incarnation();
        let mut discovery = Discovery::new();
        let joiner = self.joiner();
        let decide = |discovery: &Discovery| {
            self.waits_for(format!(
                "its cluster to let it back in ({})",
                discovery.describe()
            ));
            discovery.refusal_of(&own)
        };
        let search = joiner.search(request, &mut discovery, decide);
        let otherwise = async {
            tokio::select! {
                biased;
                () = self.admitted_after(before) => {}
                _ = member.leadership.changed().after(leadership) => {}
            }
        };
        let found = env::timeout(REJOIN_TIMEOUT, async {
            tokio::select! {
                biased;
                () = otherwise => None,
                found = search => Some(found),
            }
        });
        match found.await {
            Ok(Some(Found::Admitted(reply))) => Ok(Some(reply)),
            Ok(Some(Found::Decided(refusal))) => Err(refusal),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Resolves when the log has admitted this process again, with another incarnation than `before`.
    async fn admitted_after(&self, before: Option<u64>) {
        loop {
            let seen = self.applied.changed().count();
            let incarnation = self.applied.incarnation();
            if incarnation.is_some() && incarnation != before {
                return;
            }
            self.applied.changed().after(seen).await;
        }
    }

    /// The error that says that this process was removed, if its own log shows that. A log that is replayed also shows
    /// the removal of an earlier process of this node, which does not count.
    fn removal(&self) -> Option<Error> {
        let session = self.member().ok()?.proposer.session();
        let revision = self.applied.state().removed_at(&self.me)?;
        (session != 0 && revision > session).then(|| self.leaving_or(removed(&self.me, revision)))
    }

    /// The error as this node reports it: a removal that the node asked for is reported as its leave.
    pub(super) fn leaving_or(&self, error: Error) -> Error {
        if !self.wants_to_leave.load(Ordering::Acquire) || error.code() != ErrorCode::Removed {
            return error;
        }
        Error::new(
            ErrorCode::Removed,
            format!(
                "node {:?} has left the cluster, and its process can be ended",
                self.me
            ),
        )
    }

    /// Checks that this process may write and give orders: it is running, and not known to be removed or refused.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`]; [`ErrorCode::Removed`], and any other error with which the cluster has refused this
    /// node.
    pub(super) fn check_member(&self) -> Result<()> {
        if !self.is_running() {
            return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
        }
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if self.applied.incarnation().is_none()
            && let Some(removal) = self.removal()
        {
            return Err(removal);
        }
        Ok(())
    }

    /// Resolves with the error of [`Node::check_member`] once there is one.
    pub(super) async fn removed_or_refused(&self) -> Error {
        loop {
            let (phase, applied) = (self.phases.count(), self.applied.changed().count());
            if let Err(error) = self.check_member() {
                return error;
            }
            tokio::select! {
                biased;
                _ = self.phases.after(phase) => {}
                _ = self.applied.changed().after(applied) => {}
            }
        }
    }

    fn stop_rejoining(&self, error: Error) {
        let error = self.leaving_or(error);
        if self.wants_to_leave.load(Ordering::Acquire) && error.code() == ErrorCode::Removed {
            self.logger.info(format_args!("{}", error.message()));
        } else {
            self.logger
                .warn(format_args!("the cluster refuses this node: {error}"));
        }
        if let Ok(member) = self.member() {
            // The node votes until the others have removed it from the voters, but should not become leader.
            member.raft.hold_elections_for(FOREVER);
            member.proposer.bar(error.clone());
        }
        self.is_refused.store(true, Ordering::Release);
        *self.refusal.lock() = Some(error);
        self.phases.notify();
    }

    /// Resolves when the cluster has refused this node permanently.
    pub(super) async fn wait_for_refusal(&self, mut seen: u64) -> Error {
        loop {
            if let Some(error) = self.refusal() {
                return error;
            }
            seen = self.phases.after(seen).await;
        }
    }

    /// Why the cluster has refused this node, if it has.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal.lock().clone()
    }

    /// Sends heartbeats to the leader: at regular intervals, and at once when another node waits for one.
    pub(super) async fn heartbeat_loop(self: Arc<Self>) {
        let mut admitted = false;
        loop {
            if let Some(why) = self.end_of_raft() {
                // This node will not learn of any further change to its roles: others must take them over.
                self.lease.give_back();
                self.logger.warn(format_args!("{why}"));
                self.report_failed_log().await;
                return;
            }
            let seen = self.applied.changed().count();
            let health_seen = self.own_health_changed.count();
            let told = self.applied.topology();
            let reported = self.applied.revision();
            if let Some(incarnation) = self.applied.incarnation() {
                admitted = true;
                self.heartbeat_once(incarnation, reported, told.leader_epoch)
                    .await;
                if self.refusal().is_some() {
                    // The refusal is permanent: another heartbeat would get the same answer.
                    return;
                }
            } else if admitted && self.is_running() {
                // This node's own log is the first to show that this process is no member any more: the node was
                // removed, or another process of it was admitted, which may be alive or dead by now. A request to
                // rejoin tells which.
                let refused = match self.removal() {
                    Some(error) => Some(error),
                    None => self.try_rejoin().await.err(),
                };
                if let Some(error) = refused {
                    self.stop_rejoining(error);
                    return;
                }
            }
            let due = Instant::now() + self.heartbeat_pause();
            self.wait_for_next_heartbeat(due, seen, (reported, told), health_seen)
                .await;
            if !matches!(self.phase(), Phase::Starting | Phase::Running) {
                return;
            }
        }
    }

    /// True when Raft has stopped on this node, though the node was not asked to stop.
    pub(crate) fn has_left_raft(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running)
            && self.member().is_ok_and(|member| member.raft.has_ended())
    }

    /// The interval between two heartbeats: `sync_interval`, but at most a third of the cluster's lease.
    fn heartbeat_pause(&self) -> Duration {
        let config = self.applied.topology().config.clone();
        self.options.effective_sync_interval().min(config.lease_ttl() / 3)
    }

    /// Gives this process's leases back to the leader, which wants to give its roles to other nodes.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] when the call names another process.
    pub(super) fn give_back(&self, node: &NodeId, incarnation: u64) -> Result<MemberReply> {
        if *node != self.me || self.applied.incarnation() != Some(incarnation) {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("this is not incarnation {incarnation} of node {node:?}"),
            ));
        }
        self.lease.give_back();
        Ok(MemberReply::GivenBack)
    }

    pub(super) fn own_health(&self) -> MutexGuard<'_, (NodeHealthState, String)> {
        self.own_health.lock()
    }

    /// Records the health that the application reports. The leader learns it at once, by a heartbeat, and every other
    /// member one commit later.
    pub(crate) fn report_health(&self, health: NodeHealthState, reason: &str) {
        // Cut to the length that is replicated, or every heartbeat would report a change.
        let reason = match health {
            NodeHealthState::Healthy => String::new(),
            _ => reason.chars().take(MAX_REASON_CHARS).collect(),
        };
        *self.own_health() = (health, reason);
        self.own_health_changed.notify();
    }

    async fn wait_for_next_heartbeat(
        &self,
        due: Instant,
        mut seen: u64,
        (reported, told): (u64, Arc<Topology>),
        health_seen: u64,
    ) {
        let mut looked = told.clone();
        loop {
            // A lease becomes valid once the revision that it names is applied. And the log may have admitted this
            // process again before the answer to its request arrived, or without any answer.
            self.lease.applied(self.applied.revision());
            self.adopt_session();
            let now = self.applied.topology();
            if self.is_waited_for(&now, reported, (&told, &looked)) {
                return;
            }
            // A partition that required no heartbeat requires none for as long as it does not change.
            looked = now;
            tokio::select! {
                biased;
                () = env::sleep_until(due) => return,
                now = self.applied.changed().after(seen) => seen = now,
                _ = self.own_health_changed.after(health_seen) => return,
            }
        }
    }

    /// True when the next heartbeat must not wait:
    /// - A role was taken from this node after `reported`: its next holder waits until the leader knows that this node
    ///   has applied that.
    /// - A role was given to this node after `reported`: the node acts on it only under a lease that names it.
    /// - This process was admitted after `reported`: the start of the node waits for a lease.
    /// - Another leadership began since `told`: until its leader has answered, this node cannot say that the leader
    ///   lives.
    ///
    /// The partitions in `looked` were checked before and required no heartbeat, so only those that differ are checked.
    fn is_waited_for(
        &self,
        topology: &Topology,
        reported: u64,
        (told, looked): (&Topology, &Topology),
    ) -> bool {
        if self
            .applied
            .incarnation()
            .is_some_and(|admitted| admitted > reported)
        {
            return true;
        }
        if topology.leader_epoch != told.leader_epoch {
            return true;
        }
        let is_mine = |holder: &NodeId| *holder == self.me;
        topology
            .partitions
            .changed_since(&looked.partitions)
            .any(|partition| {
                let given = partition.granted > reported && partition.primary.as_ref().is_some_and(is_mine);
                let released = partition.released.as_ref();
                given || released.is_some_and(|(holder, revision)| is_mine(holder) && *revision > reported)
            })
    }

    /// Sends one heartbeat. It is abandoned when another leadership begins than the one at `epoch`: the leader that it
    /// is for may be gone, and the new leader is asked at once.
    async fn heartbeat_once(&self, incarnation: u64, revision: u64, epoch: u64) {
        let (health, health_reason) = self.present_health();
        let report = SyncReport {
            node: self.me.clone(),
            incarnation,
            revision,
            health,
            health_reason,
            copies: self.copy_failures.report(&self.applied.topology(), &self.me),
            delay_ms: whole_millis(self.delay()),
        };
        // The lease counts from this moment, whenever the answer arrives.
        let asked = Instant::now();
        let timeout = self.options.effective_health_timeout();
        let answer = tokio::select! {
            biased;
            answer = self.ask_leader(MemberCall::Sync(report), timeout) => answer,
            () = self.leadership_after(epoch) => return,
        };
        match answer {
            Ok(MemberReply::Sync(reply)) => {
                self.synced.note(reply.leader.clone(), asked);
                let from = planted!("lease-from-receipt" => Instant::now(), asked);
                let until = from + Duration::from_millis(reply.lease_ms);
                self.lease
                    .granted(asked, until, reply.revision, self.applied.revision());
            }
            Ok(_) => self.logger.warn(format_args!("a sync was answered out of turn")),
            Err(error) if error.code() == ErrorCode::Removed => {
                self.stop_rejoining(error);
            }
            Err(error) if matches!(error.code(), ErrorCode::Conflict | ErrorCode::NotFound) => {
                // The leader does not accept this incarnation: the process rejoins as a new one.
                if self.is_running()
                    && let Err(error) = self.try_rejoin().await
                {
                    self.stop_rejoining(error);
                }
            }
            // There is no leader, or none that can be reached: the next heartbeat is the retry.
            Err(_) => {}
        }
    }

    /// Resolves when the log shows another leadership than the one at `epoch`.
    async fn leadership_after(&self, epoch: u64) {
        let mut seen = self.applied.changed().count();
        while self.applied.topology().leader_epoch == epoch {
            seen = self.applied.changed().after(seen).await;
        }
    }

    pub(super) fn cluster_id(&self) -> String {
        use crate::raft::Addresses;
        self.addresses.cluster_id()
    }
}
