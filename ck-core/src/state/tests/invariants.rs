//! The invariants of every state, and of every step from one state to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shadow::Shadow;
use crate::model::{
    CopyState, Event, EventKind, Node, NodeId, NodeStatus, Partition, PartitionChangeEvent, RoleChange,
    partition_id,
};
use crate::state::migrations::Migrations;
use crate::state::primaries::up_to_date_holders;
use crate::state::{Command, Grant, MAX_DATA_BYTES, Proposal, Reply, Response, State};

/// What was observed of a log so far, to check its next entry.
#[derive(Debug, Default)]
pub(super) struct InvariantChecker {
    pub(super) shadow: Shadow,
    /// Every Raft id ever assigned, with its owner.
    raft_ids: BTreeMap<u64, NodeId>,
    retired: BTreeSet<u64>,
    incarnations: BTreeSet<u64>,
}

impl InvariantChecker {
    /// Checks one applied proposal.
    pub(super) fn check_step(
        &mut self,
        (before, after): (&State, &State),
        proposal: &Proposal,
        response: &Response,
        events: &[Event],
    ) {
        assert_eq!(after.revision, before.revision + 1);
        let mut rest = after.clone();
        rest.revision = before.revision;
        rest.sessions = before.sessions.clone();
        match &response.result {
            _ if response.revision != after.revision => {
                assert!(response.revision < after.revision, "an answer from the future");
                assert_eq!(*before, rest, "a retry changed something");
                assert!(events.is_empty(), "a retry emitted events: {events:?}");
            }
            Err(_) => {
                assert_eq!(*before, rest, "a refused command changed something");
                assert!(events.is_empty(), "a refused command emitted events: {events:?}");
            }
            Ok(Reply::Unchanged | Reply::Partitions(0) | Reply::Deleted(false)) => {
                assert_eq!(*before, rest, "nothing was to be done, and something was");
                assert!(
                    events.is_empty(),
                    "nothing was done, and events were emitted: {events:?}"
                );
            }
            Ok(_) => {}
        }
        for event in events {
            assert_eq!((event.revision, event.timestamp), (after.revision, proposal.at));
            self.shadow.apply_event(event);
            if let EventKind::PartitionChange(change) = &event.kind {
                check_change_event(
                    after,
                    change,
                    match &proposal.command {
                        Command::CreatePartitions { .. } => true,
                        Command::Recover { number, from, .. } => {
                            *from == change.node_id && *number == change.number
                        }
                        // A node whose own copy is the best gets no source.
                        Command::Reconfirm { .. } => {
                            after.topology.partitions[change.number as usize].is_synced(&change.node_id)
                        }
                        _ => false,
                    },
                );
            }
        }
        self.topology_revision_moves_with_the_topology(before, after);
        self.identities(before, after);
        partitions_step(before, after, proposal);
        copies_keep_to_the_limits(before, after, proposal);
        let elected = response.revision == after.revision
            && matches!(proposal.command, Command::LeaderElected { .. })
            && response.result == Ok(Reply::Done);
        assert_eq!(
            after.topology.leader_epoch,
            before.topology.leader_epoch + u64::from(elected)
        );
        self.no_change_without_an_event(after);
        holds(after);
    }

    /// Checks a membership entry, which emits no event and makes no plan stale.
    pub(super) fn check_membership_entry(&self, before: &State, after: &State) {
        assert_eq!(before.topology_revision, after.topology_revision);
        assert_eq!(before.topology.partitions, after.topology.partitions);
        self.no_change_without_an_event(after);
        holds(after);
    }

    fn topology_revision_moves_with_the_topology(&self, before: &State, after: &State) {
        let planned_from = |state: &State| {
            let topology = &state.topology;
            let nodes: Vec<Node> = topology
                .nodes
                .values()
                .map(|node| Node {
                    voter: false,
                    ..(**node).clone()
                })
                .collect();
            (
                topology.cluster_id.clone(),
                topology.config.clone(),
                nodes,
                topology.partitions.clone(),
                topology.maintenance.clone(),
            )
        };
        if planned_from(before) == planned_from(after) {
            assert_eq!(
                before.topology_revision, after.topology_revision,
                "moved without cause"
            );
        } else {
            assert_eq!(after.topology_revision, after.revision, "did not move");
        }
    }

