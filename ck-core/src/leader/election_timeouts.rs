//! Agrees on how long voters wait for a leader: as long as the delays ask for that the voters see.
//!
//! Each tells with its sync which delays it has seen lately. The leader has election timeouts stretched at once where
//! heartbeats come close to them, and back step by step when it has been quiet for a while. What must stay true: no safety
//! rests on all having the same value. A voter pledges by what it has applied itself, and says for how long in each answer;
//! the leader's lease lasts as long as a quorum of those answers says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::LeaderContext;
use crate::env::{self, Instant};
use crate::model::NodeId;
use crate::options::TimingValues;
use crate::raft::stretch_for;
use crate::state::Command;

/// How often the leader looks.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// How long it must have been quiet before timeouts are stretched less.
const MIN_QUIET: Duration = Duration::from_secs(30);
/// A report counts for so long.
const MAX_REPORT_AGE: Duration = Duration::from_secs(5);
/// How long one commit may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The delays that members told of, and when.
#[derive(Debug, Default)]
pub(crate) struct ReportedDelays(Mutex<BTreeMap<NodeId, (Instant, Duration)>>);

impl ReportedDelays {
    /// A member told which delay it reckons with.
    pub(crate) fn note(&self, node: &NodeId, delay: Duration) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(node.clone(), (Instant::now(), delay));
    }

    /// The longest that one of these told of lately.
    fn longest(&self, counts: impl Fn(&NodeId) -> bool) -> Duration {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        told.retain(|_, (at, _)| now.since(*at) <= MAX_REPORT_AGE);
        let delays = told.iter().filter(|(node, _)| counts(node));
        delays.map(|(_, (_, delay))| *delay).max().unwrap_or_default()
    }
}

/// Runs on every node; acts where the leader is.
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
        // What fails is tried again with the next look.
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

    /// By how much timeouts should be stretched, and are.
    fn wanted(&self) -> (u32, u32) {
        let topology = self.context.applied.topology();
        let votes = |node: &NodeId| topology.nodes.get(node).is_some_and(|node| node.voter);
        let delay = self.delays.longest(votes).max(self.context.raft.lateness.delay());
        let wanted = stretch_for(delay, self.timing.election_min, self.timing.election_max);
        (wanted, topology.election_stretch())
    }
}
