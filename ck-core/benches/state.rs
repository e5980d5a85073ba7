//! What applying costs: the applier does nothing else meanwhile, so every other write waits for it.
//!
//! The state is cloned before each measured command, as it is in a node, where the views that routing reads
//! share it: so the numbers contain the copy that the first change makes of the shared parts.

#![allow(
    clippy::panic,
    reason = "a bench that proposes what cannot be done measures nothing"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use clusterkit::model::{
    ClusterConfig, Event, EventKind, LeaveReason, NodeId, RebalanceTrigger, RoleChange, Target, Timestamp,
};
use clusterkit::routing::{ClusterView, SharedView};
use clusterkit::state::{Command, CopyLimit, Expect, Grant, NodeSpec, Promotion, Proposal, Reply, State};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PARTITIONS: u32 = 16_384;

fn proposal(command: Command) -> Proposal {
    Proposal::without_session(command, Timestamp::from_millis(1))
}

fn apply(state: &mut State, command: Command) -> Reply {
    apply_proposal(state, &proposal(command), &mut Vec::new())
}

fn apply_proposal(state: &mut State, proposal: &Proposal, events: &mut Vec<Event>) -> Reply {
    let index = state.revision() + 1;
    match state.apply(index, proposal, events).result {
        Ok(reply) => reply,
        Err(error) => panic!("the bench proposes only what can be done: {error}"),
    }
}

fn name(number: u32) -> NodeId {
    format!("node-{number:04}").into()
}

fn spec(number: u32) -> NodeSpec {
    NodeSpec {
        id: name(number),
        name: String::new(),
        ip: format!("10.0.0.{number}:8080"),
        port: 8080,
        peer_addr: format!("10.0.0.{number}:8080"),
        services: BTreeMap::new(),
        zone: None,
        weight: 100,
        labels: BTreeMap::new(),
        process: 1,
        raft_id: None,
    }
}

/// On three nodes from `first` on, the first of which is primary.
fn target(first: u32, nodes: u32) -> Target {
    let mut held: Vec<NodeId> = (0..3).map(|i| name((first + i) % nodes)).collect();
    held.sort();
    Target {
        nodes: held,
        primary: name(first % nodes),
    }
}

fn cluster(nodes: u32) -> State {
    cluster_of(nodes, PARTITIONS)
}

fn cluster_of(nodes: u32, partitions: u32) -> State {
    let mut state = State::default();
    let config = ClusterConfig {
        cluster_name: "bench".to_owned(),
        partition_count: partitions,
        replication_factor: 3,
        ..ClusterConfig::default()
    };
    apply(
        &mut state,
        Command::Bootstrap {
            cluster_id: "bench".to_owned(),
            config,
            node: spec(0),
        },
    );
    for number in 1..nodes {
        let planned_on = state.topology_revision();
        apply(
            &mut state,
            Command::Join {
                node: spec(number),
                promotions: Vec::new(),
                planned_on,
                silent_ms: 0,
                unleased_from: None,
            },
        );
        let incarnation = state.revision();
        let node = name(number);
        apply(&mut state, Command::Activate { node, incarnation });
    }
    let planned_on = state.topology_revision();
    let assignments = (0..partitions).map(|n| target(n, nodes)).collect();
    apply(
        &mut state,
        Command::CreatePartitions {
            assignments,
            planned_on,
        },
    );
    state
}

/// Adds node 0 to each of the partitions, which makes it the one that has everything to confirm.
fn plan_for_all(state: &State) -> Command {
    let targets = state.topology().partitions.iter().map(|partition| {
        let mut nodes: Vec<NodeId> = partition.synced().cloned().collect();
        nodes.push(name(0));
        nodes.sort();
        nodes.dedup();
        let primary = partition.primary.clone().unwrap_or_else(|| name(0));
        (partition.number, Target { nodes, primary })
    });
    Command::Plan {
        limit: CopyLimit::default(),
        trigger: RebalanceTrigger::Manual,
        trigger_node: "".into(),
        targets: targets.collect(),
        planned_on: state.topology_revision(),
    }
}

