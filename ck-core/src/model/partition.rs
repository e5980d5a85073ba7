//! One partition: which nodes hold it, and which one may write it.

use serde::{Deserialize, Serialize};

use super::NodeId;

/// The role of a node for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes the writes.
    Primary,
    /// Holds a copy.
    Replica,
}

impl Role {
    /// The role as it is spelled in every language: `primary` or `replica`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// The state of one copy of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// The holder has confirmed that it has the data, or the partition was new. Only such a copy can be primary.
    Synced,
    /// The holder has to copy the data and has not confirmed it.
    Pending,
}

/// One holder of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCopy {
    /// The holder.
    pub node: NodeId,
    /// The state of its copy.
    pub state: CopyState,
    /// The revision at which the holder was last assigned the copy. A confirmation names it, so that a confirmation of
    /// an earlier assignment is ignored.
    pub since: u64,
    /// The revision at which a synced copy ceased to count, because its node was gone or other copies were ahead of it;
    /// 0 when it counts, or never did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_since: u64,
    /// The holder confirmed it while no hook that copies was registered. It counts while there is no better copy, and
    /// no longer than until the application has registered such a hook, which is then called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhooked: bool,
    /// A hook of the holder has confirmed the data. For a copy of a new partition, which never had to be made, both
    /// this and `unhooked` are false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PartitionCopy {
    /// The copy of a node that was assigned it at revision `since`.
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

/// The destination of a partition while it moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The nodes that are to hold it, sorted by id.
    pub nodes: Vec<NodeId>,
    /// The node among them that is to be primary.
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
    /// Between release and grant: the node that had the role, and the revision at which it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<(NodeId, u64)>,
    /// The revision that gave the present primary its role. The primary acts only under a lease that names this
    /// revision or a later one. So, when a role was given to a process that had died, the leader that grants the leases
    /// knows that it was never acted on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub granted: u64,
    /// Between this revision and [`Partition::granted`] no node has acted as primary: every node that counted as
    /// holding the data then still has all of it, for as long as the present primary has not acted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle_since: u64,
}

/// A partition's condition, for people and for `/ready`: the first of [`PartitionState::ALL`] that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartitionState {
    /// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor requires.
    Ok,
    /// It has a primary and enough copies, and a copy or the primary role is moving to another node.
    Moving,
    /// It has a primary, and fewer nodes that are up hold the data than the replication factor requires: copies are
    /// being made, their nodes are away, or there are too few nodes.
    UnderReplicated,
    /// The primary role is between two holders, or no node has it yet.
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

    /// The state as it is spelled in JSON.
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

    /// The holders that have the data, among the nodes that `serving` accepts. If a hook has confirmed any of their
    /// copies, those that were confirmed without a hook are left out.
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

    /// Every node that the partition names, some more than once.
    pub(crate) fn mentioned(&self) -> impl Iterator<Item = &NodeId> {
        let copies = self.copies.iter().map(|copy| &copy.node);
        let target = self.target.iter().flat_map(|target| &target.nodes);
        let released = self.released.iter().map(|(node, _)| node);
        copies.chain(&self.primary).chain(target).chain(released)
    }

    /// True when nothing is in progress or missing: it has a primary, every copy holds the data, and neither a copy nor
    /// the role moves. This does not check whether its nodes are up.
    pub fn is_stable(&self) -> bool {
        self.primary.is_some()
            && self.target.is_none()
            && self.released.is_none()
            && self.pending().next().is_none()
    }

    /// A stable partition, for tests of something else.
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

    /// True when the partition is already moving to `target`, or has reached it.
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

    /// The partition's condition when `replication_factor` copies are required and the nodes that `serves` accepts are
    /// up.
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