    fn identities(&mut self, before: &State, after: &State) {
        for (id, node) in &after.topology.nodes {
            let known = before.topology.nodes.get(id);
            if known.is_none_or(|known| known.incarnation != node.incarnation) {
                assert_eq!(node.incarnation, after.revision);
                assert!(self.incarnations.insert(node.incarnation), "an incarnation twice");
            }
            if known.is_some_and(|known| known.raft_id == node.raft_id) {
                continue;
            }
            let first = self.raft_ids.insert(node.raft_id, id.clone()).is_none();
            assert!(first, "Raft id {} was given twice", node.raft_id);
        }
        for (id, node) in &before.topology.nodes {
            let now = after.topology.nodes.get(id);
            if now.is_none_or(|now| now.raft_id != node.raft_id) {
                self.retired.insert(node.raft_id);
            }
        }
        let used = after.topology.nodes.values().map(|node| node.raft_id);
        assert!(used.into_iter().all(|raft_id| !self.retired.contains(&raft_id)));
    }

    fn no_change_without_an_event(&self, after: &State) {
        let topology = &after.topology;
        assert_eq!(
            self.shadow.settled(topology),
            Shadow::of(topology).settled(topology),
            "the events do not tell what is"
        );
        for (id, absence) in &after.absent {
            assert_eq!(
                self.shadow.members.contains(id),
                !absence.leave_emitted,
                "whether {id} is here"
            );
        }
        assert_eq!(self.shadow.rebalancing, after.rebalance.is_some());
        let health = after.health.as_ref();
        match &self.shadow.health {
            None => assert!(health.is_none_or(|health| health.status == "healthy")),
            Some((status, ids, lost)) => {
                let health = health.expect("health was told");
                assert_eq!((&health.status, &health.unhealthy_node_ids), (status, ids));
                assert_eq!(&health.lost_partitions, lost);
            }
        }
    }
}

/// Sources serve, and are other nodes than the one that copies. A copy is assigned without a source only to a node that
/// has all of the data and is to confirm that.
fn check_change_event(after: &State, change: &PartitionChangeEvent, creation: bool) {
    let sources = &change.copy_from_nodes;
    assert!(sources.iter().all(|node| node.status.is_serving()));
    assert!(sources.iter().all(|node| node.id != change.node_id));
    let concerned = change.copy_to_node.as_ref().map(|node| &node.id);
    assert_eq!(concerned, Some(&change.node_id), "{change:?}");
    // An event names sources where there is something to copy, and only there.
    let partition = &after.topology.partitions[change.number as usize];
    let mut whole =
        up_to_date_holders(partition).filter(|_| !partition.synced().any(|node| after.is_serving(node)));
    let has_all = whole.any(|node| *node == change.node_id);
    let copies = change.change == RoleChange::GainedReplica && !creation && !has_all;
    assert_eq!(sources.is_empty(), !copies, "{change:?}");
    if change.change == RoleChange::GainedPrimary {
        assert_eq!(change.new_primary, change.node_id);
    }
}

/// A node at its limit starts no further copy.
fn copies_keep_to_the_limits(before: &State, after: &State, proposal: &Proposal) {
    // A plan may set a lower limit, and include copies that are under way already.
    let [limit, all] = after.migrations.limits();
    // Only copies of nodes with a hook for copies count, by the last confirmation of each node.
    let count = |state: &State| -> usize {
        let by_node = state.migrations.by_node.iter();
        let counted = by_node.filter(|(node, _)| !after.migrations.at_once.contains(*node));
        counted.map(|(_, lane)| lane.running.len()).sum()
    };
    assert!(
        count(after) <= all.max(count(before))
            || matches!(proposal.command, Command::Plan { .. } | Command::Reconfirm { .. }),
        "all copy too much: {:?} after {proposal:?}",
        after.migrations
    );
    for (node, lane) in &after.migrations.by_node {
        // A node whose hooks copy nothing has no limit.
        let limit = if after.migrations.at_once.contains(node) {
            usize::MAX
        } else {
            limit
        };
        let had = before
            .migrations
            .by_node
            .get(node)
            .map_or(0, |lane| lane.running.len());
        let grown = lane.running.len() > limit && lane.running.len() > had && after.is_serving(node);
        assert!(
            !grown || matches!(proposal.command, Command::Plan { .. } | Command::Reconfirm { .. }),
            "{node} copies too much: {lane:?} after {proposal:?}"
        );
        assert!(
            lane.queued.is_empty() || lane.running.len() >= limit || count(after) >= all,
            "{node} has room: {lane:?}"
        );
    }
}

