//! The controller's loop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::plan::{self, Exclusions};
use super::planned::{Planned, active, members};
use super::status::CopyReport;
use crate::consensus::{Leadership, LeaseTable, Leased, Proposer, Replica};
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::log::Log;
use crate::model::{NodeId, NodeStatus, Partition, RebalanceTrigger, Topology, partition_id};
use crate::state::{Command, CopyLimit, Grant, Reply, Response};

/// How long one proposal may take.
const PROPOSE: Duration = Duration::from_secs(5);
/// How many partitions one command may name: keeps entries small.
const BATCH: usize = 4096;
/// The pause after a proposal that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs on every node; acts where the leader is.
pub(crate) struct Controller {
    pub(super) me: NodeId,
    pub(super) replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    pub(super) leadership: Arc<Leadership>,
    leases: Arc<LeaseTable>,
    log: Arc<Log>,
    pub(super) pace: Pace,
    /// What the last plan was made on.
    planned: Mutex<Planned>,
    /// What members said of their copies with their last syncs.
    reports: Mutex<BTreeMap<NodeId, Vec<CopyReport>>>,
}

/// How fast copies are made, and how long anything is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long a member may be away before its copies are made anew elsewhere.
    pub(crate) rebalance_delay: Duration,
    /// How long a copy may take before it is given up.
    pub(crate) migration_timeout: Duration,
    /// How many copies are made at a time.
    pub(crate) limit: CopyLimit,
}

