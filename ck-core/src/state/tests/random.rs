//! Random logs: each step is a number, and becomes a command that fits the present state, or an invalid one.

use super::harness::{Harness, bootstrap, spec};
use crate::model::{
    CopyState, LeaveReason, NodeHealthState, NodeId, NodeStatus, RebalanceTrigger, Target, Timestamp,
};
use crate::state::{Command, Expect, Grant, Promotion, Proposal};

const NODE_IDS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// A small random generator, so that one number defines a step and shrinks well.
pub(super) struct StepRng(u64);

impl StepRng {
    pub(super) fn new(seed: u64) -> Self {
        StepRng(seed)
    }

    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// Draws logs; remembers the numbers that sessions have used.
#[derive(Debug, Default)]
pub(super) struct CommandGenerator {
    seq: u64,
    processes: u64,
    term: u64,
    sent: Vec<Proposal>,
}

/// The result of a step.
pub(super) enum GeneratedStep {
    Proposal(Proposal),
    /// A proposal that was sent before, unchanged.
    Again(Proposal),
    Membership(Vec<u64>),
}

impl CommandGenerator {
    pub(super) fn draw(&mut self, harness: &Harness, step: u64) -> GeneratedStep {
        let mut rng = StepRng::new(step);
        if !self.sent.is_empty() && rng.one_in(12) {
            let recent = self.sent.len().saturating_sub(6);
            let again = self.sent[recent + rng.below(self.sent.len() - recent)].clone();
            return GeneratedStep::Again(again);
        }
        if rng.one_in(25) {
            let nodes = harness.state.topology.nodes.values();
            let voters = nodes
                .map(|node| node.raft_id)
                .filter(|_| !rng.one_in(3))
                .collect();
            return GeneratedStep::Membership(voters);
        }
        let mut command = self.command(harness, &mut rng);
        if rng.one_in(8) {
            corrupt(&mut command, &mut rng);
        }
        let proposal = self.wrap(harness, &mut rng, command);
        self.sent.push(proposal.clone());
        GeneratedStep::Proposal(proposal)
    }

    fn wrap(&mut self, harness: &Harness, rng: &mut StepRng, command: Command) -> Proposal {
        let up = harness.state.topology.nodes.values().map(|node| node.incarnation);
        let sessions: Vec<u64> = up.collect();
        let session = match (rng.below(20), rng.pick(&sessions)) {
            (0, _) => [1, 999_999][rng.below(2)],
            (1..=14, Some(session)) => *session,
            _ => 0,
        };
        self.seq += 1;
        let seq = if rng.one_in(20) {
            self.seq.saturating_sub(5)
        } else {
            self.seq
        };
        let low = match rng.below(12) {
            0 => 0,
            1 => seq + 1,
            2 if rng.one_in(10) => u64::MAX,
            _ => seq.saturating_sub(4),
        };
        let at = match rng.below(40) {
            0 => u64::MAX,
            1 => 0,
            _ => harness.log.len() as u64 * 100,
        };
        Proposal {
            session,
            seq,
            low,
            at: Timestamp::from_millis(at),
            // Decided by the present leader, by an earlier one, or under no epoch.
            epoch: match rng.below(8) {
                0 => Some(harness.state.topology.leader_epoch),
                1 => Some(harness.state.topology.leader_epoch.saturating_sub(1)),
                _ => None,
            },
            command,
        }
    }