fn partitions_step(before: &State, after: &State, proposal: &Proposal) {
    for old in &before.topology.partitions {
        let new = &after.topology.partitions[old.number as usize];
        let given = new.primary.is_some() && new.primary != old.primary;
        assert_eq!(new.epoch, old.epoch + u64::from(given), "{old:?} -> {new:?}");
        for node in new.synced().filter(|node| !old.is_synced(node)) {
            let told = old.copy(node).map(|copy| (old.number, copy.since));
            let confirmed = match &proposal.command {
                Command::Confirm {
                    node: who,
                    incarnation,
                    partitions,
                    ..
                } => {
                    who == node
                        && *incarnation == before.topology.nodes[node].incarnation
                        && told.is_some_and(|told| partitions.contains(&told))
                }
                // Or no node has acted on the partition since the copy counted.
                Command::MarkDown {
                    node: gone,
                    unleased_from,
                    ..
                }
                | Command::Remove {
                    node: gone,
                    unleased_from,
                    ..
                } => restored(old, node, gone, *unleased_from),
                Command::Join {
                    node: gone,
                    unleased_from,
                    ..
                } => restored(old, node, &gone.id, *unleased_from),
                // Or a person accepted the copy.
                Command::Recover { number, from, .. } => *number == old.number && from == node,
                _ => false,
            };
            assert!(confirmed, "{node} holds the data by magic: {old:?} -> {new:?}");
        }
        if old.primary != new.primary {
            role_was_moved_by_right(old, new, &proposal.command);
        }
        // A holder that has all of the data may have to confirm that first.
        let is_held = new.synced().chain(up_to_date_holders(new)).next().is_some();
        if old.synced().next().is_some() && !is_held {
            let Command::Remove { node, keep_last, .. } = &proposal.command else {
                panic!("the last copy was lost: {old:?} -> {new:?}");
            };
            assert!(!keep_last, "the last copy was to be kept: {old:?} -> {new:?}");
            assert!(old.synced().all(|holder| holder == node));
        }
    }
    assert!(after.topology.partitions.len() >= before.topology.partitions.len());
}

/// True where `node` had all of the data and its copy may count again: `gone` had the role of `old` and never acted in
/// it, or no node had the role.
fn restored(old: &Partition, node: &NodeId, gone: &NodeId, unleased_from: Option<u64>) -> bool {
    let void = match &old.primary {
        Some(primary) => primary == gone && unleased_from.is_some_and(|from| from <= old.granted),
        None => old.released.is_none(),
    };
    let copy = old.copy(node);
    void && copy.is_some_and(|copy| copy.stale_since > 0 && copy.stale_since >= old.idle_since)
}

/// A role is taken by a release that names the epoch, or from a node that goes down; it is given by a grant that names
/// the epoch, or to a node that has rejoined.
fn role_was_moved_by_right(old: &Partition, new: &Partition, command: &Command) {
    let by_right = match command {
        Command::Release { partitions } => partitions.contains(&(old.number, old.epoch)),
        // Taken where a better copy is up.
        Command::Reconfirm { node, .. } => {
            let better =
                |other: &&NodeId| *other != node && old.copy(other).is_some_and(|copy| !copy.unhooked);
            old.primary.as_ref() == Some(node)
                && new.primary.is_none()
                && old.synced().any(|other| better(&other))
        }
        Command::Grant { grants } => {
            let fits = |grant: &Grant| {
                (grant.number, grant.epoch) == (old.number, old.epoch)
                    && Some(&grant.to) == new.primary.as_ref()
            };
            old.primary.is_none() && grants.iter().any(fits)
        }
        Command::MarkDown { node, .. } | Command::Remove { node, .. } => old.primary.as_ref() == Some(node),
        Command::Join { node, .. } => old.primary.as_ref() == Some(&node.id),
        // Where a node may still act, the role is taken first and granted later.
        Command::Recover { number, from, .. } => {
            *number == old.number
                && (new.primary.is_none() || (old.primary.is_none() && new.primary.as_ref() == Some(from)))
        }
        Command::Activate { node, .. } => old.primary.is_none() && new.primary.as_ref() == Some(node),
        _ => false,
    };
    assert!(by_right, "{command:?}: {old:?} -> {new:?}");
}

