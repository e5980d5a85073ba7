//! Any log keeps the invariants, gives the same state on every node, and survives encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::harness::{Harness, LogEntry};
use super::net_change;
use super::random::{CommandGenerator, GeneratedStep};
use crate::model::{Event, Topology};
use crate::state::{Command, Proposal, Response, State};

/// The outcomes of commands: a command's name, with an error code or `OK`.
type Outcomes = BTreeMap<(&'static str, &'static str), usize>;

/// Another node that applies the same log, beginning with a snapshot.
struct Follower {
    state: State,
    events: Vec<Event>,
    since: usize,
}

impl Follower {
    fn from_snapshot(harness: &Harness) -> Self {
        let bytes = harness.state.encode().unwrap();
        let state = State::decode(&bytes).unwrap();
        assert_eq!(state, harness.state, "the state is not what was written down");
        assert_eq!(state.encode().unwrap(), bytes, "equal states have equal bytes");
        Follower {
            state,
            events: Vec::new(),
            since: harness.events.len(),
        }
    }

    fn follow(&mut self, harness: &Harness, response: Option<&Response>) {
        let index = harness.log.len() as u64;
        let entry = harness.log.last().unwrap();
        let answer = entry.apply(&mut self.state, index, &mut self.events);
        assert_eq!(answer.as_ref(), response);
        assert_eq!(self.state, harness.state);
        assert_eq!(self.events, harness.events[self.since..]);
    }
}

/// The topologies that a log leads through.
pub(super) fn topologies(steps: &[u64]) -> Vec<Arc<Topology>> {
    let (mut harness, mut generator) = (Harness::default(), CommandGenerator::default());
    let mut seen = vec![harness.state.topology().clone()];
    for step in steps {
        match generator.draw(&harness, *step) {
            GeneratedStep::Membership(voters) => harness.vote(voters),
            GeneratedStep::Proposal(proposal) | GeneratedStep::Again(proposal) => {
                harness.apply(proposal);
            }
        }
        seen.push(harness.state.topology().clone());
    }
    seen
}

fn run(steps: &[u64], outcomes: &mut Outcomes) -> Harness {
    let mut harness = Harness::default();
    let mut generator = CommandGenerator::default();
    let mut answers: BTreeMap<(u64, u64), (Proposal, Response)> = BTreeMap::new();
    let mut follower = Follower::from_snapshot(&harness);
    let mut seen = vec![harness.state.topology().clone()];
    for (at, step) in steps.iter().enumerate() {
        let response = match generator.draw(&harness, *step) {
            GeneratedStep::Membership(voters) => {
                harness.vote(voters);
                None
            }
            GeneratedStep::Proposal(proposal) => {
                let name = name(&proposal.command);
                let response = harness.apply(proposal.clone());
                let outcome = match &response.result {
                    Ok(_) => "OK",
                    Err(error) => error.code().name(),
                };
                *outcomes.entry((name, outcome)).or_default() += 1;
                let id = (proposal.session, proposal.seq);
                answers.entry(id).or_insert((proposal, response.clone()));
                Some(response)
            }
            GeneratedStep::Again(proposal) => Some(retry(&mut harness, proposal, &answers)),
        };
        follower.follow(&harness, response.as_ref());
        if at % 7 == 0 {
            follower = Follower::from_snapshot(&harness);
            seen.push(harness.state.topology().clone());
        }
    }
    net_change::net_changes_lead_from_any_topology_to_the_last(&seen, &harness);
    harness
}