    fn command(&mut self, harness: &Harness, rng: &mut StepRng) -> Command {
        let topology = &harness.state.topology;
        if topology.nodes.is_empty() && !rng.one_in(10) {
            let partitions = 1 + u32::try_from(rng.below(24)).unwrap();
            return bootstrap(
                NODE_IDS[rng.below(7)],
                partitions,
                1 + u32::try_from(rng.below(4)).unwrap(),
            );
        }
        let nodes: Vec<&NodeId> = topology.nodes.keys().collect();
        let of = |status: fn(NodeStatus) -> bool| -> Vec<&NodeId> {
            let nodes = topology.nodes.values().filter(|node| status(node.status));
            nodes.map(|node| &node.id).collect()
        };
        let joining = of(|status| status == NodeStatus::Joining);
        if let Some(id) = rng.pick(&joining)
            && rng.one_in(3)
        {
            return harness.activate(id);
        }
        let up = of(NodeStatus::is_up);
        let serving = of(NodeStatus::is_serving);
        if topology.partitions.is_empty() && serving.len() > 1 && rng.one_in(2) {
            let count = topology.config.partition_count;
            let rf = topology.config.replication_factor as usize;
            return Command::CreatePartitions {
                assignments: (0..count).map(|_| draw_target(&serving, rf, rng)).collect(),
                planned_on: harness.state.topology_revision(),
            };
        }
        let any = |rng: &mut StepRng, from: &[&NodeId]| {
            let anybody = NodeId::from(NODE_IDS[rng.below(NODE_IDS.len())]);
            match rng.pick(from) {
                Some(id) if !rng.one_in(8) => (*id).clone(),
                _ => anybody,
            }
        };
        let incarnation = |id: &NodeId| topology.nodes.get(id).map_or(0, |node| node.incarnation);
        match rng.below(40) {
            0..=5 => self.join(harness, rng),
            6..=8 if !up.is_empty() => {
                let reason = match rng.below(3) {
                    0 => LeaveReason::GracefulShutdown,
                    _ => LeaveReason::HealthCheckFailure,
                };
                let mut down = harness.mark_down(rng.pick(&up).map_or("", |id| id), reason);
                if let Command::MarkDown { unleased_from, .. } = &mut down {
                    // Sometimes the process had no lease of late.
                    let back = rng.below(12) as u64;
                    *unleased_from = rng
                        .one_in(2)
                        .then(|| harness.state.revision().saturating_sub(back));
                }
                down
            }
            9 => {
                let node = any(rng, &nodes);
                Command::Leave {
                    incarnation: incarnation(&node),
                    node,
                }
            }
            10 => {
                let reasons = [LeaveReason::RemovedByAdmin, LeaveReason::GracefulShutdown];
                let mut remove = harness.remove(&any(rng, &nodes), reasons[rng.below(2)]);
                if let Command::Remove {
                    keep_last,
                    planned_on,
                    ..
                } = &mut remove
                {
                    *keep_last = rng.one_in(2);
                    // Sometimes planned before the newest change.
                    *planned_on -= u64::from(rng.one_in(4) && *planned_on > 0);
                }
                remove
            }
            11 => {
                let node = any(rng, &nodes);
                let health = [
                    NodeHealthState::Healthy,
                    NodeHealthState::Degraded,
                    NodeHealthState::Failing,
                ];
                Command::ReportHealth {
                    incarnation: incarnation(&node),
                    node,
                    health: health[rng.below(3)],
                    reason: ["", "disk"][rng.below(2)].repeat(1 + rng.below(300)),
                }
            }
            12..=18 => self.plan(harness, &serving, rng),
            19..=24 if !serving.is_empty() => {
                let confirm = harness.confirm(rng.pick(&serving).map_or("", |id| id));
                match confirm {
                    Command::Confirm {
                        node,
                        incarnation,
                        mut partitions,
                        ..
                    } if !rng.one_in(3) => {
                        partitions.retain(|_| !rng.one_in(3));
                        Command::Confirm {
                            node,
                            incarnation,
                            partitions,
                            at_once: rng.one_in(3),
                        }
                    }
                    all => all,
                }
            }
            25..=28 => harness.release(),
            29..=30 => harness.grant(),
            31 if !serving.is_empty() => harness.abandon_copies(rng.pick(&serving).map_or("", |id| id)),
            32 => {
                // Vacant partitions, granted to any node and on any epoch.
                let vacant = topology.partitions.iter().filter(|p| p.primary.is_none());
                let grants = vacant.map(|p| Grant {
                    number: p.number,
                    epoch: p.epoch.saturating_sub(rng.below(2) as u64),
                    to: any(rng, &nodes),
                });
                Command::Grant {
                    grants: grants.collect(),
                }
            }
            33 => {
                // The command is late, or its term is an arbitrary later one.
                self.term += rng.below(3) as u64;
                Command::LeaderElected {
                    node: any(rng, &nodes),
                    term: self.term,
                }
            }
            34 => Command::Maintenance {
                reason: rng.one_in(2).then(|| "x".repeat(rng.below(300))),
            },
            35 => {
                // A lost partition where there is one, otherwise any.
                let lost: Vec<u32> = harness.state.lost().iter().copied().collect();
                let number = rng.pick(&lost).copied();
                let any_number = rng.below(topology.partitions.len() + 1);
                Command::Recover {
                    number: number.unwrap_or(u32::try_from(any_number).unwrap()),
                    from: any(rng, &serving),
                    force: rng.one_in(2),
                }
            }
            36 if !serving.is_empty() => {
                harness.reconfirm(rng.pick(&serving).map_or("", |id| id), rng.one_in(2))
            }
            37 => Command::Stretch {
                factor: rng.below(10) as u32,
            },
            _ => data(harness, rng),
        }
    }

