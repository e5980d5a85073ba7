//! Graceful shutdown: a node that stops hands over to others first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};

use super::context::{NodeContext, RaftParts};
use super::leader_client::LeaderClient;
use crate::env::{self, Instant};
use crate::error::ErrorCode;
use crate::membership::first_success;
use crate::rpc::{MemberAnswer, MemberCall};

/// How long a node that stops waits for others to take over, before it stops without their knowledge.
const STOP_NOTICE_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of a ping to a voter that may be gone.
const PROBE_TIMEOUT: Duration = Duration::from_millis(250);
/// Pause between two rounds of pings: a voter that refuses connections in two rounds in a row counts as gone. Also the
/// pause before the report of a failed log is retried.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Hands over what a node has, before it stops.
#[derive(Clone)]
pub(super) struct GracefulShutdown {
    context: Arc<NodeContext>,
    leader: LeaderClient,
}

impl GracefulShutdown {
    pub(super) fn new(context: Arc<NodeContext>, leader: LeaderClient) -> Self {
        GracefulShutdown { context, leader }
    }

    /// Hands over what this node has. Gives up after [`STOP_NOTICE_TIMEOUT`], or once most voters are gone.
    pub(super) async fn run(&self, parts: &RaftParts) {
        let goodbye = std::pin::pin!(self.notify_leader_of_stop(parts));
        let alone = std::pin::pin!(self.quorum_unreachable());
        match env::timeout(STOP_NOTICE_TIMEOUT, select(goodbye, alone)).await {
            Ok(Either::Left(_)) => {}
            Ok(Either::Right(_)) => self.context.logger.info(format_args!(
                "stopping without the others' knowledge: most of them are gone"
            )),
            Err(_) => self.context.logger.warn(format_args!(
                "stopping without the others' knowledge: nobody answered"
            )),
        }
    }

    /// Hands over leadership first, then reports the stop to the leader, which gives this node's roles to others.
    async fn notify_leader_of_stop(&self, parts: &RaftParts) {
        if !self.can_commit(&[]) {
            // Too few voters are up: nothing can be committed any more, and no node is left to take over.
            return;
        }
        if parts.leadership.is_leader() {
            let timing = self.context.options.timing.values();
            if let Some(successor) = parts.raft.successors(timing.heartbeat).first() {
                // If the transfer fails this node still leads, and handles its own stop notice below.
                drop(parts.raft.transfer(*successor, timing.election_max).await);
            }
        }
        let Some(incarnation) = self.context.applied.incarnation() else {
            return;
        };
        let call = MemberCall::Stop {
            node: self.context.me.clone(),
            incarnation,
        };
        if let Err(error) = self.leader.ask(call, STOP_NOTICE_TIMEOUT).await {
            self.context
                .logger
                .warn(format_args!("stopping, but the leader was not told: {error}"));
        }
    }

    /// Reports to the leader, through whichever member answers, that this node's log has failed, so that its roles move
    /// before its silence shows the failure. Ends after the failure timeout, when the silence has shown it. The node
    /// has already given its leases back.
    pub(super) async fn report_failed_log(&self) {
        let Some(incarnation) = self.context.applied.incarnation() else {
            return;
        };
        let topology = self.context.applied.topology();
        let deadline = Instant::now() + topology.config.failure_timeout();
        while Instant::now() < deadline && self.context.has_left_raft() {
            let others = topology.nodes.values().filter(|node| node.id != self.context.me);
            let mut others: Vec<_> = others.filter(|node| node.status.is_up()).collect();
            // The last known leader is asked first: any other member has to forward the report.
            others.sort_by_key(|node| topology.leader.as_ref() != Some(&node.id));
            let addresses: Vec<String> = others.into_iter().map(|node| node.peer_addr.clone()).collect();
            let told = first_success(addresses.into_iter().map(|address| {
                let call = MemberCall::Failed {
                    node: self.context.me.clone(),
                    incarnation,
                };
                async move {
                    let answer = self.leader.call(&address, call, false, STOP_NOTICE_TIMEOUT).await;
                    matches!(answer, Ok(MemberAnswer::Done(_))).then_some(())
                }
            }));
            let remaining = deadline.since(Instant::now());
            if let Ok(Some(())) = env::timeout(remaining, told).await {
                return;
            }
            env::sleep(PROBE_INTERVAL).await;
        }
    }

    /// True while most voters may be up, not counting those at the addresses in `gone`.
    fn can_commit(&self, gone: &[String]) -> bool {
        let topology = self.context.applied.topology();
        let voters = topology.nodes.values().filter(|node| node.voter);
        let there = voters
            .clone()
            .filter(|node| node.status.is_up() && !gone.contains(&node.peer_addr))
            .count();
        there * 2 > voters.count()
    }

    /// Resolves when so many voters are gone that nothing can be committed any more. When all nodes of a cluster stop
    /// at once, the last ones have no node left to notify and need not wait. A voter counts as gone only if it refuses
    /// connections twice in a row: a silent voter may be slow, or cut off for a while.
    async fn quorum_unreachable(&self) {
        let mut before = Vec::new();
        loop {
            let now = self.unreachable_voters().await;
            let both: Vec<String> = now
                .iter()
                .filter(|addr| before.contains(*addr))
                .cloned()
                .collect();
            if !self.can_commit(&both) {
                return;
            }
            before = now;
            env::sleep(PROBE_INTERVAL).await;
        }
    }

    /// The addresses of the other voters that refuse connections.
    async fn unreachable_voters(&self) -> Vec<String> {
        let topology = self.context.applied.topology();
        let asked = topology
            .nodes
            .values()
            .filter(|node| node.voter && node.id != self.context.me)
            .map(|node| node.peer_addr.clone())
            .map(|addr| async move {
                let ping = self
                    .leader
                    .call(&addr, MemberCall::Ping, true, PROBE_TIMEOUT)
                    .await;
                ping.is_err_and(|error| error.code() == ErrorCode::Unreachable)
                    .then_some(addr)
            });
        join_all(asked).await.into_iter().flatten().collect()
    }
}
