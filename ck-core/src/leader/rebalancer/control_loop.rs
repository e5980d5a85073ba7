//! The rebalancer's loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::handovers::{Handovers, successor};
use super::plan::{self, Exclusions};
use super::plan_state::{PlanState, active, members};
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::leader::{LeaderContext, Leased};
use crate::model::{NodeId, NodeStatus, Partition, RebalanceTrigger, Target, Topology, partition_id};
use crate::rpc::CopyReport;
use crate::state::{Command, CopyLimit, Grant, Reply, Response};

/// How long one proposal may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many partitions one command may name: keeps log entries small.
const MAX_BATCH: usize = 4096;
/// How many partitions one `Plan` entry moves: every node does nothing else while it applies the entry.
const MAX_PLAN_BATCH: usize = 1024;
/// How often a part of a plan is proposed again because the topology changed just before it.
const MAX_ATTEMPTS: usize = 50;
/// The pause after a proposal that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Runs on every node; acts only on the leader.
pub(crate) struct Rebalancer {
    pub(super) context: LeaderContext,
    pub(super) policy: RebalancePolicy,
    handovers: Mutex<Handovers>,
    /// The input of the last plan.
    plan_state: Mutex<PlanState>,
    /// What members reported of their copies with their last heartbeats.
    reports: Mutex<BTreeMap<NodeId, Vec<CopyReport>>>,
}

/// The limits and delays of migrations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RebalancePolicy {
    /// How long a member may be away before its copies are made elsewhere.
    pub(crate) rebalance_delay: Duration,
    /// How long a copy may take before it is abandoned.
    pub(crate) migration_timeout: Duration,
    /// How many copies are made at a time.
    pub(crate) limit: CopyLimit,
}

impl Rebalancer {
    pub(crate) fn new(context: LeaderContext, policy: RebalancePolicy) -> Self {
        Rebalancer {
            context,
            policy,
            handovers: Mutex::default(),
            plan_state: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    /// Runs until its task is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let topology_seen = self.context.applied.changed().count();
            let leadership_seen = self.context.leadership.changed().count();
            let leases_seen = self.context.leases.changed().count();
            let again = match self.context.leadership.epoch() {
                Some(epoch) => match self.step(epoch).await {
                    Ok(wait) => wait,
                    // A stale plan or a lost leadership is normal: try again.
                    Err(_) if self.context.proposer.has_ended() => return,
                    Err(_) => Some(RETRY_PAUSE),
                },
                None => None,
            };
            let something = async {
                tokio::select! {
                    biased;
                    _ = self.context.applied.changed().after(topology_seen) => {}
                    _ = self.context.leadership.changed().after(leadership_seen) => {}
                    _ = self.context.leases.changed().after(leases_seen) => {}
                }
            };
            match again {
                // Waits for a notification, but no longer than until the next step is due.
                Some(wait) => env::timeout(wait, something).await.unwrap_or(()),
                None => something.await,
            }
        }
    }

    /// Takes every step that is due. Gives the time until the next step if nothing changes.
    async fn step(&self, epoch: u64) -> Result<Option<Duration>> {
        let (topology, revision, moving) = {
            let state = self.context.applied.state();
            let moving = state.moving() > 0;
            (state.topology().clone(), state.topology_revision(), moving)
        };
        if topology.cluster_id.is_empty() || topology.active_count() == 0 {
            return Ok(None);
        }
        if topology.partitions.is_empty() {
            return self.create(&topology, revision).await.map(|_| None);
        }
        match self.advance_handovers(epoch, &topology).await? {
            Progress::Made => Ok(None),
            Progress::None { next_lease_end } => {
                let lease_end = next_lease_end.map(|ends| ends.since(Instant::now()));
                self.plan_state().begin(epoch, &topology);
                let overdue = self.abandon_stalled(epoch, &topology).await?;
                let planned = self.plan_when_due(epoch, &topology, (revision, moving)).await?;
                Ok(lease_end.into_iter().chain(overdue).chain(planned).min())
            }
        }
    }