/// The first partitions go to three other nodes each: 49 are a node's share of 1000.
fn plan_to_elsewhere(state: &State, nodes: u32, partitions: u32) -> Command {
    Command::Plan {
        limit: CopyLimit::default(),
        trigger: RebalanceTrigger::Manual,
        trigger_node: "".into(),
        targets: (0..partitions).map(|n| (n, target(n + 500, nodes))).collect(),
        planned_on: state.topology_revision(),
    }
}

fn confirm_all(state: &State) -> Command {
    let me = name(0);
    let pending = state.topology().partitions.iter().filter_map(|partition| {
        let copy = partition.copy(&me)?;
        (!partition.is_synced(&me)).then_some((partition.number, copy.since))
    });
    Command::Confirm {
        partitions: pending.collect(),
        incarnation: state.node(&me).map_or(0, |node| node.incarnation),
        node: me,
        at_once: false,
    }
}

fn fail_first(state: &State) -> Command {
    let me = name(0);
    let led = state.topology().partitions.iter();
    let promotions = led.filter(|p| p.primary.as_ref() == Some(&me)).filter_map(|p| {
        let to = p.synced().find(|node| **node != me)?.clone();
        Some(Promotion { number: p.number, to })
    });
    Command::MarkDown {
        promotions: promotions.collect(),
        incarnation: state.node(&me).map_or(0, |node| node.incarnation),
        node: me,
        reason: LeaveReason::HealthCheckFailure,
        planned_on: state.topology_revision(),
        silent_ms: 0,
        unleased_from: None,
    }
}

fn one(criterion: &mut Criterion, name: &str, state: &State, command: &Command) {
    let proposal = proposal(command.clone());
    criterion.bench_function(name, |bencher| {
        bencher.iter_batched_ref(
            || (state.clone(), Vec::new()),
            |(state, events)| apply_proposal(state, &proposal, events),
            BatchSize::PerIteration,
        );
    });
}

fn commands(criterion: &mut Criterion) {
    let thousand = cluster(1000);
    let plan = plan_for_all(&thousand);
    one(criterion, "plan 16384x1000, one copy each", &thousand, &plan);
    let share = plan_to_elsewhere(&thousand, 1000, 49);
    one(criterion, "plan 16384x1000, 49 partitions", &thousand, &share);
    let elsewhere = plan_to_elsewhere(&thousand, 1000, PARTITIONS);
    one(
        criterion,
        "plan 16384x1000, three copies each",
        &thousand,
        &elsewhere,
    );
    let mut planned = thousand.clone();
    apply(&mut planned, plan);
    let confirm = confirm_all(&planned);
    one(
        criterion,
        "confirm 16384x1000, all by one node",
        &planned,
        &confirm,
    );
    let failure = fail_first(&thousand);
    one(criterion, "failover 16384x1000", &thousand, &failure);
    let three = cluster(3);
    let failure = fail_first(&three);
    one(criterion, "failover 16384x3", &three, &failure);
}