/// The invariants of every state.
pub(super) fn holds(state: &State) {
    let topology = &state.topology;
    for (number, partition) in topology.partitions.iter().enumerate() {
        assert_eq!(partition.number as usize, number);
        partition_holds(state, partition);
    }
    assert_eq!(
        state.rebalance.is_some(),
        topology.partitions.iter().any(|p| p.target.is_some()),
        "a rebalance is under way while something moves"
    );

    let mut moves = Migrations {
        limit: state.migrations.limit,
        at_once: state.migrations.at_once.clone(),
        ..Migrations::default()
    };
    for partition in &topology.partitions {
        moves.index_partition(partition);
    }
    assert_eq!(
        state.migrations, moves,
        "what is kept of the moves follows from the targets"
    );
    let is_lost = |p: &&Arc<Partition>| !p.synced().any(|node| state.is_serving(node));
    let lost = topology.partitions.iter().filter(is_lost).map(|p| p.number);
    assert_eq!(state.lost, lost.collect());
    if let Some(health) = &state.health {
        let names = state.lost.iter().copied().map(partition_id);
        assert!(names.eq(health.lost_partitions.iter().cloned()), "{health:?}");
    }

    let nodes: Vec<&NodeId> = topology.nodes.keys().collect();
    assert_eq!(state.processes.keys().collect::<Vec<_>>(), nodes);
    for (id, node) in &topology.nodes {
        assert!(!id.is_empty() && *id == node.id);
        assert!(node.incarnation <= state.revision && node.raft_id < state.next_raft_id);
        assert_eq!(
            state.sessions.is_open(node.incarnation),
            node.status != NodeStatus::Stopped,
            "{id}"
        );
        assert!(state.sessions.owners().filter(|owner| *owner == id).count() <= 4);
    }
    assert!(
        state
            .sessions
            .owners()
            .all(|owner| topology.nodes.contains_key(owner))
    );
    let raft_ids: BTreeSet<u64> = topology.nodes.values().map(|node| node.raft_id).collect();
    assert_eq!(raft_ids.len(), nodes.len());
    for id in state.absent.keys() {
        assert!(!topology.nodes[id].status.is_serving(), "{id} is here");
    }
    assert!(state.removed.keys().all(|id| !topology.nodes.contains_key(id)));

    let bytes: usize = state
        .data
        .iter()
        .map(|(key, entry)| key.len() + entry.value.len())
        .sum();
    assert_eq!(state.data.bytes(), bytes);
    assert!(bytes <= MAX_DATA_BYTES);
    assert!(
        state
            .data
            .iter()
            .all(|(_, entry)| entry.revision <= state.revision)
    );
}

fn partition_holds(state: &State, partition: &Partition) {
    let serving = |node: &NodeId| state.is_serving(node);
    let copies = &partition.copies;
    assert!(
        copies.windows(2).all(|pair| pair[0].node < pair[1].node),
        "{partition:?}"
    );
    assert!(
        copies.iter().all(|c| state.topology.nodes.contains_key(&c.node)),
        "{partition:?}"
    );
    assert!(copies.iter().all(|c| c.since <= state.revision), "{partition:?}");
    // A primary has the data and serves: it neither joins nor has stopped.
    if let Some(primary) = &partition.primary {
        assert!(partition.is_synced(primary) && serving(primary), "{partition:?}");
        assert!(partition.released.is_none(), "{partition:?}");
    }
    if let Some((holder, since)) = &partition.released {
        assert!(serving(holder), "{partition:?}");
        assert!(*since <= state.revision);
    }
    if let Some(target) = &partition.target {
        assert!(
            target.nodes.windows(2).all(|pair| pair[0] < pair[1]),
            "{partition:?}"
        );
        assert!(target.nodes.contains(&target.primary), "{partition:?}");
        assert!(
            target
                .nodes
                .iter()
                .all(|node| partition.copy(node).is_some() || serving(node)),
            "{partition:?}"
        );
        assert!(serving(&target.primary), "{partition:?}");
    }
    // While a serving node has the data, a node that is away is behind it.
    let (up, away): (Vec<&NodeId>, Vec<&NodeId>) = partition.synced().partition(|node| serving(node));
    assert!(up.is_empty() || away.is_empty(), "{partition:?}");
    let fresh = copies.iter().filter(|copy| copy.state == CopyState::Synced);
    assert!(
        fresh.into_iter().all(|copy| copy.stale_since == 0),
        "{partition:?}"
    );
    assert!(partition.granted <= state.revision && partition.idle_since <= state.revision);
    let pending = copies
        .iter()
        .filter(|copy| copy.state == CopyState::Pending)
        .count();
    assert_eq!(pending, partition.pending().count());
    assert!(partition.epoch >= 1);
}