impl Controller {
    pub(crate) fn new(
        me: NodeId,
        replica: Arc<Replica>,
        proposer: Arc<Proposer>,
        leadership: Arc<Leadership>,
        leases: Arc<LeaseTable>,
        log: Arc<Log>,
        pace: Pace,
    ) -> Self {
        Controller {
            me,
            replica,
            proposer,
            leadership,
            leases,
            log,
            pace,
            planned: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    /// Runs until its task is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let topology_seen = self.replica.changed().count();
            let leadership_seen = self.leadership.changed().count();
            let leases_seen = self.leases.changed().count();
            let again = match self.leadership.epoch() {
                Some(epoch) => match self.step(epoch).await {
                    Ok(wait) => wait,
                    // Stale plans and lost leadership are the normal course of things: look again.
                    Err(_) if self.proposer.has_ended() => return,
                    Err(_) => Some(PAUSE),
                },
                None => None,
            };
            let something = async {
                tokio::select! {
                    biased;
                    _ = self.replica.changed().after(topology_seen) => {}
                    _ = self.leadership.changed().after(leadership_seen) => {}
                    _ = self.leases.changed().after(leases_seen) => {}
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
        let (topology, revision) = {
            let state = self.replica.state();
            (state.topology().clone(), state.topology_revision())
        };
        if topology.cluster_id.is_empty() || topology.active_count() == 0 {
            return Ok(None);
        }
        if topology.partitions.is_empty() {
            return self.create(&topology, revision).await.map(|_| None);
        }
        match self.carry_on(epoch, &topology).await? {
            Progress::Made => Ok(None),
            Progress::None { next_lease_end } => {
                let lease_end = next_lease_end.map(|ends| ends.since(Instant::now()));
                self.planned().begin(epoch, &topology);
                let overdue = self.give_up_stalled(epoch, &topology).await?;
                let planned = self.plan_when_due(&topology, revision).await?;
                Ok(lease_end.into_iter().chain(overdue).chain(planned).min())
            }
        }
    }

    /// Creates the partitions over the nodes that there are.
    async fn create(&self, topology: &Topology, planned_on: u64) -> Result<Response> {
        let assignments = plan::creation(topology);
        let command = Command::CreatePartitions {
            assignments,
            planned_on,
        };
        self.propose(command).await
    }

    /// Releases and grants what is due.
    async fn carry_on(&self, epoch: u64, topology: &Topology) -> Result<Progress> {
        let mut releases = Vec::new();
        let mut grants = Vec::new();
        let mut next_lease_end: Option<Instant> = None;
        // What is settled has a primary and no target.
        for partition in topology.partitions.unsettled() {
            if partition.primary.is_some() {
                if let Some(target) = &partition.target
                    && partition.primary.as_ref() != Some(&target.primary)
                    && may_lead(topology, partition, &target.primary)
                {
                    releases.push((partition.number, partition.epoch));
                }
                continue;
            }
            match self.leased(topology, partition) {
                Leased::Until(ends) => {
                    next_lease_end = Some(next_lease_end.map_or(ends, |first| first.min(ends)));
                }
                Leased::No => grants.extend(heir(topology, partition).map(|to| Grant {
                    number: partition.number,
                    epoch: partition.epoch,
                    to,
                })),
            }
        }
        // Grants first: there a partition is waiting without a primary. Who is leased this leader alone knows, so
        // they count only for as long as it leads.
        for batch in grants.chunks(BATCH) {
            let command = Command::Grant {
                grants: batch.to_vec(),
            };
            self.proposer
                .propose_under(Some(epoch), command, PROPOSE)
                .await?
                .result?;
        }
        for batch in releases.chunks(BATCH) {
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
        if *holder == self.me && self.replica.revision() >= *revision {
            return Leased::No;
        }
        self.leases
            .leased(holder, node.incarnation, *revision, &topology.config)
    }

    /// Gives up copies that take too long; gives when to look again.
    async fn give_up_stalled(&self, epoch: u64, topology: &Topology) -> Result<Option<Duration>> {
        let timeout = self.pace.migration_timeout;
        let overdue = {
            let mut planned = self.planned();
            let overdue = planned.stalled.look(topology, timeout, Instant::now());
            planned.wishes += u64::from(overdue.free);
            overdue
        };
        for batch in overdue.copies.chunks(BATCH) {
            let command = Command::GiveUp {
                copies: batch.to_vec(),
            };
            // How long it took this leader alone knows.
            self.proposer
                .propose_under(Some(epoch), command, PROPOSE)
                .await?
                .result?;
            let mut planned = self.planned();
            planned.wishes += 1;
            for (number, node, _) in batch {
                let name = partition_id(*number);
                self.log.warn(format_args!(
                    "node {node} has not copied {name} within {timeout:?}; it is planned elsewhere"
                ));
                planned
                    .stalled
                    .avoid((*number, node.clone()), timeout, Instant::now());
            }
        }
        Ok(overdue.again)
    }

    async fn plan_when_due(&self, topology: &Topology, revision: u64) -> Result<Option<Duration>> {
        let joining = topology
            .nodes
            .values()
            .any(|node| node.status == NodeStatus::Joining);
        let (exclusions, lost, wished, due) = {
            let mut planned = self.planned();
            let (given_up, due) = planned.give_up(topology, self.pace.rebalance_delay);
            if topology.maintenance.is_some() {
                return Ok(None);
            }
            let lost = given_up.difference(&planned.given_up).next().cloned();
            // While partitions move, every step changes the topology, and none of them changes the plan.
            let moving = topology
                .partitions
                .unsettled()
                .any(|partition| partition.target.is_some());
            let same = planned.revision == revision || (moving && planned.members == members(topology));
            let wished = planned.wishes != planned.answered;
            if same && !wished && given_up == planned.given_up {
                return Ok(due);
            }
            let wait = planned.gathering(topology, joining, Instant::now());
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
            let exclusions = planned.exclusions(topology, self.pace.rebalance_delay);
            (exclusions, lost, wished && same, due)
        };
        let (trigger, node) = match lost {
            Some(node) => (RebalanceTrigger::NodeLeave, node),
            None => self.reason(topology, wished),
        };
        self.plan(topology, revision, exclusions, trigger, node).await?;
        Ok(due)
    }

    /// Why partitions move, judged by who is here now and was not at the last plan, or the other way round. What is
    /// planned `again` is for the same reason as before.
    fn reason(&self, topology: &Topology, again: bool) -> (RebalanceTrigger, NodeId) {
        let now = active(topology);
        let planned = self.planned();
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

    async fn plan(
        &self,
        topology: &Topology,
        planned_on: u64,
        exclusions: Exclusions,
        trigger: RebalanceTrigger,
        trigger_node: NodeId,
    ) -> Result<usize> {
        let snapshot = topology.clone();
        let wishes = self.planned().wishes;
        let given_up = exclusions.given_up.clone();
        let targets = match env::blocking(move || plan::rebalance(&snapshot, &exclusions)).await {
            Ok(targets) => targets,
            Err(error) => return Err(crate::Error::internal(format!("the planner failed: {error}"))),
        };
        let mut moved = 0;
        // A plan changes the topology itself; what it made of it is planned for by definition.
        let mut covers = planned_on;
        if !targets.is_empty() {
            let response = self
                .propose(Command::Plan {
                    trigger,
                    trigger_node: trigger_node.clone(),
                    targets,
                    planned_on,
                    limit: self.pace.limit,
                })
                .await?;
            if let Reply::Partitions(count) = response.result? {
                moved = count;
                covers = response.revision;
            }
        }
        let mut planned = self.planned();
        planned.trigger = Some((trigger, trigger_node));
        planned.answered = wishes;
        planned.revision = covers;
        planned.active = active(topology);
        planned.members = members(topology);
        planned.stale_since = None;
        planned.given_up = given_up;
        Ok(moved)
    }

    /// Plans now, because somebody asked. Gives how many partitions move.
    pub(crate) async fn rebalance_now(&self) -> Result<(u64, usize)> {
        let (topology, revision) = {
            let state = self.replica.state();
            (state.topology().clone(), state.topology_revision())
        };
        let exclusions = self.exclusions(&topology);
        let moved = self
            .plan(
                &topology,
                revision,
                exclusions,
                RebalanceTrigger::Manual,
                "".into(),
            )
            .await?;
        Ok((self.replica.revision(), moved))
    }

    /// What a plan that is made now leaves out.
    pub(crate) fn exclusions(&self, topology: &Topology) -> Exclusions {
        self.planned().exclusions(topology, self.pace.rebalance_delay)
    }

    /// What the last plan was made on.
    pub(super) fn planned(&self) -> MutexGuard<'_, Planned> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What members said of their copies.
    pub(super) fn reports(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<CopyReport>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the partitions now, if there are none yet. Gives how many there are.
    pub(crate) async fn create_now(&self) -> Result<(u64, usize)> {
        let (topology, revision) = {
            let state = self.replica.state();
            (state.topology().clone(), state.topology_revision())
        };
        if !topology.partitions.is_empty() {
            return Ok((self.replica.revision(), topology.partitions.len()));
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
        self.proposer.propose(command, PROPOSE).await
    }
}

/// What came of carrying moves on.
enum Progress {
    Made,
    None {
        /// When the first lease ends that a grant waits for.
        next_lease_end: Option<Instant>,
    },
}

fn may_lead(topology: &Topology, partition: &Partition, node: &str) -> bool {
    partition.is_synced(node)
        && topology
            .nodes
            .get(node)
            .is_some_and(|node| node.status.is_serving())
}

/// Who gets a partition that nobody leads: its target as soon as that may lead, or else the first heir. A target whose
/// copy no hook has confirmed is the target all the same: the role was released for it, and would be again.
fn heir(topology: &Topology, partition: &Partition) -> Option<NodeId> {
    let target = partition.target.as_ref().map(|target| &target.primary);
    let due = target.filter(|target| may_lead(topology, partition, target));
    let heirs = || partition.heirs(|node| topology.is_serving(node));
    due.or_else(|| heirs().first().copied()).cloned()
}
