//! The controller's loop.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::plan;
use crate::consensus::{Leadership, Proposer, Replica, SyncTable};
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::model::{NodeId, NodeStatus, Partition, RebalanceTrigger, Topology};
use crate::state::{Command, Grant, Reply, Response};

/// Nodes that join within this time of each other are planned for together.
const GATHER: Duration = Duration::from_millis(15);
/// A node that is still catching up is waited for no longer than this.
const WAIT_FOR_JOINING: Duration = Duration::from_millis(250);
/// How long one proposal may take.
const PROPOSE: Duration = Duration::from_secs(5);
/// How many partitions one command may name: keeps entries small.
const BATCH: usize = 4096;
/// The pause after a proposal that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs on every node; acts where the leader is.
pub(crate) struct Controller {
    me: NodeId,
    replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    leadership: Arc<Leadership>,
    syncs: Arc<SyncTable>,
    /// What the last plan was made on.
    planned: Mutex<Planned>,
}

#[derive(Default)]
struct Planned {
    epoch: u64,
    revision: u64,
    active: BTreeSet<NodeId>,
    members: Vec<Member>,
    /// Since when the topology has differed from what was planned on.
    stale_since: Option<Instant>,
}

/// What of a member a plan depends on.
type Member = (NodeId, NodeStatus, u32, Option<String>);

impl Controller {
    pub(crate) fn new(
        me: NodeId,
        replica: Arc<Replica>,
        proposer: Arc<Proposer>,
        leadership: Arc<Leadership>,
        syncs: Arc<SyncTable>,
    ) -> Self {
        Controller {
            me,
            replica,
            proposer,
            leadership,
            syncs,
            planned: Mutex::default(),
        }
    }

    /// Runs until its task is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let topology_seen = self.replica.changed().count();
            let leadership_seen = self.leadership.changed().count();
            let syncs_seen = self.syncs.changed().count();
            let again = match self.leadership.epoch() {
                Some(epoch) => match self.step(epoch).await {
                    Ok(wait) => wait,
                    // Stale plans and lost leadership are the normal course of things: look again.
                    Err(error) if error.code() == ErrorCode::Stopped => return,
                    Err(_) => Some(PAUSE),
                },
                None => None,
            };
            let something = async {
                tokio::select! {
                    biased;
                    _ = self.replica.changed().after(topology_seen) => {}
                    _ = self.leadership.changed().after(leadership_seen) => {}
                    _ = self.syncs.changed().after(syncs_seen) => {}
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
        if self.carry_on(&topology).await? {
            return Ok(None);
        }
        self.plan_when_due(epoch, &topology, revision).await
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

    /// Releases and grants what is due. True when something was.
    async fn carry_on(&self, topology: &Topology) -> Result<bool> {
        let mut releases = Vec::new();
        let mut grants = Vec::new();
        for partition in &topology.partitions {
            if partition.primary.is_some() {
                if let Some(target) = &partition.target
                    && partition.primary.as_ref() != Some(&target.primary)
                    && may_lead(topology, partition, &target.primary)
                {
                    releases.push((partition.number, partition.epoch));
                }
            } else if self.is_free(topology, partition)
                && let Some(to) = heir(topology, partition)
            {
                grants.push(Grant {
                    number: partition.number,
                    epoch: partition.epoch,
                    to,
                });
            }
        }
        // Grants first: there a partition is waiting without a primary.
        for batch in grants.chunks(BATCH) {
            self.propose(Command::Grant {
                grants: batch.to_vec(),
            })
            .await?;
        }
        for batch in releases.chunks(BATCH) {
            self.propose(Command::Release {
                partitions: batch.to_vec(),
            })
            .await?;
        }
        Ok(!grants.is_empty() || !releases.is_empty())
    }

    /// True when nobody can think any more that it is primary: the last holder has applied its release, or is
    /// known to be gone.
    fn is_free(&self, topology: &Topology, partition: &Partition) -> bool {
        let Some((holder, revision)) = &partition.released else {
            return true;
        };
        let Some(node) = topology.nodes.get(holder) else {
            return true;
        };
        if !node.status.is_up() {
            return true;
        }
        if *holder == self.me {
            return self.replica.revision() >= *revision;
        }
        self.syncs
            .applied(holder, node.incarnation)
            .is_some_and(|applied| applied >= *revision)
    }

    async fn plan_when_due(
        &self,
        epoch: u64,
        topology: &Topology,
        revision: u64,
    ) -> Result<Option<Duration>> {
        let joining = topology
            .nodes
            .values()
            .any(|node| node.status == NodeStatus::Joining);
        {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            if planned.epoch != epoch {
                *planned = Planned {
                    epoch,
                    active: active(topology),
                    ..Planned::default()
                };
            }
            // While partitions move, every step changes the topology, and none of them changes the plan.
            let moving = topology
                .partitions
                .iter()
                .any(|partition| partition.target.is_some());
            if planned.revision == revision || (moving && planned.members == members(topology)) {
                return Ok(None);
            }
            let since = *planned.stale_since.get_or_insert_with(Instant::now);
            let patience = if joining { WAIT_FOR_JOINING } else { GATHER };
            let waited = since.elapsed();
            if waited < patience {
                return Ok(Some(patience.saturating_sub(waited)));
            }
        }
        let (trigger, node) = self.reason(topology);
        self.plan(topology, revision, trigger, node).await?;
        Ok(None)
    }

    /// Why partitions move, judged by who is here now and was not at the last plan, or the other way round.
    fn reason(&self, topology: &Topology) -> (RebalanceTrigger, NodeId) {
        let now = active(topology);
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
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
        trigger: RebalanceTrigger,
        trigger_node: NodeId,
    ) -> Result<usize> {
        let snapshot = topology.clone();
        let targets = match env::blocking(move || plan::rebalance(&snapshot)).await {
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
                    trigger_node,
                    targets,
                    planned_on,
                })
                .await?;
            if let Reply::Partitions(count) = response.result? {
                moved = count;
                covers = response.revision;
            }
        }
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.revision = covers;
        planned.active = active(topology);
        planned.members = members(topology);
        planned.stale_since = None;
        Ok(moved)
    }

    /// Plans now, because somebody asked. Gives how many partitions move.
    pub(crate) async fn rebalance_now(&self) -> Result<(u64, usize)> {
        let (topology, revision) = {
            let state = self.replica.state();
            (state.topology().clone(), state.topology_revision())
        };
        let moved = self
            .plan(&topology, revision, RebalanceTrigger::Manual, "".into())
            .await?;
        Ok((self.replica.revision(), moved))
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

fn active(topology: &Topology) -> BTreeSet<NodeId> {
    let nodes = topology
        .nodes
        .values()
        .filter(|node| node.status == NodeStatus::Active);
    nodes.map(|node| node.id.clone()).collect()
}

fn members(topology: &Topology) -> Vec<Member> {
    let nodes = topology.nodes.values();
    nodes
        .map(|node| (node.id.clone(), node.status, node.weight, node.zone.clone()))
        .collect()
}

fn may_lead(topology: &Topology, partition: &Partition, node: &str) -> bool {
    partition.is_synced(node)
        && topology
            .nodes
            .get(node)
            .is_some_and(|node| node.status.is_serving())
}

/// Who gets a partition that nobody leads: its target, or else the first live holder of the data.
fn heir(topology: &Topology, partition: &Partition) -> Option<NodeId> {
    let target = partition.target.as_ref().map(|target| &target.primary);
    target
        .into_iter()
        .chain(partition.synced())
        .find(|node| may_lead(topology, partition, node))
        .cloned()
}
