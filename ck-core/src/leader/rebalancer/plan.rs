//! Turns the topology into the planner's input, and the planner's output into targets. Pure: no task, no lock, no
//! clock.
//!
//! - `creation`: the first assignment of all partitions. `rebalance`: new targets for those that are neither where they
//!   should be nor on their way there. `avoid` replaces copies that were abandoned.
//! - `promotions` and `amended`: who takes over the roles of a member that stops serving.
//!
//! The callers run all but `amended` in the blocking pool, because they take long where there are many partitions.
//!
//! Invariants: new copies go to active members only; a partition without a serving holder of the data keeps its copies
//! where they are; a member that is away keeps its copies until the exclusions name it.
//!
//! Start with `rebalance`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::copy_watchdog::Pair;
use crate::model::{CopyState, Node, NodeId, NodeStatus, Partition, Target, Topology};
use crate::placement::{self, PlannerCopy, PlannerInput, PlannerNode, PlannerPartition};
use crate::state::Promotion;

mod avoid;

/// What a plan leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exclusions {
    /// Members that have been away for longer than the rebalance delay.
    pub(crate) given_up: BTreeSet<NodeId>,
    /// Copies that were abandoned: a partition and the node that did not copy it.
    pub(crate) avoided: BTreeSet<Pair>,
    /// Nodes that get no new copies, because too many of their copies were abandoned.
    pub(crate) failing: BTreeSet<NodeId>,
}

/// The first assignment of all partitions, over the active members.
pub(crate) fn creation(topology: &Topology) -> Vec<Target> {
    let active = |node: &Node| node.status == NodeStatus::Active;
    let input = PlannerInput {
        replication_factor: topology.config.replication_factor,
        nodes: nodes(topology, active),
        partitions: vec![PlannerPartition::default(); topology.config.partition_count as usize],
    };
    let plan = placement::place(&input);
    let ids = ids(topology, &plan.nodes);
    plan.copies
        .iter()
        .zip(&plan.primaries)
        .filter_map(|(copies, primary)| target(&ids, copies, *primary))
        .collect()
}

/// New targets for the partitions that are neither where they should be nor on their way there.
///
/// Members that are away keep their copies: they are expected back, and no data moves meanwhile, nor while a member
/// that is back catches up with the log. Only the members in `exclusions.given_up` lose their copies.
pub(crate) fn rebalance(topology: &Topology, exclusions: &Exclusions) -> Vec<(u32, Target)> {
    // A joining node takes part only with the copies that it holds: it cannot be given new ones yet.
    let input = PlannerInput {
        replication_factor: topology.config.replication_factor,
        nodes: nodes(topology, |node| {
            let settled = node.status != NodeStatus::Joining || holds_copies(topology, &node.id);
            settled && !exclusions.given_up.contains(&node.id)
        }),
        partitions: topology
            .partitions
            .iter()
            .map(|p| under_way(p, spec(p, |copy| copy == CopyState::Synced)))
            .collect(),
    };
    let placed = placement::place(&input);
    let ids_placed = ids(topology, &placed.nodes);
    let mut copies: Vec<Vec<NodeId>> = placed.copies.iter().map(|c| pick(&ids_placed, c)).collect();
    for (partition, wanted) in topology.partitions.iter().zip(&mut copies) {
        let reachable = wanted
            .iter()
            .all(|id| partition.copy(id).is_some() || is_active(topology, id));
        // No serving node has the data: there is no source to copy from.
        let lost = !partition.synced().any(|id| is_serving(topology, id));
        if !reachable || lost {
            *wanted = partition.copies.iter().map(|copy| copy.node.clone()).collect();
        }
    }
    avoid::avoid(topology, &mut copies, exclusions);
    let elected = primaries(topology, &copies);
    topology
        .partitions
        .iter()
        .zip(copies)
        .zip(elected)
        .filter_map(|((partition, nodes), primary)| {
            let target = Target {
                nodes,
                primary: primary?,
            };
            (!partition.is_bound_for(&target)).then_some((partition.number, target))
        })
        .collect()
}

/// Elects balanced primaries for these copies, as if all serving holders had the data.
fn primaries(topology: &Topology, copies: &[Vec<NodeId>]) -> Vec<Option<NodeId>> {
    let partitions = topology
        .partitions
        .iter()
        .zip(copies)
        .map(|(partition, nodes)| PlannerPartition {
            copies: nodes
                .iter()
                .map(|id| PlannerCopy {
                    node: id.to_string(),
                    synced: is_serving(topology, id),
                })
                .collect(),
            primary: partition.primary.as_ref().map(ToString::to_string),
        });
    let input = PlannerInput {
        replication_factor: topology.config.replication_factor,
        nodes: nodes(topology, |node| node.status.is_serving()),
        partitions: partitions.collect(),
    };
    let election = placement::elect(&input);
    let ids = ids(topology, &election.nodes);
    election
        .primaries
        .iter()
        .map(|p| p.and_then(|i| ids.get(i as usize).cloned()))
        .collect()
}