    /// Creates the partitions over the present active members.
    async fn create(&self, topology: &Arc<Topology>, planned_on: u64) -> Result<Response> {
        let topology = topology.clone();
        let assignments = env::blocking(move || plan::creation(&topology)).await?;
        let command = Command::CreatePartitions {
            assignments,
            planned_on,
        };
        self.propose(command).await
    }

    /// Releases and grants the roles that are due.
    async fn advance_handovers(&self, epoch: u64, topology: &Topology) -> Result<Progress> {
        let mut releases = Vec::new();
        let mut grants = Vec::new();
        let mut next_lease_end: Option<Instant> = None;
        let due = self.handovers().due(topology);
        for partition in &due {
            if partition.primary.is_some() {
                releases.push((partition.number, partition.epoch));
                continue;
            }
            match self.leased(topology, partition) {
                Leased::Until(ends) => {
                    next_lease_end = Some(next_lease_end.map_or(ends, |first| first.min(ends)));
                }
                Leased::No => grants.extend(successor(topology, partition).map(|to| Grant {
                    number: partition.number,
                    epoch: partition.epoch,
                    to,
                })),
            }
        }
        // Grants come first, because their partitions have no primary. Only this leader knows the leases, so the grants
        // are valid only under its epoch.
        for batch in grants.chunks(MAX_BATCH) {
            let command = Command::Grant {
                grants: batch.to_vec(),
            };
            self.context
                .proposer
                .propose_under(Some(epoch), command, COMMIT_TIMEOUT)
                .await?
                .result?;
        }
        for batch in releases.chunks(MAX_BATCH) {
            self.propose(Command::Release {
                partitions: batch.to_vec(),
            })
            .await?;
        }
        if grants.is_empty() && releases.is_empty() {
            return Ok(Progress::None { next_lease_end });
        }
        Ok(Progress::Made)
    }

    /// Whether the last primary of a partition may still act: until it has applied the release, it is known to be down,
    /// or its leases from before the release have run out.
    fn leased(&self, topology: &Topology, partition: &Partition) -> Leased {
        let Some((holder, revision)) = &partition.released else {
            return Leased::No;
        };
        // A member that is not up has stopped, or was failed when none of its leases could be valid any more.
        let Some(node) = topology.nodes.get(holder).filter(|node| node.status.is_up()) else {
            return Leased::No;
        };
        if *holder == self.context.me && self.context.applied.revision() >= *revision {
            return Leased::No;
        }
        self.context
            .leases
            .leased(holder, node.incarnation, *revision, &topology.config)
    }

    /// Abandons copies that take too long; gives the time until the next check.
    async fn abandon_stalled(&self, epoch: u64, topology: &Topology) -> Result<Option<Duration>> {
        let timeout = self.policy.migration_timeout;
        let overdue = {
            let mut planned = self.plan_state();
            let overdue = planned.watchdog.tick(topology, timeout, Instant::now());
            planned.wishes += u64::from(overdue.free);
            overdue
        };
        for batch in overdue.copies.chunks(MAX_BATCH) {
            let command = Command::AbandonCopies {
                copies: batch.to_vec(),
            };
            // Only this leader knows how long the copies took.
            self.context
                .proposer
                .propose_under(Some(epoch), command, COMMIT_TIMEOUT)
                .await?
                .result?;
            let mut planned = self.plan_state();
            planned.wishes += 1;
            for (number, node, _) in batch {
                let name = partition_id(*number);
                self.context.logger.warn(format_args!(
                    "node {node} has not copied {name} within {timeout:?}; it is planned elsewhere"
                ));
                planned
                    .watchdog
                    .avoid((*number, node.clone()), timeout, Instant::now());
            }
        }
        Ok(overdue.again)
    }

