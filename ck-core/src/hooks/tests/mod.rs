//! Sample events and helpers that the tests of all parts share.

mod deferred;
mod order;
mod properties;
mod rules;
mod scope;
mod shutdown;
#[cfg(feature = "sim")]
mod simulated;
mod task_driver;
mod thread_driver;

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    ChangeReason, Event, EventKind, LeaderChangeEvent, LeaveReason, Node, NodeJoinEvent, NodeLeaveEvent,
    NodeRejoinEvent, PartitionChangeEvent, RebalanceEvent, RebalanceTrigger, RoleChange, Timestamp,
    partition_id,
};

use super::config::{CopyOutcome, Holders, HookHost};
use super::job::{Effect, Job, RetryId};
use super::schedule::Schedule;
use super::types::{HookFailure, Outcome};

/// The node whose hooks are under test.
const OWN_NODE: &str = "node-1";
/// Another node.
const OTHER_NODE: &str = "node-2";

/// A host that passes on what it is told.
struct TestHost {
    copied: Box<dyn Fn(u64) + Send + Sync>,
    failed: Box<dyn Fn(HookFailure) + Send + Sync>,
    holders: Box<dyn Fn() -> Holders + Send + Sync>,
}

impl TestHost {
    fn new(
        copied: impl Fn(u64) + Send + Sync + 'static,
        failed: impl Fn(HookFailure) + Send + Sync + 'static,
    ) -> Arc<Self> {
        TestHost::with_holders(copied, failed, || Holders::AsTold)
    }

    fn with_holders(
        copied: impl Fn(u64) + Send + Sync + 'static,
        failed: impl Fn(HookFailure) + Send + Sync + 'static,
        holders: impl Fn() -> Holders + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(TestHost {
            copied: Box::new(copied),
            failed: Box::new(failed),
            holders: Box::new(holders),
        })
    }
}

impl HookHost for TestHost {
    fn copied(&self, _: &PartitionChangeEvent, revision: u64, _: CopyOutcome) {
        (self.copied)(revision);
    }

    fn failed(&self, failure: HookFailure) {
        (self.failed)(failure);
    }

    fn holders(&self, _: &PartitionChangeEvent, _: u64) -> Holders {
        (self.holders)()
    }
}

fn event(revision: u64, kind: EventKind) -> Arc<Event> {
    Arc::new(Event {
        revision,
        timestamp: Timestamp::from_millis(revision),
        kind,
    })
}

fn node(id: &str) -> Arc<Node> {
    Arc::new(Node::sample(id))
}

fn change(number: u32, node_id: &str, change: RoleChange) -> EventKind {
    EventKind::PartitionChange(PartitionChangeEvent {
        partition_id: partition_id(number),
        number,
        node_id: node_id.into(),
        change,
        copy_from_nodes: Vec::new(),
        copy_to_node: None,
        change_reason: ChangeReason::Rebalance,
        old_primary: "".into(),
        new_primary: "".into(),
        epoch: 1,
    })
}

fn join(id: &str) -> EventKind {
    EventKind::NodeJoin(NodeJoinEvent {
        node: node(id),
        cluster_size: 1,
        is_bootstrap: false,
    })
}

fn rejoin(id: &str) -> EventKind {
    EventKind::NodeRejoin(NodeRejoinEvent {
        node: node(id),
        offline_duration: Duration::ZERO,
        last_seen_at: Timestamp::default(),
        partitions_before_leave: Vec::new(),
    })
}

fn leave(id: &str) -> EventKind {
    EventKind::NodeLeave(NodeLeaveEvent {
        node: node(id),
        reason: LeaveReason::GracefulShutdown,
        partitions_owned: Vec::new(),
        partitions_replica: Vec::new(),
    })
}

fn rebalance() -> RebalanceEvent {
    RebalanceEvent {
        trigger: RebalanceTrigger::Manual,
        trigger_node_id: "".into(),
        partitions_to_move: 1,
        nodes_affected: Vec::new(),
        duration: Duration::ZERO,
    }
}

fn start() -> EventKind {
    EventKind::RebalanceStart(rebalance())
}

fn complete() -> EventKind {
    EventKind::RebalanceComplete(rebalance())
}

fn leader(epoch: u64) -> EventKind {
    EventKind::LeaderChange(LeaderChangeEvent {
        node_id: OWN_NODE.into(),
        epoch,
    })
}

/// A schedule with empty hooks, and a record of its effects so far.
struct ScheduleFixture {
    schedule: Schedule<()>,
    revision: u64,
    copied: Vec<u64>,
    abandoned: Vec<u64>,
    failed: Vec<HookFailure>,
    retries: Vec<(RetryId, Duration)>,
}

impl ScheduleFixture {
    fn new(concurrency: usize, high_water: usize) -> Self {
        ScheduleFixture {
            schedule: Schedule::new(OWN_NODE.into(), concurrency, high_water),
            revision: 0,
            copied: Vec::new(),
            abandoned: Vec::new(),
            failed: Vec::new(),
            retries: Vec::new(),
        }
    }

    /// Pushes events with consecutive revisions, and returns the last one.
    fn push(&mut self, kinds: impl IntoIterator<Item = EventKind>) -> u64 {
        for kind in kinds {
            self.revision += 1;
            self.schedule.push(event(self.revision, kind));
        }
        self.effects();
        self.revision
    }

    fn effects(&mut self) {
        for effect in self.schedule.take_effects() {
            match effect {
                Effect::Copied(event) | Effect::Unheard(event) => self.copied.push(event.revision),
                Effect::Abandoned(event) => self.abandoned.push(event.revision),
                Effect::Failed(failure) => self.failed.push(failure),
                Effect::RetryAfter(id, delay) => self.retries.push((id, delay)),
            }
        }
    }

    /// Starts every call that may start.
    fn start(&mut self) -> Vec<Job<()>> {
        self.schedule.next_ready(usize::MAX)
    }

    fn finish(&mut self, job: Job<()>, outcome: Outcome) {
        self.schedule.finished(job.call_id, outcome);
        self.effects();
    }

    fn fail(&mut self, job: Job<()>) {
        self.finish(job, Outcome::Failed("no".into()));
    }

    /// Lets the delays of all retries pass.
    fn retry_all(&mut self) {
        for (id, _) in std::mem::take(&mut self.retries) {
            self.schedule.retry_due(id);
        }
    }

    /// Makes every call, one at a time and with success; returns the revisions in the order of the calls.
    fn run_all(&mut self) -> Vec<u64> {
        let mut received = Vec::new();
        while let Some(job) = self.schedule.next_ready(1).pop() {
            received.push(job.event.revision);
            self.finish(job, Outcome::Done);
        }
        received
    }
}

/// The revisions of the jobs' events.
fn revisions(jobs: &[Job<()>]) -> Vec<u64> {
    jobs.iter().map(|job| job.event.revision).collect()
}
