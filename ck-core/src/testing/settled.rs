//! What is missing until a cluster is at rest.

use std::time::Duration;

use super::member::Member;
use crate::http::Api;
use crate::model::NodeStatus;
use crate::net::memory::MemoryNetwork;
use crate::routing::{ClusterView, PartitionRef, ViewGuard};

/// How many things a message names.
const MAX_NAMED: usize = 8;
/// How long a plan may take to be made. It waits for nothing.
const PLAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The members of a cluster at one moment.
pub(super) struct Settling<'a> {
    members: &'a [Member],
    network: &'a MemoryNetwork,
}

/// The cluster as its leader sees it.
struct LeaderView<'a> {
    leader: &'a Member,
    view: ViewGuard,
    /// The members that the leader can hear of.
    up: Vec<&'a Member>,
}

impl<'a> Settling<'a> {
    pub(super) fn of(members: &'a [Member], network: &'a MemoryNetwork) -> Self {
        Settling { members, network }
    }

    /// The node that leads and can go on leading.
    pub(super) fn leader(&self) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.takes_part() && member.kit.is_leader() && self.reaches_majority(member))
    }

    pub(super) fn missing_leader(&self) -> Vec<String> {
        if self.leader().is_some() {
            return Vec::new();
        }
        let state = |member: &Member| {
            let state = match member.kit.waiting_for() {
                Err(error) => error.to_string(),
                Ok(_) if member.process.is_paused() => "is paused".to_owned(),
                Ok(Some(reason)) => format!("waits for {reason}"),
                Ok(None) => "is ready".to_owned(),
            };
            format!("{}: {state}", member.id())
        };
        let mut missing = vec!["no node leads that reaches a majority of the voters".to_owned()];
        missing.extend(self.members.iter().take(MAX_NAMED).map(state));
        missing
    }

    pub(super) fn missing_primaries(&self) -> Vec<String> {
        match self.leader_view() {
            Some(seen) => seen.missing_primaries(),
            None => self.missing_leader(),
        }
    }

    /// Everything that is missing.
    pub(super) fn missing(&self) -> Vec<String> {
        let Some(seen) = self.leader_view() else {
            return self.missing_leader();
        };
        let mut missing = self.missing_members(&seen);
        missing.extend(seen.missing_copies());
        missing.extend(seen.missing_primaries());
        if missing.is_empty() {
            missing.extend(seen.planned_moves());
        }
        let reason = seen.view.topology().maintenance.as_ref();
        if let Some(maintenance) = reason.filter(|_| !missing.is_empty()) {
            missing.push(format!(
                "nothing is planned during maintenance ({})",
                maintenance.reason
            ));
        }
        missing
    }

    fn leader_view(&self) -> Option<LeaderView<'a>> {
        let leader = self.members.get(self.leader()?)?;
        let up = self.members.iter();
        let up = up.filter(|member| member.takes_part() && self.reach_each_other(leader, member));
        Some(LeaderView {
            view: leader.kit.view(),
            up: up.collect(),
            leader,
        })
    }

    fn reach_each_other(&self, one: &Member, other: &Member) -> bool {
        !self.network.is_cut(one.addr(), other.addr()) && !self.network.is_cut(other.addr(), one.addr())
    }

    fn reaches_majority(&self, leader: &Member) -> bool {
        let view = leader.kit.view();
        let voters = view.nodes().iter().filter(|node| node.voter);
        let (mut all, mut reached) = (0, 0);
        for voter in voters {
            all += 1;
            let member = self.members.iter().find(|member| member.id() == &*voter.id);
            let is_there = |member: &Member| member.takes_part() && self.reach_each_other(leader, member);
            reached += usize::from(member.is_some_and(is_there));
        }
        reached * 2 > all
    }

    fn missing_members(&self, seen: &LeaderView<'_>) -> Vec<String> {
        let revision = seen.view.revision();
        let missing = self.members.iter().filter_map(|member| {
            let id = member.id();
            let status = member.status_in(&seen.view);
            let is_up = seen.up.iter().any(|up| up.id() == id);
            match status {
                Some(NodeStatus::Active) if is_up => {
                    let applied = member.kit.view().revision();
                    (applied != revision)
                        .then(|| format!("{id} has applied revision {applied}, the leader {revision}"))
                }
                Some(status) if is_up => Some(format!("{id} is {}", status.as_str())),
                None if is_up => {
                    let reason = member.kit.waiting_for().ok().flatten();
                    Some(format!(
                        "{id} is no member yet: it waits for {}",
                        reason.unwrap_or_default()
                    ))
                }
                Some(status) if status.is_up() => Some(format!(
                    "{id} cannot be heard of, and the leader holds it for {}",
                    status.as_str()
                )),
                _ => None,
            }
        });
        missing.take(MAX_NAMED).collect()
    }
}

impl LeaderView<'_> {
    fn missing_primaries(&self) -> Vec<String> {
        let view: &ClusterView = &self.view;
        if view.partition_count() == 0 {
            return vec!["there are no partitions yet".to_owned()];
        }
        let missing = view.partitions().filter_map(|partition| {
            let Some(primary) = partition.primary() else {
                return Some(format!("{partition} has no primary"));
            };
            match self.up.iter().find(|member| member.id() == &*primary.id) {
                Some(member) if member.kit.is_primary(partition.number()) => None,
                Some(_) => Some(format!(
                    "{} does not act as primary of {partition} yet",
                    primary.id
                )),
                None => Some(format!("the primary of {partition}, {}, is down", primary.id)),
            }
        });
        missing.take(MAX_NAMED).collect()
    }

    fn missing_copies(&self) -> Vec<String> {
        let view: &ClusterView = &self.view;
        let topology = view.topology();
        let takes_copies = |member: &&&Member| {
            let node = view.node(member.id());
            node.is_some_and(|node| node.status == NodeStatus::Active && node.weight > 0)
        };
        let wanted = topology.config.replication_factor as usize;
        let wanted = wanted.min(self.up.iter().filter(takes_copies).count());
        let holds = |partition: &PartitionRef<'_>, member: &Member| {
            partition.nodes().any(|node| &*node.id == member.id())
        };
        let missing = view.partitions().filter_map(|partition| {
            let record = topology.partitions.get(partition.number() as usize)?;
            if let Some(node) = partition.pending().next() {
                return Some(format!("{partition} is being copied to {}", node.id));
            }
            if record.target.is_some() || record.released.is_some() {
                return Some(format!("{partition} is moving"));
            }
            let copies = self.up.iter().filter(|member| holds(&partition, member)).count();
            (copies < wanted)
                .then(|| format!("{partition} has {copies} of {wanted} copies on nodes that are up"))
        });
        missing.take(MAX_NAMED).collect()
    }

    /// What the leader would move if it planned now.
    fn planned_moves(&self) -> Option<String> {
        let node = (*self.leader.kit.node()).clone();
        let plan = async move { Api::rebalance(&*node, true, PLAN_TIMEOUT).await };
        match self.leader.kit.runtime().block_on(plan) {
            Ok(plan) if plan.moves.is_empty() => None,
            Ok(plan) => Some(format!("{} partitions are about to move", plan.moves.len())),
            Err(error) => Some(format!("the leader cannot plan: {error}")),
        }
    }
}
