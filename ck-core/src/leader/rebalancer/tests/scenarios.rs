//! Scenarios of the rebalancer as scripts (`testdata/rebalancer`): its decisions, carried out on the replicated state.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::env::Instant;
use crate::env::testing::ManualClock;
use crate::leader::RebalancePolicy;
use crate::leader::rebalancer::handovers::{Handovers, successor};
use crate::leader::rebalancer::plan::{creation, promotions, rebalance};
use crate::leader::rebalancer::plan_state::{PlanState, active, members};
use crate::model::{LeaveReason, NodeId, NodeStatus, RebalanceTrigger, Target, Topology};
use crate::scenarios::{Word, duration, holders, list, run_scripts};
use crate::state::tests::scenarios::{Cluster, Output};
use crate::state::{Command, CopyLimit, Grant};

#[test]
fn scenarios() {
    run_scripts("rebalancer", Scene::new);
}

/// What a script may say besides the commands of a cluster.
#[derive(goldenscript::Command)]
enum RebalancerCommand {
    /// Time passes.
    #[command(name = "advance")]
    Advance { time: humantime::Duration },
    /// The limits and delays of migrations; what is not named stays as it is.
    #[command(name = "policy")]
    Policy {
        #[arg(key = "rebalance-delay")]
        rebalance_delay: Option<humantime::Duration>,
        #[arg(key = "migration-timeout")]
        migration_timeout: Option<humantime::Duration>,
        #[arg(key = "node-limit")]
        node_limit: Option<u32>,
        #[arg(key = "cluster-limit")]
        cluster_limit: Option<u32>,
    },
    /// The planner places all partitions for the first time.
    #[command(name = "place")]
    Place,
    /// A member is failed; the leader names the successors. None of them is a node in `avoid`, as in `b/c`.
    #[command(name = "mark-down")]
    MarkDown {
        node: String,
        #[arg(key, optional)]
        avoid: String,
    },
    /// A member stops; the leader names the successors.
    #[command(name = "stop")]
    Stop { node: String },
    /// How long the leader waits for further nodes before it plans.
    #[command(name = "debounce")]
    Debounce,
    /// The members that are away for longer than the rebalance delay.
    #[command(name = "absences")]
    Absences,
    /// The leader plans and commits the plan.
    #[command(name = "plan")]
    Plan {
        #[arg(key)]
        trigger: Option<Word<RebalanceTrigger>>,
        #[arg(key, optional)]
        node: String,
        /// Only prints the plan.
        #[arg(key = "dry-run", optional)]
        dry_run: bool,
    },
    /// The leader releases and grants the roles that are due. Every holder is taken to have applied its release.
    #[command(name = "handovers")]
    Handovers,
    /// The leader looks at the copies that are pending, and abandons those that take too long.
    #[command(name = "copy-watchdog")]
    CopyWatchdog,
    /// Prints how many copies and primaries each node has.
    #[command(name = "shares")]
    Shares,
    #[command(other)]
    Cluster(goldenscript::Command),
}

struct Scene {
    clock: ManualClock,
    cluster: Cluster,
    policy: RebalancePolicy,
    plan_state: PlanState,
    handovers: Handovers,
}

impl goldenscript::Runner for Scene {
    type Command = RebalancerCommand;