    async fn plan_when_due(
        &self,
        epoch: u64,
        topology: &Arc<Topology>,
        (revision, moving): (u64, bool),
    ) -> Result<Option<Duration>> {
        let joining = topology
            .nodes
            .values()
            .any(|node| node.status == NodeStatus::Joining);
        let (exclusions, lost, wished, due) = {
            let mut planned = self.plan_state();
            let (given_up, due) = planned.avoid_after_failure(topology, self.policy.rebalance_delay);
            if topology.maintenance.is_some() {
                return Ok(None);
            }
            let lost = given_up.difference(&planned.given_up).next().cloned();
            // While partitions move, every step changes the topology without changing the plan.
            let same = planned.revision == revision || (moving && planned.members == members(topology));
            let wished = planned.wishes != planned.answered;
            if same && !wished && given_up == planned.given_up {
                return Ok(due);
            }
            let wait = planned.debounce(topology, joining, Instant::now());
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
            let exclusions = planned.exclusions(topology, self.policy.rebalance_delay);
            (exclusions, lost, wished && same, due)
        };
        let (trigger, node) = match lost {
            Some(node) => (RebalanceTrigger::NodeLeave, node),
            None => self.reason(topology, wished),
        };
        self.plan(Some(epoch), topology, revision, exclusions, (trigger, node))
            .await?;
        Ok(due)
    }

    /// The trigger of a plan: a member that became active or ceased to be since the last plan. A plan that is made
    /// `again` keeps the trigger of the last one.
    fn reason(&self, topology: &Topology, again: bool) -> (RebalanceTrigger, NodeId) {
        let now = active(topology);
        let planned = self.plan_state();
        if again && let Some(before) = &planned.trigger {
            return before.clone();
        }
        if let Some(node) = now.difference(&planned.active).next() {
            return (RebalanceTrigger::NodeJoin, node.clone());
        }
        if let Some(node) = planned.active.difference(&now).next() {
            return (RebalanceTrigger::NodeLeave, node.clone());
        }
        (RebalanceTrigger::NodeJoin, "".into())
    }

    /// Plans and commits the plan. Where the `epoch` of this leadership is given, handovers continue meanwhile: a plan
    /// of tens of thousands of partitions takes long.
    async fn plan(
        &self,
        epoch: Option<u64>,
        topology: &Arc<Topology>,
        planned_on: u64,
        exclusions: Exclusions,
        trigger: (RebalanceTrigger, NodeId),
    ) -> Result<usize> {
        let snapshot = topology.clone();
        let wishes = self.plan_state().wishes;
        let given_up = exclusions.given_up.clone();
        let planning = env::blocking(move || plan::rebalance(&snapshot, &exclusions));
        let targets = match epoch {
            Some(epoch) => self.while_advancing(epoch, planning).await?,
            None => planning.await,
        }?;
        let committed = self
            .commit_plan(epoch, topology, planned_on, &trigger, &targets)
            .await?;
        let Committed { moved, covers } = committed;
        let Some(covers) = covers else {
            return Ok(moved);
        };
        let mut planned = self.plan_state();
        planned.trigger = Some(trigger);
        planned.answered = wishes;
        planned.revision = covers;
        planned.active = active(topology);
        planned.members = members(topology);
        planned.stale_since = None;
        planned.given_up = given_up;
        Ok(moved)
    }