    fn join(&mut self, harness: &Harness, rng: &mut StepRng) -> Command {
        let id = NODE_IDS[rng.below(NODE_IDS.len())];
        let known = harness.state.topology.nodes.get(id);
        let raft_id = match known {
            Some(known) => (!rng.one_in(3)).then_some(known.raft_id),
            None => rng.one_in(8).then_some(3),
        };
        self.processes += 1;
        let process = match harness.state.process_of(id) {
            Some(process) if rng.one_in(4) => process,
            _ => self.processes,
        };
        let mut node = spec(id, process, raft_id);
        if rng.one_in(3) {
            node.peer_addr = format!("{id}-{process}:9000");
        }
        Command::Join {
            node,
            promotions: harness.promotions(id),
            planned_on: harness.state.topology_revision(),
            silent_ms: rng.below(5_000) as u64,
            unleased_from: None,
        }
    }

    fn plan(&mut self, harness: &Harness, serving: &[&NodeId], rng: &mut StepRng) -> Command {
        let topology = &harness.state.topology;
        let rf = topology.config.replication_factor as usize;
        let mut targets = Vec::new();
        for partition in &topology.partitions {
            if serving.is_empty() || rng.one_in(2) {
                continue;
            }
            let mut target = draw_target(serving, rf, rng);
            // A holder that is away may keep its place.
            let away = partition.pending().filter(|node| !serving.contains(node));
            for node in away.filter(|_| rng.one_in(2)) {
                target.nodes.push(node.clone());
            }
            target.nodes.sort();
            target.nodes.dedup();
            targets.push((partition.number, target));
        }
        let trigger = [
            RebalanceTrigger::NodeJoin,
            RebalanceTrigger::NodeLeave,
            RebalanceTrigger::Manual,
        ];
        let mut plan = harness.plan(trigger[rng.below(3)], NODE_IDS[rng.below(7)], &targets);
        if let Command::Plan { limit, .. } = &mut plan {
            limit.node = u32::try_from(rng.below(4)).unwrap();
            limit.cluster = u32::try_from(rng.below(6)).unwrap();
        }
        plan
    }
}

fn draw_target(serving: &[&NodeId], rf: usize, rng: &mut StepRng) -> Target {
    let mut pool: Vec<NodeId> = serving.iter().map(|id| (*id).clone()).collect();
    let mut nodes = Vec::new();
    while nodes.len() < rf && !pool.is_empty() {
        nodes.push(pool.swap_remove(rng.below(pool.len())));
    }
    let primary = nodes[0].clone();
    nodes.sort();
    Target { nodes, primary }
}

fn data(harness: &Harness, rng: &mut StepRng) -> Command {
    let key = ["", "k", "key", "other"][rng.below(4)].to_owned();
    let written = harness.state.data().get(&key).map(|entry| entry.revision);
    let expect = match rng.below(4) {
        0 => Expect::Absent,
        1 => Expect::Revision(written.unwrap_or(3)),
        _ => Expect::Any,
    };
    if rng.one_in(3) {
        return Command::DeleteData { key, expect };
    }
    let value = bytes::Bytes::from(vec![b'v'; rng.below(50)]);
    match rng.below(8) {
        // For the proposal that is likely to come next, or for none.
        0 => Command::Stage {
            of: rng.below(20) as u64,
            offset: [0, value.len() as u64][rng.below(2)],
            bytes: value,
        },
        1 => Command::SetStaged {
            key,
            length: value.len() as u64,
            expect,
        },
        _ => Command::SetData { key, value, expect },
    }
}

/// Makes a command invalid in a random way.
fn corrupt(command: &mut Command, rng: &mut StepRng) {
    let huge = [0, 1, u64::MAX][rng.below(3)];
    match command {
        Command::Bootstrap { config, node, .. } => match rng.below(4) {
            0 => config.partition_count = u32::MAX,
            1 => config.replication_factor = 0,
            2 => node.id = "".into(),
            _ => node.raft_id = Some(u64::MAX),
        },
        Command::LeaderElected { term, .. } => *term = huge,
        Command::Join { planned_on, node, .. } => match rng.below(3) {
            0 => *planned_on = huge,
            1 => node.id = "".into(),
            _ => node.raft_id = Some(huge),
        },
        Command::MarkDown {
            promotions,
            planned_on,
            ..
        }
        | Command::Remove {
            promotions,
            planned_on,
            ..
        } => match rng.below(4) {
            0 => *planned_on = planned_on.saturating_sub(1),
            1 => promotions.clear(),
            2 => promotions.iter_mut().for_each(|p| p.to = NODE_IDS[0].into()),
            _ => {
                let number = u32::MAX;
                promotions.push(Promotion {
                    number,
                    to: "nobody".into(),
                });
                promotions.reverse();
            }
        },
        Command::Activate { incarnation, .. }
        | Command::Leave { incarnation, .. }
        | Command::ReportHealth { incarnation, .. } => *incarnation = huge,
        Command::CreatePartitions {
            assignments,
            planned_on,
        } => match rng.below(3) {
            0 => *planned_on = huge,
            1 => drop(assignments.pop()),
            _ => assignments[0].primary = "nobody".into(),
        },
        Command::Plan {
            targets, planned_on, ..
        } => match (rng.below(6), targets.first().cloned()) {
            (0, _) => *planned_on = huge,
            (1, Some(first)) => targets.push(first),
            (2, Some(_)) => targets[0].1.nodes.reverse(),
            (3, Some(_)) => targets[0].1.nodes.clear(),
            (4, Some(_)) => targets[0].1.nodes[0] = "nobody".into(),
            (_, Some(_)) => targets[0].0 = u32::MAX,
            (_, None) => {}
        },
        Command::Recover { number, .. } => *number = u32::MAX,
        Command::Confirm {
            incarnation,
            partitions,
            ..
        }
        | Command::Reconfirm {
            incarnation,
            partitions,
            ..
        } => match rng.below(3) {
            0 => *incarnation = huge,
            1 => partitions
                .iter_mut()
                .for_each(|(_, since)| *since = since.saturating_sub(1)),
            _ => partitions.extend((0..30).map(|number| (number, huge))),
        },
        Command::AbandonCopies { copies } => match rng.below(3) {
            0 => copies.iter_mut().for_each(|(_, _, since)| *since = huge),
            1 => copies
                .iter_mut()
                .for_each(|(_, node, _)| *node = NODE_IDS[2].into()),
            _ => copies.extend(copies.clone()),
        },
        Command::Release { partitions } => match rng.below(2) {
            0 => partitions
                .iter_mut()
                .for_each(|(_, epoch)| *epoch = epoch.saturating_sub(1)),
            _ => partitions.push((u32::MAX, huge)),
        },
        Command::Stretch { factor } => *factor = u32::MAX,
        Command::Maintenance { reason } => *reason = reason.is_none().then(String::new),
        Command::Grant { grants } => match rng.below(3) {
            0 => grants.iter_mut().for_each(|grant| grant.epoch = huge),
            1 => grants.iter_mut().for_each(|grant| grant.to = NODE_IDS[1].into()),
            _ => grants.extend(grants.clone()),
        },
        Command::SetData { key, value, expect } => match rng.below(3) {
            0 => *key = "k".repeat(2000),
            1 => *value = vec![0; 1024 * 1024 + 1].into(),
            _ => *expect = Expect::Revision(huge),
        },
        Command::DeleteData { key, .. } => *key = "k".repeat(2000),
        Command::Stage { of, offset, .. } => (*of, *offset) = (huge, huge),
        Command::SetStaged { length, .. } => *length = huge,
    }
}

/// True when `node` has no pending copy.
pub(super) fn has_nothing_pending(harness: &Harness, node: &str) -> bool {
    let mut partitions = harness.state.topology.partitions.iter();
    partitions.all(|p| p.copy(node).is_none_or(|copy| copy.state == CopyState::Synced))
}
