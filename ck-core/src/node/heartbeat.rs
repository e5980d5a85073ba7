//! Sends heartbeats to the leader: each reports that this node lives, and renews its lease.

use std::sync::Arc;
use std::time::Duration;

use super::context::NodeContext;
use super::graceful_shutdown::GracefulShutdown;
use super::leader_client::LeaderClient;
use super::leader_contact::LeaderContact;
use super::own_health::OwnHealth;
use super::phase::Phase;
use super::rejoin::Rejoiner;
use crate::env::{self, Instant};
use crate::error::ErrorCode;
use crate::hooks::CopyFailures;
use crate::model::{NodeId, Topology, whole_millis};
use crate::rpc::{MemberCall, MemberReply, SyncReport};

/// Sends heartbeats: at regular intervals, and at once when another node waits for one. Rejoins when the leader or the log
/// does not know this process any more.
pub(super) struct Heartbeats {
    pub(super) context: Arc<NodeContext>,
    pub(super) leader: LeaderClient,
    pub(super) contact: Arc<LeaderContact>,
    pub(super) health: Arc<OwnHealth>,
    pub(super) copy_failures: Arc<CopyFailures>,
    pub(super) rejoiner: Rejoiner,
    pub(super) shutdown: GracefulShutdown,
}

impl Heartbeats {
    /// Runs until the node stops, the cluster refuses it, or its log has failed.
    pub(super) async fn run(self) {
        let context = &self.context;
        let mut admitted = false;
        loop {
            if let Some(why) = context.end_of_raft() {
                // This node will not learn of any further change to its roles: others must take them over.
                context.lease.give_back();
                context.logger.warn(format_args!("{why}"));
                self.shutdown.report_failed_log().await;
                return;
            }
            let seen = context.applied.changed().count();
            let health_seen = self.health.changed().count();
            let told = context.applied.topology();
            let reported = context.applied.revision();
            if let Some(incarnation) = context.applied.incarnation() {
                admitted = true;
                self.send(incarnation, reported, told.leader_epoch).await;
                if context.standing.refusal().is_some() {
                    // The refusal is permanent: another heartbeat would get the same answer.
                    return;
                }
            } else if admitted && context.lifecycle.is_running() {
                // This node's own log is the first to show that this process is no member any more: the node was
                // removed, or another process of it was admitted, which may be alive or dead by now. A request to
                // rejoin tells which.
                let refused = match context.removal() {
                    Some(error) => Some(error),
                    None => self.rejoiner.try_rejoin().await.err(),
                };
                if let Some(error) = refused {
                    context.refuse(error);
                    return;
                }
            }
            let due = Instant::now() + self.interval();
            self.wait_for_next(due, seen, (reported, told), health_seen).await;
            if !matches!(context.lifecycle.phase(), Phase::Starting | Phase::Running) {
                return;
            }
        }
    }

    /// The interval between two heartbeats: `sync_interval`, but at most a third of the cluster's lease.
    fn interval(&self) -> Duration {
        let config = self.context.applied.topology().config.clone();
        let interval = self.context.options.effective_sync_interval();
        interval.min(config.lease_ttl() / 3)
    }

    async fn wait_for_next(
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
            self.context.lease.applied(self.context.applied.revision());
            self.context.adopt_session();
            let now = self.context.applied.topology();
            if self.is_waited_for(&now, reported, (&told, &looked)) {
                return;
            }
            // A partition that required no heartbeat requires none for as long as it does not change.
            looked = now;
            tokio::select! {
                biased;
                () = env::sleep_until(due) => return,
                now = self.context.applied.changed().after(seen) => seen = now,
                _ = self.health.changed().after(health_seen) => return,
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
            .context
            .applied
            .incarnation()
            .is_some_and(|admitted| admitted > reported)
        {
            return true;
        }
        if topology.leader_epoch != told.leader_epoch {
            return true;
        }
        let is_mine = |holder: &NodeId| *holder == self.context.me;
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
    async fn send(&self, incarnation: u64, revision: u64, epoch: u64) {
        let context = &self.context;
        let (health, health_reason) = self.health.present(context);
        let report = SyncReport {
            node: context.me.clone(),
            incarnation,
            revision,
            health,
            health_reason,
            copies: self
                .copy_failures
                .report(&context.applied.topology(), &context.me),
            delay_ms: whole_millis(context.delay()),
        };
        // The lease counts from this moment, whenever the answer arrives.
        let asked = Instant::now();
        let timeout = context.options.effective_health_timeout();
        let answer = tokio::select! {
            biased;
            answer = self.leader.ask(MemberCall::Sync(report), timeout) => answer,
            () = self.leadership_after(epoch) => return,
        };
        match answer {
            Ok(MemberReply::Sync(reply)) => {
                self.contact.note_answer(reply.leader.clone(), asked);
                let from = planted!("lease-from-receipt" => Instant::now(), asked);
                let until = from + Duration::from_millis(reply.lease_ms);
                context
                    .lease
                    .granted(asked, until, reply.revision, context.applied.revision());
            }
            Ok(_) => context
                .logger
                .warn(format_args!("a heartbeat was answered out of turn")),
            Err(error) if error.code() == ErrorCode::Removed => {
                context.refuse(error);
            }
            Err(error) if matches!(error.code(), ErrorCode::Conflict | ErrorCode::NotFound) => {
                // The leader does not accept this incarnation: the process rejoins as a new one.
                if context.lifecycle.is_running()
                    && let Err(error) = self.rejoiner.try_rejoin().await
                {
                    context.refuse(error);
                }
            }
            // There is no leader, or none that can be reached: the next heartbeat is the retry.
            Err(_) => {}
        }
    }

    /// Resolves when the log shows another leadership than the one at `epoch`.
    async fn leadership_after(&self, epoch: u64) {
        let mut seen = self.context.applied.changed().count();
        while self.context.applied.topology().leader_epoch == epoch {
            seen = self.context.applied.changed().after(seen).await;
        }
    }
}