    /// Waits for `work`, and meanwhile releases and grants the roles that are due.
    async fn while_advancing<T>(&self, epoch: u64, work: impl Future<Output = T>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let mut look_at = Some(Instant::now());
        loop {
            let applied = self.context.applied.changed().count();
            let leased = self.context.leases.changed().count();
            let due = async {
                match look_at {
                    Some(at) => env::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = due => {}
                _ = self.context.applied.changed().after(applied) => {}
                _ = self.context.leases.changed().after(leased) => {}
            }
            look_at = match self
                .advance_handovers(epoch, &self.context.applied.topology())
                .await
            {
                Ok(Progress::Made) => Some(Instant::now()),
                Ok(Progress::None { next_lease_end }) => next_lease_end,
                Err(error) if self.context.proposer.has_ended() => return Err(error),
                Err(_) => Some(Instant::now() + RETRY_PAUSE),
            };
        }
    }

    /// Commits a plan in parts, so that log entries are short and no node applies one for long. Other changes meanwhile
    /// do not invalidate the parts for as long as the members are the same.
    async fn commit_plan(
        &self,
        epoch: Option<u64>,
        topology: &Topology,
        planned_on: u64,
        (trigger, trigger_node): &(RebalanceTrigger, NodeId),
        targets: &[(u32, Target)],
    ) -> Result<Committed> {
        let mut moved = 0;
        // The plan's own parts change the topology; the plan covers those changes.
        let mut covers = planned_on;
        let there = members(topology);
        let mut left = targets.len();
        for part in targets.chunks(MAX_PLAN_BATCH) {
            left -= part.len();
            let mut attempts = 0;
            let (count, revision) = loop {
                let command = Command::Plan {
                    trigger: *trigger,
                    trigger_node: trigger_node.clone(),
                    targets: part.to_vec(),
                    planned_on: covers,
                    limit: self.policy.limit,
                };
                let response = self.propose(command).await?;
                match response.result {
                    Ok(Reply::Partitions(count)) => break (count, response.revision),
                    Ok(_) => break (0, covers),
                    Err(error) if error.code() == ErrorCode::Conflict && attempts < MAX_ATTEMPTS => {}
                    Err(error) => return Err(error),
                }
                attempts += 1;
                let now = {
                    let state = self.context.applied.state();
                    covers = state.topology_revision();
                    state.topology().clone()
                };
                if now.maintenance.is_some() || members(&now) != there {
                    return Ok(Committed { moved, covers: None });
                }
            };
            moved += count;
            covers = revision;
            if let Some(epoch) = epoch
                && left > 0
            {
                self.advance_handovers(epoch, &self.context.applied.topology())
                    .await?;
            }
        }
        Ok(Committed {
            moved,
            covers: Some(covers),
        })
    }

    /// Plans now, by request. Gives how many partitions move.
    pub(crate) async fn rebalance_now(&self) -> Result<(u64, usize)> {
        let (topology, revision) = {
            let state = self.context.applied.state();
            (state.topology().clone(), state.topology_revision())
        };
        let exclusions = self.exclusions(&topology);
        let moved = self
            .plan(
                None,
                &topology,
                revision,
                exclusions,
                (RebalanceTrigger::Manual, "".into()),
            )
            .await?;
        Ok((self.context.applied.revision(), moved))
    }

    /// The exclusions of a plan that is made now.
    pub(crate) fn exclusions(&self, topology: &Topology) -> Exclusions {
        self.plan_state()
            .exclusions(topology, self.policy.rebalance_delay)
    }

    /// The input of the last plan.
    pub(super) fn plan_state(&self) -> MutexGuard<'_, PlanState> {
        self.plan_state.lock()
    }

    fn handovers(&self) -> MutexGuard<'_, Handovers> {
        self.handovers.lock()
    }

    /// What members reported of their copies.
    pub(super) fn reports(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<CopyReport>>> {
        self.reports.lock()
    }

    /// Creates the partitions now, if there are none yet. Gives how many there are.
    pub(crate) async fn create_now(&self) -> Result<(u64, usize)> {
        let (topology, revision) = {
            let state = self.context.applied.state();
            (state.topology().clone(), state.topology_revision())
        };
        if !topology.partitions.is_empty() {
            return Ok((self.context.applied.revision(), topology.partitions.len()));
        }
        let response = self.create(&topology, revision).await?;
        match response.result {
            Ok(_) => Ok((response.revision, topology.config.partition_count as usize)),
            Err(error) if error.code() == ErrorCode::AlreadyExists => {
                Ok((response.revision, topology.config.partition_count as usize))
            }
            Err(error) => Err(error),
        }
    }

    async fn propose(&self, command: Command) -> Result<Response> {
        self.context.proposer.propose(command, COMMIT_TIMEOUT).await
    }
}

/// The result of committing a plan.
struct Committed {
    /// How many partitions move.
    moved: usize,
    /// The revision up to which the plan covers the topology; `None` where the members changed meanwhile, and the rest
    /// is planned again.
    covers: Option<u64>,
}

/// The result of a check of the handovers.
enum Progress {
    Made,
    None {
        /// When the first lease ends that a grant waits for.
        next_lease_end: Option<Instant>,
    },
}
