//! Keeps Raft's members in step with the cluster's: new nodes become learners first, and voters once they have caught
//! up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{LeaderContext, voters};
use crate::env;
use crate::error::Result;
use crate::model::RaftId;
use crate::model::{LeaveReason, Node, NodeId, NodeStatus, Topology};
use crate::raft::VoterChange;
use crate::state::Command;

/// A follower that lacks at most this many entries has caught up.
const MAX_LAG_ENTRIES: u64 = 500;
/// How often the progress of followers is checked while a node is catching up.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(5);
/// How often Raft's members are compared with the cluster's without a known change: it completes changes that a failure
/// interrupted.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one commit may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs on every node; acts only on the leader. Changes of the Raft membership are made only here, one at a time.
pub(crate) struct MembershipReconciler {
    context: LeaderContext,
    max_voters: usize,
}

/// What the leader should do next.
enum Step {
    Change(VoterChange),
    /// These nodes have caught up: each becomes an active member, all with one write of the log.
    Activate(Vec<(NodeId, u64)>),
    /// The node is drained: it is removed.
    RemoveDrained(NodeId, u64),
    /// A node is catching up: check its progress again soon.
    WaitForCatchUp,
    Nothing,
}

impl MembershipReconciler {
    pub(crate) fn new(context: LeaderContext, max_voters: usize) -> Self {
        MembershipReconciler { context, max_voters }
    }

    /// Runs until Raft stops.
    pub(crate) async fn run(&self) {
        let applied = &self.context.applied;
        loop {
            let topology_seen = applied.changed().count();
            let leadership_seen = self.context.leadership.changed().count();
            let pause = if self.context.leadership.is_leader() {
                match self.reconcile().await {
                    Ok(Some(pause)) => pause,
                    Ok(None) => continue,
                    // Asks Raft itself, not the error: the state machine answers with the same code to a process that
                    // was reported as stopping, and such a process rejoins.
                    Err(_) if self.context.raft.has_ended() => return,
                    // The change was refused or interrupted: the next step begins from the membership as it is then.
                    Err(_) => Duration::from_millis(20),
                }
            } else {
                RECONCILE_INTERVAL
            };
            let something = async {
                tokio::select! {
                    biased;
                    _ = applied.changed().after(topology_seen) => {}
                    _ = self.context.leadership.changed().after(leadership_seen) => {}
                }
            };
            let _ = env::timeout(pause, something).await;
        }
    }

    /// One step; `None` means that the next may follow at once.
    async fn reconcile(&self) -> Result<Option<Duration>> {
        let (topology, revision) = {
            let state = self.context.applied.state();
            (state.topology().clone(), state.topology_revision())
        };
        match self.next_step(&topology, revision) {
            Step::Change(change) => {
                self.context.raft.change_members(change).await?;
                Ok(None)
            }
            Step::Activate(nodes) => {
                let proposed = nodes.into_iter().map(|(node, incarnation)| {
                    let command = Command::Activate { node, incarnation };
                    self.context.proposer.propose(command, COMMIT_TIMEOUT)
                });
                // A refused node must not delay the others: it is considered again in the next step.
                for outcome in join_all(proposed).await {
                    outcome?.result?;
                }
                Ok(None)
            }
            Step::RemoveDrained(node, planned_on) => {
                let command = Command::Remove {
                    node,
                    reason: LeaveReason::GracefulShutdown,
                    promotions: Vec::new(),
                    planned_on,
                    keep_last: true,
                    unleased_from: None,
                };
                self.context
                    .proposer
                    .propose(command, COMMIT_TIMEOUT)
                    .await?
                    .result?;
                Ok(None)
            }
            Step::WaitForCatchUp => Ok(Some(CATCH_UP_INTERVAL)),
            Step::Nothing => Ok(Some(RECONCILE_INTERVAL)),
        }
    }

    fn next_step(&self, topology: &Topology, revision: u64) -> Step {
        let members = self.context.raft.raft_members();
        let matched = self.context.raft.replication();
        let last = self.context.raft.last_index();
        let me = self.context.raft.raft_id();
        let caught_up = |raft_id: RaftId, at_least: u64| {
            let index = if raft_id == me {
                last
            } else {
                matched.get(&raft_id).copied().unwrap_or(0)
            };
            index >= at_least && index + MAX_LAG_ENTRIES >= last
        };

        // A change that was interrupted is completed before another begins.
        if members.joint {
            return Step::Change(VoterChange::Voters(members.voters));
        }
        let up = || topology.nodes.values().filter(|node| node.status.is_up());
        // One change adds all nodes that have joined meanwhile: each change is an entry that every member stores and
        // applies.
        let new: BTreeSet<RaftId> = up()
            .map(|node| node.raft_id)
            .filter(|raft_id| !members.all.contains(raft_id))
            .collect();
        if !new.is_empty() {
            return Step::Change(VoterChange::AddLearners(new));
        }
        let joining = || {
            topology
                .nodes
                .values()
                .filter(|node| node.status == NodeStatus::Joining)
        };
        let ready: Vec<(NodeId, u64)> = joining()
            .filter(|node| caught_up(node.raft_id, node.incarnation))
            .map(|node| (node.id.clone(), node.incarnation))
            .collect();
        if !ready.is_empty() {
            return Step::Activate(ready);
        }
        let drained = |node: &&Arc<Node>| {
            node.status == NodeStatus::Leaving
                && node.raft_id != me
                && topology.partitions.maybe_involving(&node.id).all(|partition| {
                    let released = partition.released.as_ref();
                    partition.copy(&node.id).is_none() && released.is_none_or(|(from, _)| *from != node.id)
                })
        };
        if let Some(node) = topology.nodes.values().find(drained) {
            return Step::RemoveDrained(node.id.clone(), revision);
        }
        let chosen = voters::choose(topology, &members.voters, me, self.max_voters, |id| {
            caught_up(id, 0)
        });
        // A leader that was removed first transfers leadership; its successor then changes the voters.
        if chosen.contains(&me) && chosen != members.voters {
            return Step::Change(VoterChange::Voters(chosen));
        }
        let known: BTreeSet<RaftId> = topology.nodes.values().map(|node| node.raft_id).collect();
        let stray: BTreeSet<RaftId> = members.all.difference(&known).copied().collect();
        if !stray.is_empty() && stray.is_disjoint(&members.voters) {
            return Step::Change(VoterChange::Remove(stray));
        }
        if joining().next().is_some() {
            Step::WaitForCatchUp
        } else {
            Step::Nothing
        }
    }
}
