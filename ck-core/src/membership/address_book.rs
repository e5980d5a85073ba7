//! Where Raft nodes are dialled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::raft::{Addresses, AppliedState, RaftId};

/// Addresses from the replicated topology, and hints for what it does not say yet: a cluster whose members come
/// back with new addresses has no leader to commit them until they have found each other.
pub(crate) struct AddressBook {
    applied: Arc<AppliedState>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    cluster_id: String,
    hints: BTreeMap<RaftId, Hint>,
}

/// Where a Raft node is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerAddress {
    pub(crate) raft_id: RaftId,
    pub(crate) address: String,
    /// The node's incarnation as far as the teller knows: the later one is right.
    pub(crate) incarnation: u64,
    /// The node said so itself, and the log does not say so yet.
    pub(crate) hinted: bool,
}

struct Hint {
    address: String,
    /// The node's incarnation when the hint came; a later one has said its address itself.
    incarnation: u64,
}

impl AddressBook {
    pub(crate) fn new(applied: Arc<AppliedState>) -> Self {
        AddressBook {
            applied,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_cluster_id(&self, id: &str) {
        id.clone_into(&mut self.inner().cluster_id);
    }

    /// Notes where a node said that it is, until the log says so.
    pub(crate) fn hint(&self, raft_id: RaftId, address: String) {
        let incarnation = self.known(raft_id).map_or(0, |(incarnation, _)| incarnation);
        self.inner().hints.insert(raft_id, Hint { address, incarnation });
    }

    /// Notes what a peer said of a third node, where that is newer than what this node knows.
    pub(crate) fn learn(&self, peer: PeerAddress) {
        let newer = match self.known(peer.raft_id) {
            None => true,
            Some((incarnation, address)) => {
                let later = peer.incarnation > incarnation;
                later || (peer.hinted && peer.incarnation == incarnation && peer.address != address)
            }
        };
        if newer {
            self.hint(peer.raft_id, peer.address);
        }
    }

    /// Everything that is known, for a node that asks.
    pub(crate) fn entries(&self) -> Vec<PeerAddress> {
        let topology = self.applied.topology();
        let mut known: BTreeMap<RaftId, PeerAddress> = BTreeMap::new();
        for node in topology.nodes.values() {
            let peer = PeerAddress {
                raft_id: node.raft_id,
                address: node.peer_addr.clone(),
                incarnation: node.incarnation,
                hinted: false,
            };
            known.insert(peer.raft_id, peer);
        }
        for (raft_id, hint) in &self.inner().hints {
            let known_incarnation = known.get(raft_id).map_or(0, |peer| peer.incarnation);
            if hint.incarnation >= known_incarnation {
                let address = hint.address.clone();
                let peer = PeerAddress {
                    raft_id: *raft_id,
                    address,
                    incarnation: hint.incarnation,
                    hinted: true,
                };
                known.insert(*raft_id, peer);
            }
        }
        known.into_values().collect()
    }

    fn known(&self, raft_id: RaftId) -> Option<(u64, String)> {
        let topology = self.applied.view().load();
        let node = topology.nodes().iter().find(|node| node.raft_id == raft_id)?;
        Some((node.incarnation, node.peer_addr.clone()))
    }
}

impl Addresses for AddressBook {
    fn address_of(&self, raft_id: RaftId) -> Option<String> {
        let known = self.known(raft_id);
        let incarnation = known.as_ref().map_or(0, |(incarnation, _)| *incarnation);
        let inner = self.inner();
        match inner.hints.get(&raft_id) {
            Some(hint) if hint.incarnation >= incarnation => Some(hint.address.clone()),
            _ => known.map(|(_, address)| address),
        }
    }

    fn cluster_id(&self) -> String {
        self.inner().cluster_id.clone()
    }
}
