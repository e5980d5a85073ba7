//! Scenarios of the state machine as scripts (`testdata/state`). Every step is checked against the invariants as well.

mod commands;
mod proposals;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use commands::ClusterCommand;

use super::harness::{Harness, bootstrap};
use crate::model::{CopyState, LeaveReason, NodeId, PartitionCopy, Timestamp, Topology, whole_millis};
use crate::scenarios::{events, run_scripts};
use crate::state::{Command, Promotion, Proposal, Reply, State, diff_events, own_copies};

/// What a command prints; an error is printed by a command that is expected to fail (`!`).
pub(crate) type Output = Result<String, Box<dyn Error>>;

#[test]
fn scenarios() {
    run_scripts("state", Cluster::default);
}

/// A cluster as its replicated state: commands go in, answers and events come out. Time stands still unless a script
/// says `advance`.
#[derive(Default)]
pub(crate) struct Cluster {
    lab: Harness,
    /// The number of events that were printed.
    told: usize,
    /// The state that nodes which lag behind the log have.
    lagging: BTreeMap<NodeId, Arc<Topology>>,
}

impl goldenscript::Runner for Cluster {
    type Command = ClusterCommand;

    fn run(&mut self, command: &ClusterCommand, _: &goldenscript::Context) -> Output {
        self.carry_out(command)
    }
}

impl Cluster {
    pub(crate) fn state(&self) -> &State {
        &self.lab.state
    }

    pub(crate) fn topology(&self) -> &Arc<Topology> {
        self.lab.state.topology()
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.lab.now += whole_millis(time);
    }

    /// The nodes with these Raft ids vote from now on.
    pub(crate) fn vote(&mut self, voters: Vec<u64>) {
        self.lab.vote(voters);
    }

    /// A member marked down, with these successors.
    pub(crate) fn mark_down(&self, node: &str, reason: LeaveReason, successors: Vec<Promotion>) -> Command {
        let mut command = self.lab.mark_down(node, reason);
        if let Command::MarkDown { promotions, .. } = &mut command {
            *promotions = successors;
        }
        command
    }

    /// Applies a command that is proposed without a session.
    pub(crate) fn propose(&mut self, command: Command) -> Output {
        let proposal = self.proposal(command);
        self.apply(proposal)
    }

    fn proposal(&self, command: Command) -> Proposal {
        Proposal::without_session(command, Timestamp::from_millis(self.lab.now))
    }

    /// Applies a proposal; prints the answer, and the events that every node emits.
    fn apply(&mut self, proposal: Proposal) -> Output {
        let response = self.lab.apply(proposal);
        let told = events(&self.lab.events[self.told..]);
        self.told = self.lab.events.len();
        match response.result {
            Ok(reply) => Ok(format!(
                "revision {}: {}\n{told}",
                response.revision,
                answer(&reply)
            )),
            Err(error) if response.settles => Err(error.into()),
            Err(error) => Err(format!("{error} (says nothing of earlier attempts)").into()),
        }
    }

    /// The first of the nodes founds a cluster, and the others join it and catch up.
    fn found(&mut self, nodes: &[String], partitions: u32, replication_factor: u32) -> Output {
        let mut output = String::new();
        for (number, node) in nodes.iter().enumerate() {
            if number == 0 {
                output += &self.propose(bootstrap(node, partitions, replication_factor))?;
                continue;
            }
            output += &self.propose(self.lab.join(node, self.next_process(), None))?;
            output += &self.propose(self.lab.activate(node))?;
        }
        Ok(output)
    }

    /// A number that no process has had.
    fn next_process(&self) -> u64 {
        1000 + self.lab.state.revision
    }

    /// The successors of a node for all that it leads: the one that a script names, nobody, or the first of those able.
    fn successors(&self, node: &str, named: Option<&str>) -> Vec<Promotion> {
        let mut promotions = self.lab.promotions(node);
        match named {
            Some("none") => promotions.clear(),
            Some(to) => promotions
                .iter_mut()
                .for_each(|promotion| promotion.to = to.into()),
            None => {}
        }
        promotions
    }

    /// The events that a node emits that is given a snapshot of the present state.
    fn install_snapshot(&mut self, node: &str) -> Output {
        let snapshot = State::decode(&self.lab.state.encode()?)?;
        let old = self.lagging.remove(node).ok_or("the node does not lag")?;
        let at = Timestamp::from_millis(self.lab.now);
        let change = diff_events(&old, snapshot.topology(), &node.into(), snapshot.revision(), at);
        Ok(format!(
            "{node} is at revision {}\n{}",
            snapshot.revision(),
            events(&change)
        ))
    }

    /// The events for an application that registers a hook late: of the copies that it does not have to confirm again.
    fn register_hook(&self, node: &str) -> String {
        let at = Timestamp::from_millis(self.lab.now);
        let in_doubt = |copy: &PartitionCopy| copy.unhooked || copy.state == CopyState::Pending;
        let revision = self.lab.state.revision();
        events(&own_copies(self.topology(), &node.into(), revision, at, in_doubt))
    }

    fn nodes(&self) -> String {
        let topology = self.topology();
        let mut text = crate::scenarios::nodes(topology);
        if let Some(maintenance) = &topology.maintenance {
            let by = if maintenance.automatic { " (automatic)" } else { "" };
            writeln!(text, "maintenance: {}{by}", maintenance.reason).unwrap();
        }
        text
    }

    fn get(&self, key: &str) -> String {
        match self.lab.state.data().get(key) {
            Some(entry) => format!(
                "{key}={} revision={}\n",
                String::from_utf8_lossy(&entry.value),
                entry.revision
            ),
            None => format!("{key} does not exist\n"),
        }
    }
}

fn answer(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Unchanged => "unchanged".to_owned(),
        Reply::Joined {
            raft_id,
            incarnation,
            retired_raft_id,
        } => {
            let retired = retired_raft_id.map(|id| format!(", raft-id={id} retired"));
            format!(
                "joined with raft-id={raft_id} incarnation={incarnation}{}",
                retired.unwrap_or_default()
            )
        }
        Reply::Partitions(count) => format!("partitions={count}"),
        Reply::Deleted(existed) => format!("deleted={existed}"),
    }
}
