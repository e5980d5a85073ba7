//! What is under way, and what it waits for.

use serde::{Deserialize, Serialize};

use super::controller::Controller;
use crate::env::{self, Instant};
use crate::membership::SyncReport;
use crate::model::{
    AvoidedCopy, AwayNode, CopyState, Migration, MigrationState, NodeId, Partition, RebalanceStatus,
    Timestamp, Topology, partition_id,
};
use crate::state::State;

/// How many migrations one answer lists.
const LISTED: usize = 1000;

/// What a node says of a copy that it does not get made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyReport {
    pub(crate) number: u32,
    /// The revision that told it to copy.
    pub(crate) since: u64,
    /// How often its hook has failed.
    pub(crate) attempts: u32,
    /// Why it failed last.
    pub(crate) error: String,
}

impl Controller {
    /// Notes what a member said of its copies.
    pub(crate) fn note_copies(&self, report: &SyncReport) {
        let mut reports = self.reports();
        if report.copies.is_empty() {
            reports.remove(&report.node);
        } else {
            reports.insert(report.node.clone(), report.copies.clone());
        }
    }

    /// What moves, and what moves wait for, as this leader knows.
    pub(crate) fn status(&self) -> RebalanceStatus {
        let mut status = local(&self.me, &self.replica.state());
        if !self.leadership.is_leader() {
            return status;
        }
        status.from_leader = true;
        let topology = self.replica.topology();
        let reports = self.reports();
        let planned = self.planned();
        for migration in &mut status.migrations {
            let pair = (migration.number, migration.to.clone());
            migration.since = planned.stalled.seen_at(&pair).map(at);
            let told = topology
                .partitions
                .get(migration.number as usize)
                .and_then(|p| p.copy(&migration.to))
                .map(|copy| copy.since);
            let report = reports.get(&migration.to).and_then(|reports| {
                let mut reports = reports.iter();
                reports.find(|report| report.number == migration.number && Some(report.since) == told)
            });
            if let Some(report) = report {
                migration.attempts = report.attempts;
                if migration.state == MigrationState::Copying {
                    migration.state = MigrationState::Retrying;
                    migration.reason.clone_from(&report.error);
                }
            }
        }
        for away in &mut status.away {
            if let Some((since, total)) = planned.absences.of(&away.node, Instant::now()) {
                away.since = at(since);
                let before = total.saturating_sub(since.elapsed());
                let delay = self.pace.rebalance_delay.saturating_sub(before);
                away.replaced_after = Some(away.since.after(delay));
            }
        }
        status.avoided = planned
            .stalled
            .avoided()
            .map(|((number, node), avoided)| AvoidedCopy {
                partition_id: partition_id(*number),
                number: *number,
                node: node.clone(),
                times: avoided.times,
                until: env::wall_now().after(avoided.until.since(Instant::now())),
            })
            .collect();
        status
    }
}

/// The same as far as the state tells: that is what every node knows.
pub(crate) fn local(me: &NodeId, state: &State) -> RebalanceStatus {
    let topology = state.topology();
    let mut migrations: Vec<Migration> = Vec::new();
    for partition in &topology.partitions {
        migrations_of(topology, partition, &mut migrations);
    }
    // What is under way first.
    migrations.sort_by_key(|migration| migration.state == MigrationState::Queued);
    let migrations_total = migrations.len();
    migrations.truncate(LISTED);
    let run = state.rebalance();
    let moving = topology.partitions.iter().filter(|p| p.target.is_some()).count();
    let partitions_to_move = run.map_or(0, |run| run.partitions_to_move);
    let away = topology.nodes.values().filter(|node| !node.status.is_up());
    RebalanceStatus {
        answered_by: me.clone(),
        from_leader: false,
        revision: state.revision(),
        running: run.is_some(),
        trigger: run.map(|run| run.trigger),
        trigger_node_id: run.map_or_else(|| "".into(), |run| run.trigger_node.clone()),
        started_at: run.map(|run| run.started_at),
        partitions_to_move,
        moved: partitions_to_move.saturating_sub(moving),
        maintenance: topology.maintenance.clone(),
        migrations,
        migrations_total,
        away: away
            .map(|node| AwayNode {
                node: node.id.clone(),
                since: node.last_seen,
                replaced_after: None,
            })
            .collect(),
        avoided: Vec::new(),
    }
}

fn migrations_of(topology: &Topology, partition: &Partition, migrations: &mut Vec<Migration>) {
    let serves = |id: &NodeId| topology.nodes.get(id).is_some_and(|n| n.status.is_serving());
    let wanted = partition.target.iter().flat_map(|target| &target.nodes);
    let queued = wanted.filter(|node| partition.copy(node).is_none());
    let started: Vec<&NodeId> = partition.pending().filter(|node| serves(node)).collect();
    let mut add = |from: Vec<NodeId>, to: &NodeId, state: MigrationState, reason: String| {
        migrations.push(Migration {
            partition_id: partition_id(partition.number),
            number: partition.number,
            from,
            to: to.clone(),
            state,
            since: None,
            attempts: 0,
            reason,
        });
    };
    let sources: Vec<NodeId> = partition.synced().filter(|node| serves(node)).cloned().collect();
    for node in started {
        if sources.is_empty() {
            let reason = "no node that is up has the data".to_owned();
            add(Vec::new(), node, MigrationState::NoSource, reason);
        } else {
            add(sources.clone(), node, MigrationState::Copying, String::new());
        }
    }
    for node in queued {
        let reason = format!("node {node} makes as many copies as it may at a time");
        add(sources.clone(), node, MigrationState::Queued, reason);
    }
    if let Some(target) = &partition.target
        && partition.primary.as_ref() != Some(&target.primary)
        && partition.copy(&target.primary).map(|copy| copy.state) == Some(CopyState::Synced)
    {
        let released = partition.released.as_ref().map(|(holder, _)| holder);
        let reason = match (released, &partition.primary) {
            (Some(holder), _) => {
                format!("until node {holder} has said that it is primary no more, or its lease has run out")
            }
            (None, Some(holder)) => format!("node {holder} is about to be told that it is primary no more"),
            (None, None) => String::new(),
        };
        let from = released.or(partition.primary.as_ref());
        let from = from.cloned().into_iter().collect();
        add(from, &target.primary, MigrationState::HandingOver, reason);
    }
}

/// A moment of this machine's clock as wall time.
fn at(moment: Instant) -> Timestamp {
    env::wall_now().before(moment.elapsed())
}
