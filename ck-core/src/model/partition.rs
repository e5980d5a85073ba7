//! One partition: who holds it and who may write it.

use serde::{Deserialize, Serialize};

use super::NodeId;

/// What a node is to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes the writes.
    Primary,
    /// Holds a copy.
    Replica,
}

impl Role {
    /// The role as it is spelt in every language: `primary` or `replica`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// How far one copy of a partition can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// The holder has said that it has the data. Only such a copy can be primary.
    Synced,
    /// The holder has been told to copy the data and has not confirmed.
    Pending,
}

/// One holder of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCopy {
    /// The holder.
    pub node: NodeId,
    /// How far it can be trusted.
    pub state: CopyState,
    /// The revision at which the holder was last told to copy: a confirmation names it, so that one for an
    /// earlier assignment counts for nothing.
    pub since: u64,
    /// The revision at which a copy that counted ceased to count, because its node went or others were ahead of it; 0
    /// where it counts, or never did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_since: u64,
    /// The holder confirmed it while no hook that copies was registered: it counts as long as no better one is there, and
    /// no longer than until the application has registered one, which is then asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhooked: bool,
    /// A hook of the holder has said that the data is there. Neither holds for a copy that was never to be made: one of a
    /// partition that was new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PartitionCopy {
    /// The copy of a node that was told to copy at revision `since`.
    pub fn new(node: NodeId, state: CopyState, since: u64) -> Self {
        PartitionCopy {
            node,
            state,
            since,
            stale_since: 0,
            unhooked: false,
            hooked: false,
        }
    }
}

/// Where a partition is going while it moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The nodes that are to hold it, sorted by id.
    pub nodes: Vec<NodeId>,
    /// The one of them that is to be primary.
    pub primary: NodeId,
}

/// A partition, as the replicated state holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 0.
    pub number: u32,
    /// Grows whenever the primary changes. Applications hand it to their storage as a fencing token.
    pub epoch: u64,
    /// The node that takes writes. `None` between release and grant, and when no copy holds the data.
    pub primary: Option<NodeId>,
    /// Every holder, sorted by node id, pending ones included.
    pub copies: Vec<PartitionCopy>,
    /// Set while the partition moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Between release and grant: who had the role, and the revision at which it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<(NodeId, u64)>,
    /// The revision that gave the present primary its role. It acts only under a lease that names this revision or a
    /// later one: so the leader that grants leases knows of a role that was given to a dead process that it never acted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub granted: u64,
    /// Between this revision and [`Partition::granted`] nobody has acted as primary: whoever counted as holding the data
    /// then still has all of it for as long as the present primary has not acted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle_since: u64,
}

/// A partition's condition, for people and for `/ready`: the first of [`PartitionState::ALL`] that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartitionState {
    /// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor asks for.
    Ok,
    /// It has a primary and enough copies, and a copy or the role is on its way to another node.
    Moving,
    /// It has a primary, and fewer nodes that are up hold the data than the replication factor asks for: copies are
    /// being made, their nodes are away, or there are too few nodes.
    UnderReplicated,
    /// The role is between two holders, or waits for one.
    NoPrimary,
    /// No node that is up holds the data.
    Lost,
}

impl PartitionState {
    /// Every state, the worst first: a partition is in the first whose condition holds.
    pub const ALL: [PartitionState; 5] = [
        PartitionState::Lost,
        PartitionState::NoPrimary,
        PartitionState::UnderReplicated,
        PartitionState::Moving,
        PartitionState::Ok,
    ];

    /// The state as it is spelt in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            PartitionState::Ok => "ok",
            PartitionState::Moving => "moving",
            PartitionState::UnderReplicated => "under_replicated",
            PartitionState::NoPrimary => "no_primary",
            PartitionState::Lost => "lost",
        }
    }
}

impl Partition {
    /// The copy that `node` holds, if it holds one.
    pub fn copy(&self, node: &str) -> Option<&PartitionCopy> {
        self.copies.iter().find(|copy| &*copy.node == node)
    }

    /// True when `node` holds the data.
    pub fn is_synced(&self, node: &str) -> bool {
        self.copy(node)
            .is_some_and(|copy| copy.state == CopyState::Synced)
    }

    /// The holders that have the data.
    pub fn synced(&self) -> impl Iterator<Item = &NodeId> {
        self.copies
            .iter()
            .filter(|copy| copy.state == CopyState::Synced)
            .map(|copy| &copy.node)
    }

    /// The holders that have the data, among those of `serving`; where a hook has confirmed any of them, without those that
    /// were confirmed while there was none.
    pub fn successors(&self, serving: impl Fn(&NodeId) -> bool) -> Vec<&NodeId> {
        let able = |copy: &&PartitionCopy| copy.state == CopyState::Synced && serving(&copy.node);
        let successors: Vec<&PartitionCopy> = self.copies.iter().filter(able).collect();
        let asked = successors.iter().any(|copy| copy.hooked);
        let successors = successors.into_iter().filter(|copy| !(asked && copy.unhooked));
        successors.map(|copy| &copy.node).collect()
    }

    /// The holders that are still copying.
    pub fn pending(&self) -> impl Iterator<Item = &NodeId> {
        self.copies
            .iter()
            .filter(|copy| copy.state == CopyState::Pending)
            .map(|copy| &copy.node)
    }

    /// Every node that it names, some more than once.
    pub(crate) fn named(&self) -> impl Iterator<Item = &NodeId> {
        let copies = self.copies.iter().map(|copy| &copy.node);
        let target = self.target.iter().flat_map(|target| &target.nodes);
        let released = self.released.iter().map(|(node, _)| node);
        copies.chain(&self.primary).chain(target).chain(released)
    }

    /// True when nothing is under way and nothing amiss: it has a primary, every copy holds the data, and neither a copy
    /// nor the role moves. Whether its nodes are up is not asked.
    pub fn is_settled(&self) -> bool {
        self.primary.is_some()
            && self.target.is_none()
            && self.released.is_none()
            && self.pending().next().is_none()
    }

    /// One that is settled, for tests that look at something else.
    #[cfg(test)]
    pub(crate) fn sample(number: u32) -> Self {
        Partition {
            number,
            epoch: 1,
            primary: Some("a".into()),
            copies: vec![PartitionCopy::new("a".into(), CopyState::Synced, 1)],
            target: None,
            released: None,
            granted: 0,
            idle_since: 0,
        }
    }

    /// True when `target` is where the partition is, with nothing left to do, or already on its way to.
    pub fn is_bound_for(&self, target: &Target) -> bool {
        if let Some(present) = &self.target {
            return present == target;
        }
        self.primary.as_ref() == Some(&target.primary)
            && self.copies.len() == target.nodes.len()
            && self
                .copies
                .iter()
                .zip(&target.nodes)
                .all(|(copy, node)| copy.node == *node)
    }

    /// The partition's condition where `replication_factor` copies are wanted and the nodes that `serves` names are up.
    pub fn state(&self, replication_factor: u32, serves: impl Fn(&NodeId) -> bool) -> PartitionState {
        let copies = self.synced().filter(|node| serves(node)).count();
        if copies == 0 {
            PartitionState::Lost
        } else if self.primary.is_none() {
            PartitionState::NoPrimary
        } else if copies < replication_factor as usize {
            PartitionState::UnderReplicated
        } else if self.target.is_some() || self.pending().next().is_some() {
            PartitionState::Moving
        } else {
            PartitionState::Ok
        }
    }
}