/// A retry of a proposal changes nothing; its answer is the first one, or a refusal.
fn retry(
    harness: &mut Harness,
    proposal: Proposal,
    answers: &BTreeMap<(u64, u64), (Proposal, Response)>,
) -> Response {
    let (before, told) = (harness.state.clone(), harness.events.len());
    let session = proposal.session;
    let (first, answer) = answers[&(session, proposal.seq)].clone();
    let response = harness.apply(proposal);
    if session == 0 {
        // Without a session a retry is a new proposal.
        return response;
    }
    if response != answer {
        assert!(
            response.result.is_err(),
            "{first:?} was carried out twice: {response:?}"
        );
    }
    let mut after = harness.state.clone();
    after.revision = before.revision;
    assert_eq!(after, before, "a retry changed something");
    assert_eq!(harness.events.len(), told);
    response
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Bootstrap { .. } => "bootstrap",
        Command::LeaderElected { .. } => "leader",
        Command::Join { .. } => "join",
        Command::Activate { .. } => "activate",
        Command::MarkDown { .. } => "down",
        Command::Leave { .. } => "leave",
        Command::Remove { .. } => "remove",
        Command::ReportHealth { .. } => "health",
        Command::Recover { .. } => "recover",
        Command::Reconfirm { .. } => "reconfirm",
        Command::CreatePartitions { .. } => "create",
        Command::Plan { .. } => "plan",
        Command::Confirm { .. } => "confirm",
        Command::Release { .. } => "release",
        Command::Grant { .. } => "grant",
        Command::Maintenance { .. } => "maintenance",
        Command::AbandonCopies { .. } => "give up",
        Command::Stretch { .. } => "stretch",
        Command::SetData { .. } => "set",
        Command::DeleteData { .. } => "delete",
        Command::Stage { .. } => "stage",
        Command::SetStaged { .. } => "set staged",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_log_keeps_the_invariants_and_replays_to_the_same(steps in prop::collection::vec(any::<u64>(), 1..160)) {
        let harness = run(&steps, &mut Outcomes::new());
        let (state, events) = harness.replay();
        prop_assert_eq!(state, harness.state);
        prop_assert_eq!(events, harness.events);
    }
}

/// The property above says nothing about commands that its logs never contain. This test checks what they contain.
#[test]
fn the_random_logs_reach_every_command_and_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut outcomes = Outcomes::new();
    let mut told = BTreeMap::new();
    for _ in 0..40 {
        let steps: Vec<u64> = (0..150).map(|_| runner.rng().random()).collect();
        let harness = run(&steps, &mut outcomes);
        for event in &harness.events {
            *told.entry(event.kind.name()).or_insert(0) += 1;
        }
        let memberships = harness
            .log
            .iter()
            .filter(|entry| matches!(entry, LogEntry::Membership(_)));
        *told.entry("membership").or_insert(0) += memberships.count();
    }
    let expected = [
        ("bootstrap", "OK INVALID_ARGUMENT"),
        ("leader", "OK CONFLICT NOT_FOUND"),
        (
            "join",
            "OK CONFLICT INVALID_ARGUMENT REMOVED WRONG_CLUSTER NOT_STARTED",
        ),
        ("activate", "OK CONFLICT"),
        ("down", "OK CONFLICT"),
        ("leave", "OK CONFLICT REFUSED"),
        ("remove", "OK CONFLICT REFUSED NOT_FOUND"),
        ("health", "OK CONFLICT"),
        ("create", "OK CONFLICT INVALID_ARGUMENT"),
        ("plan", "OK CONFLICT INVALID_ARGUMENT NOT_FOUND"),
        ("confirm", "OK CONFLICT"),
        ("release", "OK"),
        ("grant", "OK"),
        ("give up", "OK"),
        ("recover", "OK NOT_FOUND REFUSED"),
        ("reconfirm", "OK CONFLICT"),
        ("set", "OK CONFLICT INVALID_ARGUMENT TOO_LARGE"),
        ("delete", "OK CONFLICT INVALID_ARGUMENT TOO_LARGE"),
    ];
    for (command, results) in expected {
        for result in results.split(' ') {
            assert!(
                outcomes.contains_key(&(command, result)),
                "no {command} came to {result}: {outcomes:?}"
            );
        }
    }
    for kind in [
        "partition_change",
        "node_join",
        "node_rejoin",
        "node_leave",
        "rebalance_start",
        "rebalance_complete",
        "cluster_health_change",
        "leader_change",
        "membership",
    ] {
        assert!(
            told.get(kind).is_some_and(|count| *count > 20),
            "too few {kind}: {told:?}"
        );
    }
}