/// A plan of which one node copies everything, four at a time, and confirms one by one, from its beginning to its end:
/// the time for twice as many partitions is to be twice as long.
fn throttled(criterion: &mut Criterion) {
    let state = cluster(10);
    let mut group = criterion.benchmark_group("plan 16384x10, confirmed one by one");
    for count in [1024, 2048, 4096] {
        let Command::Plan {
            mut targets,
            trigger,
            trigger_node,
            planned_on,
            ..
        } = plan_for_all(&state)
        else {
            panic!("a plan is a plan");
        };
        targets.retain(|(_, target)| target.nodes.len() > 3);
        targets.truncate(count);
        let plan = Command::Plan {
            limit: CopyLimit { node: 4, cluster: 0 },
            trigger,
            trigger_node,
            targets,
            planned_on,
        };
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} partitions"), |bencher| {
            bencher.iter_batched_ref(
                || state.clone(),
                |state| {
                    let mut events = Vec::new();
                    apply_proposal(state, &proposal(plan.clone()), &mut events);
                    while state.rebalance().is_some() {
                        let told = std::mem::take(&mut events);
                        confirm_each(state, &told, &mut events);
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
}

/// Node 0 confirms each copy that it was told to make.
fn confirm_each(state: &mut State, told: &[Event], events: &mut Vec<Event>) {
    let me = name(0);
    let incarnation = state.node(&me).map_or(0, |node| node.incarnation);
    for event in told {
        let EventKind::PartitionChange(change) = &event.kind else {
            continue;
        };
        if change.node_id == me && change.change == RoleChange::GainedReplica {
            let confirm = Command::Confirm {
                node: me.clone(),
                incarnation,
                partitions: vec![(change.number, event.revision)],
                at_once: false,
            };
            apply_proposal(state, &proposal(confirm), events);
        }
    }
}

fn set_data(criterion: &mut Criterion) {
    let mut state = cluster(3);
    let session = state.revision() - 2;
    let mut seq = 0;
    let mut group = criterion.benchmark_group("data");
    group.throughput(Throughput::Elements(1));
    group.bench_function("set 100 bytes, 1000 keys", |bencher| {
        bencher.iter(|| {
            seq += 1;
            let proposal = Proposal {
                session,
                seq,
                low: seq.saturating_sub(64),
                epoch: None,
                at: Timestamp::from_millis(seq),
                command: Command::SetData {
                    key: format!("key-{}", seq % 1000),
                    value: vec![7; 100].into(),
                    expect: Expect::Any,
                },
            };
            let index = state.revision() + 1;
            assert!(state.apply(index, &proposal, &mut Vec::new()).result.is_ok());
        });
    });
}

/// What a node does for each commit: applying and a new view. It is to cost the same whatever the number of partitions.
fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a commit and its view");
    for partitions in [64, 8192, 65_536] {
        let mut state = cluster_of(4, partitions);
        let view = ClusterView::new(state.topology().clone(), state.revision(), &name(0));
        let shared = SharedView::new(view);
        let mut commit = |command: Command| {
            apply(&mut state, command);
            let next = shared.load().updated(state.topology(), state.revision());
            shared.store(next);
            state.topology_revision()
        };
        group.bench_function(format!("data write, {partitions} partitions"), |bencher| {
            bencher.iter(|| {
                commit(Command::SetData {
                    key: "key".to_owned(),
                    value: vec![7; 100].into(),
                    expect: Expect::Any,
                })
            });
        });
        let mut planned_on = commit(Command::Maintenance { reason: None });
        let (mut epoch, mut turn) = (1, 0);
        let number = partitions / 2;
        let what = format!("a role handed over in three commits, {partitions} partitions");
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                turn += 1;
                let mut target = target(number, 4);
                let to = name((number + turn % 3) % 4);
                target.primary = to.clone();
                commit(Command::Plan {
                    trigger: RebalanceTrigger::Manual,
                    trigger_node: "".into(),
                    targets: vec![(number, target)],
                    planned_on,
                    limit: CopyLimit::default(),
                });
                commit(Command::Release {
                    partitions: vec![(number, epoch)],
                });
                planned_on = commit(Command::Grant {
                    grants: vec![Grant { number, epoch, to }],
                });
                epoch += 1;
            });
        });
    }
}

fn snapshot(criterion: &mut Criterion) {
    let state = cluster(1000);
    let Ok(bytes) = state.encode() else {
        panic!("every state can be encoded");
    };
    let mut group = criterion.benchmark_group("snapshot 16384x1000");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| state.encode()));
    group.bench_function("decode", |bencher| bencher.iter(|| State::decode(&bytes)));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots();
    targets = set_data, commits, commands, throttled, snapshot
}
criterion_main!(benches);