    fn run(&mut self, command: &RebalancerCommand, _: &goldenscript::Context) -> Output {
        use RebalancerCommand as C;
        match command {
            C::Advance { time } => {
                self.clock.advance(**time);
                self.cluster.advance(**time);
                Ok(format!("at {}", duration(self.clock.since_start(Instant::now()))))
            }
            C::Policy {
                rebalance_delay,
                migration_timeout,
                node_limit,
                cluster_limit,
            } => {
                let policy = &mut self.policy;
                policy.rebalance_delay = rebalance_delay.map_or(policy.rebalance_delay, |delay| *delay);
                policy.migration_timeout =
                    migration_timeout.map_or(policy.migration_timeout, |timeout| *timeout);
                policy.limit.node = node_limit.unwrap_or(policy.limit.node);
                policy.limit.cluster = cluster_limit.unwrap_or(policy.limit.cluster);
                Ok(String::new())
            }
            C::Place => self.place(),
            C::MarkDown { node, avoid } => self.mark_down(node, avoid, LeaveReason::HealthCheckFailure),
            C::Stop { node } => self.mark_down(node, "", LeaveReason::GracefulShutdown),
            C::Debounce => {
                let topology = self.cluster.topology();
                let joining = |topology: &Topology| {
                    let mut nodes = topology.nodes.values();
                    nodes.any(|node| node.status == NodeStatus::Joining)
                };
                let wait = self
                    .plan_state
                    .debounce(topology, joining(topology), Instant::now());
                Ok(match wait.is_zero() {
                    true => "plan now".to_owned(),
                    false => format!("wait {wait:?}"),
                })
            }
            C::Absences => {
                let (given_up, due) = self
                    .plan_state
                    .avoid_after_failure(self.cluster.topology(), self.policy.rebalance_delay);
                let due = due.map(|due| format!(", look again in {due:?}"));
                Ok(format!(
                    "away for too long: {}{}",
                    list(given_up, " "),
                    due.unwrap_or_default()
                ))
            }
            C::Plan {
                trigger,
                node,
                dry_run,
            } => {
                let trigger = trigger.as_ref().map_or(RebalanceTrigger::Manual, |word| word.0);
                self.plan(trigger, node, *dry_run)
            }
            C::Handovers => self.hand_over(),
            C::CopyWatchdog => self.watch_copies(),
            C::Shares => Ok(shares(self.cluster.topology())),
            C::Cluster(command) => self.cluster.carry_out_raw(command),
        }
    }
}

impl Scene {
    fn new() -> Self {
        Scene {
            clock: ManualClock::new(),
            cluster: Cluster::default(),
            policy: RebalancePolicy {
                rebalance_delay: std::time::Duration::from_secs(10),
                migration_timeout: std::time::Duration::from_secs(300),
                limit: CopyLimit::default(),
            },
            plan_state: PlanState::default(),
            handovers: Handovers::default(),
        }
    }

    fn place(&mut self) -> Output {
        let assignments = creation(self.cluster.topology());
        let mut output = String::new();
        for (number, target) in assignments.iter().enumerate() {
            writeln!(output, "place {number}: {}", holders(target))?;
        }
        let planned_on = self.cluster.state().topology_revision();
        self.plan_state.active = active(self.cluster.topology());
        self.cluster.propose(Command::CreatePartitions {
            assignments,
            planned_on,
        })?;
        Ok(output)
    }

    fn mark_down(&mut self, node: &str, avoid: &str, reason: LeaveReason) -> Output {
        let avoided: Vec<NodeId> = avoid.split('/').map(NodeId::from).collect();
        let successors = promotions(self.cluster.topology(), node, &avoided);
        let down = self.cluster.mark_down(node, reason, successors);
        self.cluster.propose(down)
    }

