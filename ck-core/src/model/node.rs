//! One member of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The name that the application gave a node; cheap to clone.
pub type NodeId = Arc<str>;

/// A node's Raft id. It is assigned through the log and never reused.
pub(crate) type RaftId = u64;

/// The status of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// Admitted and catching up with the log. Holds no partition yet.
    Joining,
    /// A full member.
    Active,
    /// Handing its partitions over before it is removed.
    Leaving,
    /// Shut down gracefully; expected to rejoin.
    Stopped,
    /// Marked as failed after too long without a heartbeat; may rejoin.
    Failed,
}

impl NodeStatus {
    /// Every status.
    pub const ALL: [NodeStatus; 5] = [
        NodeStatus::Joining,
        NodeStatus::Active,
        NodeStatus::Leaving,
        NodeStatus::Stopped,
        NodeStatus::Failed,
    ];

    /// The status as it is spelled in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            NodeStatus::Joining => "joining",
            NodeStatus::Active => "active",
            NodeStatus::Leaving => "leaving",
            NodeStatus::Stopped => "stopped",
            NodeStatus::Failed => "failed",
        }
    }

    /// True when a process of this node takes part in the cluster, as far as the cluster knows.
    pub const fn is_up(self) -> bool {
        matches!(
            self,
            NodeStatus::Joining | NodeStatus::Active | NodeStatus::Leaving
        )
    }

    /// True when the node may serve the partitions that it holds.
    pub const fn is_serving(self) -> bool {
        matches!(self, NodeStatus::Active | NodeStatus::Leaving)
    }
}

/// The health that the application on a node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeHealthState {
    /// All is well.
    #[default]
    Healthy,
    /// It works, with a problem to look at.
    Degraded,
    /// It cannot do its work.
    Failing,
}

/// A member of the cluster, as every node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name that the application gave it.
    pub id: NodeId,
    /// The advertised `host:port` of its HTTP API; the name is the Go ClusterKit's.
    pub ip: String,
    /// The port in [`Node::ip`].
    pub port: u16,
    /// A display name.
    pub name: String,
    /// Its status.
    pub status: NodeStatus,
    /// The application's own endpoints: name to `:port` (this node's host) or `host:port`.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    /// The failure zone, if the operator named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its share of the partitions relative to other nodes; 100 is usual, 0 takes no new ones.
    pub weight: u32,
    /// Free-form labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Increases with every start of this node's process: the revision at which the process was admitted. A message of
    /// an earlier incarnation is stale.
    pub incarnation: u64,
    /// True when it votes in elections.
    pub voter: bool,
    /// The health that the application last reported.
    #[serde(default)]
    pub health: NodeHealthState,
    /// The reason, if it is not healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health_reason: String,
    /// When the cluster last recorded contact with it. Routine heartbeats do not update it.
    pub last_seen: Timestamp,
    /// When it first joined.
    pub joined_at: Timestamp,
    /// Its Raft id: taken from the log, never reused.
    pub raft_id: u64,
    /// The address that peers dial: [`Node::ip`], unless it has a separate listener for peers.
    pub peer_addr: String,
}

#[cfg(test)]
impl Node {
    /// An active voter, for tests of something else.
    pub(crate) fn sample(id: &str) -> Self {
        let address = format!("{id}.example:8080");
        Node {
            id: id.into(),
            ip: address.clone(),
            port: 8080,
            name: id.to_uppercase(),
            status: NodeStatus::Active,
            services: BTreeMap::new(),
            zone: None,
            weight: 100,
            labels: BTreeMap::new(),
            incarnation: 1,
            voter: true,
            health: NodeHealthState::Healthy,
            health_reason: String::new(),
            last_seen: Timestamp::default(),
            joined_at: Timestamp::default(),
            raft_id: 1,
            peer_addr: address,
        }
    }
}
