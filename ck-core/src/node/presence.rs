//! Staying a member: syncing with the leader, and asking to be let back in when the cluster does not know this
//! process.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Node, Phase};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{JoinOutcome, MemberCall, MemberReply, SyncReport};
use crate::model::{NodeHealthState, NodeId};
use crate::planted::planted;
use crate::state::MAX_REASON_CHARS;

/// How long one round of asking to be let back in may take.
const REJOIN: Duration = Duration::from_secs(10);
/// Longer than any process lives.
const FOR_GOOD: Duration = Duration::from_secs(1 << 31);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Node {
    /// Asks to be let back in until somebody does: for ever, because a healed network must heal the cluster.
    pub(super) async fn stay_a_member(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        while self.is_going() && self.replica.incarnation().is_none() {
            match self.ask_back_in().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    self.refuse_for_good(error);
                    return;
                }
            }
            env::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.adopt_session();
    }

    /// One round. False when nobody answered yes; an error is a no for good.
    async fn ask_back_in(&self) -> Result<bool> {
        let Ok(member) = self.member() else {
            return Ok(false);
        };
        let identity = (member.consensus.raft_id(), self.cluster_id());
        let request = self.join_request(Some(identity));
        let outcome = if member.leadership.is_leader() {
            match member.admission.join(&request).await {
                Ok(reply) => JoinOutcome::Admitted(reply),
                Err(error) => JoinOutcome::Nobody(vec![(self.me.to_string(), error)]),
            }
        } else {
            self.joiner()
                .ask_everybody(&request, Instant::now() + REJOIN)
                .await?
        };
        match outcome {
            JoinOutcome::Admitted(reply) => {
                member.proposer.set_session(reply.incarnation);
                self.heard_of_leader();
                // Known here as soon as the log says so; until then there is nothing to ask for.
                let _ = env::timeout(REJOIN, self.replica.wait_for(reply.revision)).await;
                Ok(self.replica.incarnation().is_some())
            }
            JoinOutcome::Nobody(_) => Ok(false),
        }
    }

    /// What says that this node was removed, if the log does.
    fn removal(&self) -> Option<Error> {
        let revision = self.replica.state().removed_at(&self.me)?;
        Some(Error::new(
            ErrorCode::Removed,
            format!(
                "node {:?} was removed from the cluster at revision {revision}",
                self.me
            ),
        ))
    }

    fn refuse_for_good(&self, error: Error) {
        let wanted = self.wants_to_leave.load(Ordering::Acquire) && error.code() == ErrorCode::Removed;
        let error = if wanted {
            let message = format!(
                "node {:?} has left the cluster, and its process can be ended",
                self.me
            );
            self.log.info(format_args!("{message}"));
            Error::new(ErrorCode::Removed, message)
        } else {
            self.log
                .warn(format_args!("the cluster refuses this node: {error}"));
            error
        };
        if let Ok(member) = self.member() {
            // It votes until the others have changed that, and is no good as a leader.
            member.consensus.rest(FOR_GOOD);
        }
        self.is_refused.store(true, Ordering::Release);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.phases.notify();
    }

    /// Resolves when the cluster has refused this node for good.
    pub(super) async fn refused_for_good(&self, mut seen: u64) -> Error {
        loop {
            if let Some(error) = self.refusal() {
                return error;
            }
            seen = self.phases.after(seen).await;
        }
    }

    /// Why the cluster does not want this node any more, if it said so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells the leader that this node is here: at regular intervals, and at once when somebody waits for it.
    pub(super) async fn keep_in_sync(self: Arc<Self>) {
        let mut admitted = false;
        loop {
            if self.has_left_raft() {
                // It will never hear what is taken from it or given to it: others must take over.
                self.lease.give_back();
                self.log.warn(format_args!(
                    "Raft has stopped on this node, which takes part no more; restart it"
                ));
                self.say_that_it_failed().await;
                return;
            }
            let seen = self.replica.changed().count();
            let health_seen = self.own_health_changed.count();
            let reported = self.replica.revision();
            if let Some(incarnation) = self.replica.incarnation() {
                admitted = true;
                self.sync_once(incarnation, reported).await;
                if self.refusal().is_some() {
                    // For good: to ask again would bring the same answer.
                    return;
                }
            } else if admitted && self.is_going() {
                // Its own log told it before anybody else could: it was removed, or another process was let in in its
                // place, one that died since or one that lives. Asking tells which.
                let refused = match self.removal() {
                    Some(error) => Some(error),
                    None => self.ask_back_in().await.err(),
                };
                if let Some(error) = refused {
                    self.refuse_for_good(error);
                    return;
                }
            }
            let due = Instant::now() + self.sync_pause();
            self.wait_for_next_sync(due, seen, reported, health_seen).await;
            if !matches!(self.phase(), Phase::Starting | Phase::Running) {
                return;
            }
        }
    }

    /// True when Raft has stopped on this node, which has not been asked to stop.
    pub(crate) fn has_left_raft(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running)
            && self.member().is_ok_and(|member| member.consensus.has_ended())
    }

    /// How long to wait between two syncs: as set, but no longer than what the cluster's lease asks for.
    fn sync_pause(&self) -> Duration {
        let config = self.replica.topology().config.clone();
        self.options.effective_sync_interval().min(config.lease_ttl() / 3)
    }

    /// Gives this process's leases back to the leader, which wants to give its roles to others.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] when it is about another process.
    pub(super) fn give_back(&self, node: &NodeId, incarnation: u64) -> Result<MemberReply> {
        if *node != self.me || self.replica.incarnation() != Some(incarnation) {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("this is not incarnation {incarnation} of node {node:?}"),
            ));
        }
        self.lease.give_back();
        Ok(MemberReply::GivenBack)
    }

    fn own_health(&self) -> MutexGuard<'_, (NodeHealthState, String)> {
        self.own_health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application says how it is; the leader hears of it at once, and everybody a commit later.
    pub(crate) fn report_health(&self, health: NodeHealthState, reason: &str) {
        // Cut as everybody will know it, or it would seem to be news with every sync.
        let reason = match health {
            NodeHealthState::Healthy => String::new(),
            _ => reason.chars().take(MAX_REASON_CHARS).collect(),
        };
        *self.own_health() = (health, reason);
        self.own_health_changed.notify();
    }

    async fn wait_for_next_sync(&self, due: Instant, mut seen: u64, reported: u64, health_seen: u64) {
        loop {
            // A lease counts as soon as what it names is applied; and the log may have admitted this process anew
            // before the answer to its request came, or though it never comes.
            self.lease.applied(self.replica.revision());
            self.adopt_session();
            if self.is_waited_for(reported) {
                return;
            }
            tokio::select! {
                biased;
                () = env::sleep_until(due) => return,
                now = self.replica.changed().after(seen) => seen = now,
                _ = self.own_health_changed.after(health_seen) => return,
            }
        }
    }

    /// True when a role was taken from this node after `reported`: its next holder waits until the leader knows
    /// that this node knows. And when this process was admitted after it: whoever started it waits for a lease.
    fn is_waited_for(&self, reported: u64) -> bool {
        if self
            .replica
            .incarnation()
            .is_some_and(|admitted| admitted > reported)
        {
            return true;
        }
        let topology = self.replica.topology();
        // A release leaves nothing settled.
        topology.partitions.unsettled().any(|partition| {
            partition
                .released
                .as_ref()
                .is_some_and(|(holder, revision)| *holder == self.me && *revision > reported)
        })
    }

    async fn sync_once(&self, incarnation: u64, revision: u64) {
        let (health, health_reason) = self.own_health().clone();
        let report = SyncReport {
            node: self.me.clone(),
            incarnation,
            revision,
            health,
            health_reason,
            copies: self.copy_failures.report(&self.replica.topology(), &self.me),
        };
        // The lease counts from here, whenever the answer comes.
        let asked = Instant::now();
        let timeout = self.options.effective_health_timeout();
        match self.ask_leader(MemberCall::Sync(report), timeout).await {
            Ok(MemberReply::Sync(reply)) => {
                self.heard_of_leader();
                let from = if planted("lease-from-receipt") {
                    Instant::now()
                } else {
                    asked
                };
                let until = from + Duration::from_millis(reply.lease_ms);
                self.lease
                    .granted(asked, until, reply.revision, self.replica.revision());
            }
            Ok(_) => self.log.warn(format_args!("a sync was answered out of turn")),
            Err(error) if error.code() == ErrorCode::Removed => {
                self.refuse_for_good(error);
            }
            Err(error) if matches!(error.code(), ErrorCode::Conflict | ErrorCode::NotFound) => {
                // The cluster went on without this process: it comes back as a new incarnation.
                if self.is_going()
                    && let Err(error) = self.ask_back_in().await
                {
                    self.refuse_for_good(error);
                }
            }
            // No leader, or none that can be reached: the next sync is as good.
            Err(_) => {}
        }
    }

    pub(super) fn cluster_id(&self) -> String {
        use crate::consensus::Addresses;
        self.addresses.cluster_id()
    }
}
