//! Who is at an end of a connection.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::KeyId;
use crate::model::NodeId;

/// Who this node is: what it says of itself on each connection that it makes.
#[derive(Debug, Default)]
pub struct LocalIdentity {
    node: OnceLock<NodeId>,
    /// 0 before it has one.
    raft_id: AtomicU64,
}

impl LocalIdentity {
    /// The identity of a node that has no Raft id yet.
    pub fn new(node: NodeId) -> Self {
        LocalIdentity {
            node: OnceLock::from(node),
            raft_id: AtomicU64::new(0),
        }
    }

    /// The node's id; `None` for a program that is no node.
    pub fn node(&self) -> Option<&NodeId> {
        self.node.get()
    }

    /// The node's Raft id; 0 before it has one.
    pub fn raft_id(&self) -> u64 {
        self.raft_id.load(Ordering::Acquire)
    }

    /// Notes the Raft id. Connections that were made before are replaced when they are needed again.
    pub fn set_raft_id(&self, raft_id: u64) {
        self.raft_id.store(raft_id, Ordering::Release);
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The node that it says to be.
    pub node: NodeId,
    /// Its Raft id; 0 for a node that had none when it made the connection.
    pub raft_id: u64,
    /// The key with which it has proved that; `None` where there is nothing to prove.
    pub key_id: Option<KeyId>,
}