/// The new primaries when `leaving` stops serving: serving holders of the data, evenly, without any other change. No
/// role goes to a node in `avoided`.
pub(crate) fn promotions(topology: &Topology, leaving: &str, avoided: &[NodeId]) -> Vec<Promotion> {
    let serving =
        |node: &Node| node.status.is_serving() && &*node.id != leaving && !avoided.contains(&node.id);
    let input = PlannerInput {
        replication_factor: topology.config.replication_factor,
        nodes: nodes(topology, serving),
        partitions: topology
            .partitions
            .iter()
            .map(|p| successors(topology, p, leaving))
            .collect(),
    };
    let election = placement::failover(&input);
    let ids = ids(topology, &election.nodes);
    topology
        .partitions
        .iter()
        .zip(&election.primaries)
        .filter(|(partition, _)| partition.primary.as_deref() == Some(leaving))
        .filter_map(|(partition, to)| {
            let to = ids.get((*to)? as usize)?.clone();
            Some(Promotion {
                number: partition.number,
                to,
            })
        })
        .collect()
}

/// Amends promotions that were planned on `old` where partitions have changed since and the set of serving nodes has
/// not: a changed partition gets any node that may lead it, without a new plan for all partitions.
pub(crate) fn amended(
    mut promotions: Vec<Promotion>,
    (old, new): (&Topology, &Topology),
    leaving: &str,
    avoided: &[NodeId],
) -> Vec<Promotion> {
    let changed: BTreeMap<u32, &Arc<Partition>> = new
        .partitions
        .changed_since(&old.partitions)
        .map(|partition| (partition.number, partition))
        .collect();
    promotions.retain(|promotion| !changed.contains_key(&promotion.number));
    let led = changed
        .values()
        .filter(|partition| partition.primary.as_deref() == Some(leaving));
    promotions.extend(led.filter_map(|partition| {
        let able = |node: &NodeId| **node != *leaving && new.is_serving(node) && !avoided.contains(node);
        let to = partition.successors(able).first().copied()?.clone();
        Some(Promotion {
            number: partition.number,
            to,
        })
    }));
    promotions
}

fn nodes(topology: &Topology, include: impl Fn(&Node) -> bool) -> Vec<PlannerNode> {
    topology
        .nodes
        .values()
        .filter(|node| include(node))
        .map(|node| PlannerNode {
            id: node.id.to_string(),
            weight: node.weight,
            zone: node.zone.clone(),
            draining: node.status == NodeStatus::Leaving,
        })
        .collect()
}

fn spec(partition: &Partition, synced: impl Fn(CopyState) -> bool) -> PlannerPartition {
    let copies = partition.copies.iter();
    PlannerPartition {
        copies: copies
            .map(|c| PlannerCopy {
                node: c.node.to_string(),
                synced: synced(c.state),
            })
            .collect(),
        primary: partition.primary.as_ref().map(ToString::to_string),
    }
}

/// The copies of a partition, of which only those of its possible successors to `leaving` count as synced.
fn successors(topology: &Topology, partition: &Partition, leaving: &str) -> PlannerPartition {
    let mut spec = spec(partition, |copy| copy == CopyState::Synced);
    if partition.primary.as_deref() != Some(leaving) {
        return spec;
    }
    let successors = partition.successors(|node| &**node != leaving && is_serving(topology, node));
    // Where there are preferred successors, copies of other holders do not count.
    if !successors.is_empty() {
        let others = spec
            .copies
            .iter_mut()
            .filter(|copy| !successors.iter().any(|heir| ***heir == *copy.node));
        others.for_each(|copy| copy.synced = false);
    }
    spec
}

/// Adds the copies that are queued: they count as under way, too.
fn under_way(partition: &Partition, mut spec: PlannerPartition) -> PlannerPartition {
    let wanted = partition.target.iter().flat_map(|target| &target.nodes);
    let waiting = wanted.filter(|node| partition.copy(node).is_none());
    spec.copies.extend(waiting.map(|node| PlannerCopy {
        node: node.to_string(),
        synced: false,
    }));
    spec
}

/// Maps the planner's names to the cluster's own ids, which are shared instead of copied.
fn ids(topology: &Topology, names: &[String]) -> Vec<NodeId> {
    let known: BTreeMap<&str, &NodeId> = topology.nodes.keys().map(|id| (&**id, id)).collect();
    names
        .iter()
        .map(|name| {
            known
                .get(name.as_str())
                .map_or_else(|| name.as_str().into(), |id| (*id).clone())
        })
        .collect()
}

fn pick(ids: &[NodeId], indexes: &[u32]) -> Vec<NodeId> {
    indexes
        .iter()
        .filter_map(|i| ids.get(*i as usize).cloned())
        .collect()
}

fn target(ids: &[NodeId], copies: &[u32], primary: Option<u32>) -> Option<Target> {
    let primary = ids.get(primary? as usize)?.clone();
    Some(Target {
        nodes: pick(ids, copies),
        primary,
    })
}

fn holds_copies(topology: &Topology, id: &str) -> bool {
    let mut partitions = topology.partitions.maybe_involving(id);
    partitions.any(|partition| partition.copy(id).is_some())
}

fn is_active(topology: &Topology, id: &str) -> bool {
    topology
        .nodes
        .get(id)
        .is_some_and(|node| node.status == NodeStatus::Active)
}

fn is_serving(topology: &Topology, id: &str) -> bool {
    topology
        .nodes
        .get(id)
        .is_some_and(|node| node.status.is_serving())
}

#[cfg(test)]
mod tests;
