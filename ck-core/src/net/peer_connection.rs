//! A served connection, as the handler of its requests sees it.

use std::net::SocketAddr;
#[cfg(any(feature = "sim", feature = "testing"))]
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[cfg(any(feature = "sim", feature = "testing"))]
use super::LocalIdentity;
use super::Principal;
use crate::error::{Error, ErrorCode, Result};

/// There is one of these for as long as its connection is served, or a request that came over it is being answered. State
/// that belongs to the connection can hold it weakly, and end with it.
///
/// It knows who has made the connection, where that was said, and proved where the cluster has a secret. It also keeps the
/// Raft id in whose name the first call came over it: one process makes a connection, and acts for one node.
#[derive(Debug, Default)]
pub struct PeerConnection {
    principal: Option<Principal>,
    remote: Option<SocketAddr>,
    raft_id: OnceLock<u64>,
    proven: AtomicBool,
    became_proven: Notify,
}

impl PeerConnection {
    /// A connection that was made by this node, where it said which it is.
    pub fn of(principal: Option<Principal>) -> Self {
        PeerConnection {
            principal,
            ..PeerConnection::default()
        }
    }

    /// The same, from this address.
    pub(super) fn at(self, remote: SocketAddr) -> Self {
        PeerConnection {
            remote: Some(remote),
            ..self
        }
    }

    /// The address that it was made from, on a network that has addresses.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The connection as its handler sees it, on a network without connections of its own: `present`, or a new one where the
    /// caller has another identity by now.
    #[cfg(any(feature = "sim", feature = "testing"))]
    pub(super) fn current(present: &mut Arc<Self>, identity: Option<&LocalIdentity>) -> Arc<Self> {
        if let Some((node, raft_id)) = identity.and_then(|known| Some((known.node()?, known.raft_id())))
            && present.principal().is_none_or(|known| known.raft_id != raft_id)
        {
            *present = Arc::new(PeerConnection::of(Some(Principal {
                node: node.clone(),
                raft_id,
                key_id: None,
            })));
        }
        present.clone()
    }

    /// Who has made the connection, where that was said.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Refuses a call in the name of another node than the one that has made the connection.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`], with both names.
    pub fn check_node(&self, node: &str) -> Result<()> {
        match &self.principal {
            Some(principal) if *principal.node != *node => Err(Error::new(
                ErrorCode::Refused,
                format!(
                    "a call in the name of node {node:?} over a connection of node {:?}",
                    principal.node
                ),
            )),
            _ => Ok(()),
        }
    }

    /// True unless the connection was made by another Raft node, or an earlier call over it was made in the name of another
    /// one.
    pub fn is_from(&self, raft_id: u64) -> bool {
        if self
            .principal
            .as_ref()
            .is_some_and(|principal| principal.raft_id != raft_id)
        {
            return false;
        }
        *self.raft_id.get_or_init(|| raft_id) == raft_id
    }

    /// Notes that a member has called over it: from now on it is not evicted, and has the limits of a peer.
    pub fn mark_proven(&self) {
        if !self.proven.swap(true, Ordering::AcqRel) {
            self.became_proven.notify_one();
        }
    }

    /// True once a member has called over it.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Returns once a member has called over it. To be awaited by one task only.
    pub(super) async fn wait_proven(&self) {
        while !self.is_proven() {
            self.became_proven.notified().await;
        }
    }
}
