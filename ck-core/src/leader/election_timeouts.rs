//! Adapts the election timeouts of the cluster to the delays that its voters observe.
//!
//! Each member reports with its heartbeat the delay that it has observed lately. The leader raises the stretch factor
//! at once where the delays come close to the timeouts, and halves it after each quiet period of `MIN_QUIET`.
//!
//! Invariant: no safety property depends on all members having the same factor. A voter pledges by the factor that it
//! has applied itself and names the pledged time in each answer; the leader's lease lasts as long as a quorum of those
//! answers allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::LeaderContext;
use crate::env::{self, Instant};
use crate::model::NodeId;
use crate::options::TimingValues;
use crate::raft::stretch_for;
use crate::state::Command;

/// How often the leader compares the delays with the timeouts.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// How long the delays must have been lower before the stretch factor is halved.
const MIN_QUIET: Duration = Duration::from_secs(30);
/// The age at which a reported delay is dropped.
const MAX_REPORT_AGE: Duration = Duration::from_secs(5);
/// How long one commit may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay that each member reported last, and when.
#[derive(Debug, Default)]
pub(crate) struct ReportedDelays(Mutex<BTreeMap<NodeId, (Instant, Duration)>>);

impl ReportedDelays {
    /// Records the delay that a member has reported.
    pub(crate) fn note(&self, node: &NodeId, delay: Duration) {
        let mut told = self.0.lock();
        told.insert(node.clone(), (Instant::now(), delay));
    }

    /// The longest recent delay among the nodes that `counts` accepts.
    fn longest(&self, counts: impl Fn(&NodeId) -> bool) -> Duration {
        let mut told = self.0.lock();
        let now = Instant::now();
        told.retain(|_, (at, _)| now.since(*at) <= MAX_REPORT_AGE);
        let delays = told.iter().filter(|(node, _)| counts(node));
        delays.map(|(_, (_, delay))| *delay).max().unwrap_or_default()
    }
}

/// Runs on every node; acts only on the leader.
pub(crate) struct ElectionTimeoutTuner {
    pub(crate) context: LeaderContext,
    pub(crate) delays: Arc<ReportedDelays>,
    pub(crate) timing: TimingValues,
}

impl ElectionTimeoutTuner {
    /// Runs until its task is dropped.
    pub(crate) async fn run(&self) {
        let mut quiet_since: Option<Instant> = None;
        loop {
            let seen = self.context.leadership.changed().count();
            if !self.context.leadership.is_leader() {
                quiet_since = None;
                self.context.leadership.changed().after(seen).await;
                continue;
            }
            self.tick(&mut quiet_since).await;
            env::sleep(TICK_INTERVAL).await;
        }
    }

    async fn tick(&self, quiet_since: &mut Option<Instant>) {
        let (wanted, present) = self.wanted();
        let now = Instant::now();
        if wanted >= present {
            *quiet_since = None;
        }
        let next = if wanted > present {
            wanted
        } else if wanted < present && now.since(*quiet_since.get_or_insert(now)) >= MIN_QUIET {
            *quiet_since = None;
            present / 2
        } else {
            return;
        };
        // A proposal that fails is made again at the next tick.
        if self
            .context
            .proposer
            .propose_here(Command::Stretch { factor: next }, COMMIT_TIMEOUT)
            .await
            .is_ok_and(|response| response.result.is_ok())
        {
            self.context.logger.info(format_args!(
                "election timeouts are {next} times as long as configured from now on (before: {present})"
            ));
        }
    }

    /// The stretch factor that the delays ask for, and the present one.
    fn wanted(&self) -> (u32, u32) {
        let topology = self.context.applied.topology();
        let votes = |node: &NodeId| topology.nodes.get(node).is_some_and(|node| node.voter);
        let delay = self.delays.longest(votes).max(self.context.raft.lateness.delay());
        let wanted = stretch_for(delay, self.timing.election_min, self.timing.election_max);
        (wanted, topology.election_stretch())
    }
}