    /// As the leader plans: without the members and the pairs that it has given up for now.
    fn plan(&mut self, trigger: RebalanceTrigger, node: &str, dry_run: bool) -> Output {
        let topology = self.cluster.topology().clone();
        let exclusions = self.plan_state.exclusions(&topology, self.policy.rebalance_delay);
        let targets = rebalance(&topology, &exclusions);
        let mut output = String::new();
        let (mut copies, mut primaries) = (0, 0);
        for (number, target) in &targets {
            let partition = &topology.partitions[*number as usize];
            let present = Target {
                nodes: partition.copies.iter().map(|copy| copy.node.clone()).collect(),
                primary: partition.primary.clone().unwrap_or_else(|| "none".into()),
            };
            writeln!(
                output,
                "target {number}: {} -> {}",
                holders(&present),
                holders(target)
            )?;
            copies += target
                .nodes
                .iter()
                .filter(|id| !present.nodes.contains(id))
                .count();
            primaries += usize::from(target.primary != present.primary);
        }
        writeln!(
            output,
            "copies to make: {copies}, primaries to change: {primaries}"
        )?;
        if dry_run {
            return Ok(output);
        }
        let planned_on = self.cluster.state().topology_revision();
        output += &self.cluster.propose(Command::Plan {
            trigger,
            trigger_node: node.into(),
            targets,
            planned_on,
            limit: self.policy.limit,
        })?;
        self.plan_state.active = active(&topology);
        self.plan_state.members = members(&topology);
        self.plan_state.stale_since = None;
        self.plan_state.given_up = exclusions.given_up;
        Ok(output)
    }

    fn hand_over(&mut self) -> Output {
        let topology = self.cluster.topology().clone();
        let (mut grants, mut releases) = (Vec::new(), Vec::new());
        for partition in self.handovers.due(&topology) {
            if partition.primary.is_some() {
                releases.push((partition.number, partition.epoch));
            } else if let Some(to) = successor(&topology, &partition) {
                grants.push(Grant {
                    number: partition.number,
                    epoch: partition.epoch,
                    to,
                });
            }
        }
        let mut output = format!(
            "release: {}, grant: {}\n",
            list(releases.iter().map(|(number, _)| number), " "),
            list(
                grants
                    .iter()
                    .map(|grant| format!("{} to {}", grant.number, grant.to)),
                ", "
            )
        );
        if !grants.is_empty() {
            output += &self.cluster.propose(Command::Grant { grants })?;
        }
        if !releases.is_empty() {
            output += &self.cluster.propose(Command::Release { partitions: releases })?;
        }
        Ok(output)
    }

    fn watch_copies(&mut self) -> Output {
        let timeout = self.policy.migration_timeout;
        let mut output = String::new();
        let mut free = false;
        let again = loop {
            let watchdog = &mut self.plan_state.watchdog;
            let overdue = watchdog.tick(self.cluster.topology(), timeout, Instant::now());
            free |= overdue.free;
            if overdue.copies.is_empty() {
                break overdue.again;
            }
            let copies = overdue.copies.clone();
            output += &self.cluster.propose(Command::AbandonCopies { copies })?;
            for (number, node, _) in overdue.copies {
                let watchdog = &mut self.plan_state.watchdog;
                watchdog.avoid((number, node), timeout, Instant::now());
            }
            // The change of the topology makes the leader look again at once.
        };
        for ((number, node), avoided) in self.plan_state.watchdog.avoided() {
            let until = self.clock.since_start(avoided.until);
            writeln!(
                output,
                "avoid partition {number} on {node} until {}, times={}",
                duration(until),
                avoided.times
            )?;
        }
        for node in self.plan_state.watchdog.failing() {
            writeln!(output, "give {node} no new copies")?;
        }
        if free {
            writeln!(output, "plan again: a pair is avoided no longer")?;
        }
        match again {
            Some(again) => writeln!(output, "look again in {}", duration(again))?,
            None => writeln!(output, "nothing to watch")?,
        }
        Ok(output)
    }
}

/// How many copies and primaries each node has.
fn shares(topology: &Topology) -> String {
    let mut shares: BTreeMap<&str, (u32, u32)> = topology.nodes.keys().map(|id| (&**id, (0, 0))).collect();
    for partition in &topology.partitions {
        for copy in &partition.copies {
            shares.entry(&copy.node).or_default().0 += 1;
        }
        if let Some(primary) = &partition.primary {
            shares.entry(primary).or_default().1 += 1;
        }
    }
    let lines = shares
        .iter()
        .map(|(node, (copies, primaries))| format!("{node}: copies={copies} primaries={primaries}\n"));
    lines.collect()
}
