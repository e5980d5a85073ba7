//! The status of migrations: what is under way, and what it waits for.

use std::sync::Arc;

use super::control_loop::Rebalancer;
use crate::env::{self, Instant};
use crate::model::{
    AvoidedCopy, AwayNode, CopyState, Migration, MigrationState, NodeId, Partition, RebalanceStatus,
    Timestamp, Topology, partition_id,
};
use crate::rpc::SyncReport;
use crate::state::{RebalanceRun, State};

/// How many migrations one answer lists.
const MAX_LISTED: usize = 1000;

impl Rebalancer {
    /// Records what a member reported of its copies.
    pub(crate) fn note_copies(&self, report: &SyncReport) {
        let mut reports = self.reports();
        if report.copies.is_empty() {
            reports.remove(&report.node);
        } else {
            reports.insert(report.node.clone(), report.copies.clone());
        }
    }

    /// The migrations and what they wait for, as this leader knows.
    pub(crate) fn status(&self) -> RebalanceStatus {
        let now = RebalanceNow::of(&self.context.applied.state());
        let mut status = local(&self.context.me, &now);
        if !self.context.leadership.is_leader() {
            return status;
        }
        status.from_leader = true;
        let topology = self.context.applied.topology();
        let reports = self.reports();
        let planned = self.plan_state();
        for migration in &mut status.migrations {
            let pair = (migration.number, migration.to.clone());
            migration.since = planned.watchdog.seen_at(&pair).map(at);
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
                let delay = self.policy.rebalance_delay.saturating_sub(before);
                away.replaced_after = Some(away.since.after(delay));
            }
        }
        status.avoided = planned
            .watchdog
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

/// The part of the state that a status shows. Applying waits while the state is locked, so it is copied first and
/// evaluated without the lock.
pub(crate) struct RebalanceNow {
    topology: Arc<Topology>,
    revision: u64,
    run: Option<RebalanceRun>,
    moving: usize,
}

impl RebalanceNow {
    pub(crate) fn of(state: &State) -> Self {
        RebalanceNow {
            topology: state.topology().clone(),
            revision: state.revision(),
            run: state.rebalance().cloned(),
            moving: state.moving(),
        }
    }
}

/// The status as far as the replicated state shows it, which every node knows.
pub(crate) fn local(me: &NodeId, now: &RebalanceNow) -> RebalanceStatus {
    let RebalanceNow {
        topology,
        revision,
        run,
        moving,
    } = now;
    let run = run.as_ref();
    let mut migrations: Vec<Migration> = Vec::new();
    // A settled partition has no migrations.
    for partition in topology.partitions.unstable() {
        under_way(topology, partition, &mut migrations);
    }
    // Migrations under way come first. There may be a hundred times as many queued ones as an answer lists.
    let all_queued = || {
        topology
            .partitions
            .unstable()
            .flat_map(|p| queued(p).map(move |to| (p, to)))
    };
    let migrations_total = migrations.len() + all_queued().count();
    let room = MAX_LISTED.saturating_sub(migrations.len());
    let listed = all_queued().take(room);
    migrations.extend(listed.map(|(partition, to)| {
        let reason = format!("node {to} makes as many copies as it may at a time");
        migration(
            partition,
            (sources(topology, partition), to),
            MigrationState::Queued,
            reason,
        )
    }));
    migrations.truncate(MAX_LISTED);
    let partitions_to_move = run.map_or(0, |run| run.partitions_to_move);
    let away = topology.nodes.values().filter(|node| !node.status.is_up());
    RebalanceStatus {
        answered_by: me.clone(),
        from_leader: false,
        revision: *revision,
        running: run.is_some(),
        trigger: run.map(|run| run.trigger),
        trigger_node_id: run.map_or_else(|| "".into(), |run| run.trigger_node.clone()),
        started_at: run.map(|run| run.started_at),
        partitions_to_move,
        moved: partitions_to_move.saturating_sub(*moving),
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

/// The nodes in whose queues the partition waits.
fn queued(partition: &Partition) -> impl Iterator<Item = &NodeId> {
    let wanted = partition.target.iter().flat_map(|target| &target.nodes);
    wanted.filter(|node| partition.copy(node).is_none())
}

/// The serving nodes that have the data.
fn sources(topology: &Topology, partition: &Partition) -> Vec<NodeId> {
    let synced = partition.synced().filter(|node| topology.is_serving(node));
    synced.cloned().collect()
}

fn migration(
    partition: &Partition,
    (from, to): (Vec<NodeId>, &NodeId),
    state: MigrationState,
    reason: String,
) -> Migration {
    Migration {
        partition_id: partition_id(partition.number),
        number: partition.number,
        from,
        to: to.clone(),
        state,
        since: None,
        attempts: 0,
        reason,
    }
}

/// Adds the migrations of a partition that are under way.
fn under_way(topology: &Topology, partition: &Partition, migrations: &mut Vec<Migration>) {
    for node in partition.pending().filter(|node| topology.is_serving(node)) {
        let from = sources(topology, partition);
        let (state, reason) = if from.is_empty() {
            (
                MigrationState::NoSource,
                "no node that is up has the data".to_owned(),
            )
        } else {
            (MigrationState::Copying, String::new())
        };
        migrations.push(migration(partition, (from, node), state, reason));
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
        let state = MigrationState::HandingOver;
        migrations.push(migration(partition, (from, &target.primary), state, reason));
    }
}

/// A moment of this machine's monotonic clock as wall time.
fn at(moment: Instant) -> Timestamp {
    env::wall_now().before(moment.elapsed())
}
