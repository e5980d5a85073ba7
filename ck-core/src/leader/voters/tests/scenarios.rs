//! Scenarios of the choice of voters as scripts (`testdata/voters`).

use std::collections::{BTreeMap, BTreeSet};

use crate::leader::voters::choose;
use crate::model::NodeId;
use crate::model::RaftId;
use crate::scenarios::{list, run_scripts};
use crate::state::tests::scenarios::{Cluster, Output};

#[test]
fn scenarios() {
    run_scripts("voters", Scene::default);
}

/// What a script may say besides the commands of a cluster.
#[derive(goldenscript::Command)]
enum VotersCommand {
    /// The leader chooses the voters, and makes the change.
    #[command(name = "choose-voters")]
    ChooseVoters {
        #[arg(key)]
        leader: String,
        #[arg(key = "max-voters")]
        max_voters: usize,
        /// Nodes whose logs are not close enough to vote, as in `c/d`.
        #[arg(key)]
        lagging: Option<String>,
    },
    #[command(other)]
    Cluster(goldenscript::Command),
}

#[derive(Default)]
struct Scene {
    cluster: Cluster,
    /// The voters that Raft has; a removed member is among them until the leader has changed that.
    voters: BTreeSet<RaftId>,
    /// Every Raft id with the node that has it or had it.
    names: BTreeMap<RaftId, NodeId>,
}

impl goldenscript::Runner for Scene {
    type Command = VotersCommand;

    fn run(&mut self, command: &VotersCommand, _: &goldenscript::Context) -> Output {
        let output = match command {
            VotersCommand::ChooseVoters {
                leader,
                max_voters,
                lagging,
            } => self.choose_voters(leader, *max_voters, lagging.as_deref().unwrap_or_default()),
            VotersCommand::Cluster(command) => self.cluster.carry_out_raw(command),
        };
        for node in self.cluster.topology().nodes.values() {
            self.names.insert(node.raft_id, node.id.clone());
            // The founder votes from the beginning.
            if self.voters.is_empty() && node.voter {
                self.voters.insert(node.raft_id);
            }
        }
        output
    }
}

impl Scene {
    fn choose_voters(&mut self, leader: &str, max_voters: usize, lagging: &str) -> Output {
        let topology = self.cluster.topology().clone();
        let leader = topology
            .nodes
            .get(leader)
            .ok_or("the leader is no member")?
            .raft_id;
        let caught_up = |raft_id| !lagging.split('/').any(|node| *node == *self.names[&raft_id]);
        let chosen = choose(&topology, &self.voters, leader, max_voters, caught_up);
        let names = |ids: &BTreeSet<RaftId>| {
            let mut names: Vec<_> = ids.iter().map(|id| self.names[id].clone()).collect();
            names.sort();
            list(names, " ")
        };
        let mut line = format!("voters {}", names(&chosen));
        if chosen == self.voters {
            line += ", unchanged";
        } else {
            line += &format!(
                ": {} gained the vote, {} lost it",
                names(&(&chosen - &self.voters)),
                names(&(&self.voters - &chosen))
            );
        }
        self.cluster.vote(chosen.iter().copied().collect());
        self.voters = chosen;
        Ok(line)
    }
}
