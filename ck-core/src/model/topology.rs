//! The part of the replicated state that routing reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, Node, NodeId, NodeStatus, Partition, Partitions, Timestamp};

/// Members, partitions and leader at one revision. Shared and immutable once a view holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// The cluster's id, created at bootstrap; empty before.
    pub cluster_id: String,
    /// The settings that are the same in the whole cluster.
    pub config: ClusterConfig,
    /// Every member, by id.
    pub nodes: BTreeMap<NodeId, Arc<Node>>,
    /// Every partition, by number. Empty until a leader has created them.
    pub partitions: Partitions,
    /// The node whose leadership was recorded last.
    pub leader: Option<NodeId>,
    /// Counts leaderships: a fencing token, unlike the term.
    pub leader_epoch: u64,
    /// The Raft term of that leadership.
    pub leader_term: u64,
    /// When that leadership began.
    pub elected_at: Timestamp,
    /// Set during maintenance, while no migrations are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// The factor by which election timeouts are stretched, because heartbeats come late; 0 and 1 mean not at all. See
    /// [`election_stretch`](Topology::election_stretch).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stretch: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Maintenance: no migrations are planned, and nothing is copied elsewhere for members that have failed. Primaries
/// still fail over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The reason, for people.
    pub reason: String,
    /// True when the cluster began it by itself, because more than half of the members had failed. Then it also ends
    /// by itself once all of them are back.
    pub automatic: bool,
}

impl Topology {
    /// The factor by which election timeouts are stretched beyond what the options say, because the leader has seen
    /// heartbeats and timers come late: 1 on quiet machines.
    pub const fn election_stretch(&self) -> u32 {
        if self.stretch == 0 { 1 } else { self.stretch }
    }

    /// The partitions of which no member that is up holds the data.
    pub fn lost(&self) -> impl Iterator<Item = u32> {
        let lost = move |p: &&Arc<Partition>| !p.synced().any(|id| self.is_serving(id));
        self.partitions.iter().filter(lost).map(|p| p.number)
    }

    /// True when `id` is a member that may serve partitions.
    pub fn is_serving(&self, id: &str) -> bool {
        self.nodes.get(id).is_some_and(|node| node.status.is_serving())
    }

    /// The members that serve, by id.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &NodeId> {
        let serving = self.nodes.values().filter(|node| node.status.is_serving());
        serving.map(|node| &node.id)
    }

    /// The number of members that take new partitions.
    pub fn active_count(&self) -> usize {
        self.nodes
            .values()
            .filter(|node| node.status == NodeStatus::Active)
            .count()
    }
}
