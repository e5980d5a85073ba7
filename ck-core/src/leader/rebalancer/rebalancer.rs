//! The controller's loop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handovers::{Handovers, successor};
use super::plan::{self, Exclusions};
use super::plan_state::{PlanState, active, members};
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::leader::{LeaderContext, Leased};
use crate::membership::CopyReport;
use crate::model::{NodeId, NodeStatus, Partition, RebalanceTrigger, Target, Topology, partition_id};
use crate::state::{Command, CopyLimit, Grant, Reply, Response};

/// How long one proposal may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many partitions one command may name: keeps entries small.
const MAX_BATCH: usize = 4096;
/// How many partitions one entry of the log moves: every node does nothing else while it applies that.
const MAX_PLAN_BATCH: usize = 1024;
/// How often a part of a plan is proposed, because something else was committed just before it.
const MAX_ATTEMPTS: usize = 50;
/// The pause after a proposal that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Runs on every node; acts where the leader is.
pub(crate) struct Rebalancer {
    pub(super) context: LeaderContext,
    pub(super) policy: RebalancePolicy,
    handovers: Mutex<Handovers>,
    /// What the last plan was made on.
    plan_state: Mutex<PlanState>,
    /// What members said of their copies with their last syncs.
    reports: Mutex<BTreeMap<NodeId, Vec<CopyReport>>>,
}

/// How fast copies are made, and how long anything is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RebalancePolicy {
    /// How long a member may be away before its copies are made anew elsewhere.
    pub(crate) rebalance_delay: Duration,
    /// How long a copy may take before it is given up.
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
                    // Stale plans and lost leadership are the normal course of things: look again.
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
                // Time or news, whichever comes first.
                Some(wait) => env::timeout(wait, something).await.unwrap_or(()),
                None => something.await,
            }
        }
    }

    /// Does what is due. The answer is when to look again though nothing changes.
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

    /// Creates the partitions over the nodes that there are.
    async fn create(&self, topology: &Arc<Topology>, planned_on: u64) -> Result<Response> {
        let topology = topology.clone();
        let assignments = env::blocking(move || plan::creation(&topology)).await?;
        let command = Command::CreatePartitions {
            assignments,
            planned_on,
        };
        self.propose(command).await
    }

    /// Releases and grants what is due.
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
        // Grants first: there a partition is waiting without a primary. Who is leased this leader alone knows, so
        // they count only for as long as it leads.
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

    /// Whether the last holder of a partition may still think that it is primary: until it has applied its release, or
    /// is known to be gone, or what it was leased before has run out.
    fn leased(&self, topology: &Topology, partition: &Partition) -> Leased {
        let Some((holder, revision)) = &partition.released else {
            return Leased::No;
        };
        // Whoever is not up has stopped, or was failed when no lease of it could count any more.
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

    /// Gives up copies that take too long; gives when to look again.
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
            // How long it took this leader alone knows.
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
            // While partitions move, every step changes the topology, and none of them changes the plan.
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

    /// Why partitions move, judged by who is here now and was not at the last plan, or the other way round. What is
    /// planned `again` is for the same reason as before.
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

    /// Plans and commits the plan. Where the `epoch` of this leadership is given, roles are released and granted meanwhile:
    /// tens of thousands of partitions take their time.
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

    /// Waits for `work`, and meanwhile releases and grants what is due.
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

    /// Commits a plan in parts, so that entries of the log are short, and no node applies one for long. What else changes
    /// meanwhile makes no part of it wrong, and none worse for as long as the members are the same.
    async fn commit_plan(
        &self,
        epoch: Option<u64>,
        topology: &Topology,
        planned_on: u64,
        (trigger, trigger_node): &(RebalanceTrigger, NodeId),
        targets: &[(u32, Target)],
    ) -> Result<Committed> {
        let mut moved = 0;
        // A plan changes the topology itself; what it made of it is planned for by definition.
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

    /// Plans now, because somebody asked. Gives how many partitions move.
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

    /// What a plan that is made now leaves out.
    pub(crate) fn exclusions(&self, topology: &Topology) -> Exclusions {
        self.plan_state()
            .exclusions(topology, self.policy.rebalance_delay)
    }

    /// What the last plan was made on.
    pub(super) fn plan_state(&self) -> MutexGuard<'_, PlanState> {
        self.plan_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handovers(&self) -> MutexGuard<'_, Handovers> {
        self.handovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What members said of their copies.
    pub(super) fn reports(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<CopyReport>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What came of committing a plan.
struct Committed {
    /// How many partitions move.
    moved: usize,
    /// The revision that the plan made; `None` where members came or went meanwhile, and what is left is planned anew.
    covers: Option<u64>,
}

/// What came of carrying moves on.
enum Progress {
    Made,
    None {
        /// When the first lease ends that a grant waits for.
        next_lease_end: Option<Instant>,
    },
}
