//! Any log keeps the invariants, gives the same state on every node, and survives encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::lab::{Entry, Lab};
use super::net;
use super::random::{Author, Drawn};
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
    fn from_snapshot(lab: &Lab) -> Self {
        let bytes = lab.state.encode().unwrap();
        let state = State::decode(&bytes).unwrap();
        assert_eq!(state, lab.state, "the state is not what was written down");
        assert_eq!(state.encode().unwrap(), bytes, "equal states have equal bytes");
        Follower {
            state,
            events: Vec::new(),
            since: lab.events.len(),
        }
    }

    fn follow(&mut self, lab: &Lab, response: Option<&Response>) {
        let index = lab.log.len() as u64;
        let entry = lab.log.last().unwrap();
        let answer = entry.apply(&mut self.state, index, &mut self.events);
        assert_eq!(answer.as_ref(), response);
        assert_eq!(self.state, lab.state);
        assert_eq!(self.events, lab.events[self.since..]);
    }
}

/// The topologies that a log leads through.
pub(super) fn topologies(steps: &[u64]) -> Vec<Arc<Topology>> {
    let (mut lab, mut author) = (Lab::default(), Author::default());
    let mut seen = vec![lab.state.topology().clone()];
    for step in steps {
        match author.draw(&lab, *step) {
            Drawn::Membership(voters) => lab.vote(voters),
            Drawn::Proposal(proposal) | Drawn::Again(proposal) => {
                lab.apply(proposal);
            }
        }
        seen.push(lab.state.topology().clone());
    }
    seen
}

fn run(steps: &[u64], outcomes: &mut Outcomes) -> Lab {
    let mut lab = Lab::default();
    let mut author = Author::default();
    let mut answers: BTreeMap<(u64, u64), (Proposal, Response)> = BTreeMap::new();
    let mut follower = Follower::from_snapshot(&lab);
    let mut seen = vec![lab.state.topology().clone()];
    for (at, step) in steps.iter().enumerate() {
        let response = match author.draw(&lab, *step) {
            Drawn::Membership(voters) => {
                lab.vote(voters);
                None
            }
            Drawn::Proposal(proposal) => {
                let name = name(&proposal.command);
                let response = lab.apply(proposal.clone());
                let outcome = match &response.result {
                    Ok(_) => "OK",
                    Err(error) => error.code().name(),
                };
                *outcomes.entry((name, outcome)).or_default() += 1;
                let id = (proposal.session, proposal.seq);
                answers.entry(id).or_insert((proposal, response.clone()));
                Some(response)
            }
            Drawn::Again(proposal) => Some(retry(&mut lab, proposal, &answers)),
        };
        follower.follow(&lab, response.as_ref());
        if at % 7 == 0 {
            follower = Follower::from_snapshot(&lab);
            seen.push(lab.state.topology().clone());
        }
    }
    net::net_changes_lead_from_any_to_any(&seen, &lab);
    lab
}

/// A retry of a proposal changes nothing; its answer is the first one, or a refusal.
fn retry(
    lab: &mut Lab,
    proposal: Proposal,
    answers: &BTreeMap<(u64, u64), (Proposal, Response)>,
) -> Response {
    let (before, told) = (lab.state.clone(), lab.events.len());
    let session = proposal.session;
    let (first, answer) = answers[&(session, proposal.seq)].clone();
    let response = lab.apply(proposal);
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
    let mut after = lab.state.clone();
    after.revision = before.revision;
    assert_eq!(after, before, "a retry changed something");
    assert_eq!(lab.events.len(), told);
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
        let lab = run(&steps, &mut Outcomes::new());
        let (state, events) = lab.replay();
        prop_assert_eq!(state, lab.state);
        prop_assert_eq!(events, lab.events);
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
        let lab = run(&steps, &mut outcomes);
        for event in &lab.events {
            *told.entry(event.kind.name()).or_insert(0) += 1;
        }
        let memberships = lab
            .log
            .iter()
            .filter(|entry| matches!(entry, Entry::Membership(_)));
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
