//! The addresses at which Raft nodes are dialled.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::model::RaftId;
use crate::raft::AppliedState;
use crate::rpc::{Addresses, PeerAddress};

/// Addresses from the replicated topology, and hints for addresses that it does not have yet: a cluster whose members
/// restart with new addresses has no leader that could commit them before they have found each other.
pub(crate) struct AddressBook {
    applied: Arc<AppliedState>,
    inner: Mutex<AddressState>,
}

#[derive(Default)]
struct AddressState {
    cluster_id: String,
    hints: BTreeMap<RaftId, Hint>,
}

struct Hint {
    address: String,
    /// The node's incarnation when the hint came. A later incarnation has committed its own address.
    incarnation: u64,
}

impl AddressBook {
    pub(crate) fn new(applied: Arc<AppliedState>) -> Self {
        AddressBook {
            applied,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, AddressState> {
        self.inner.lock()
    }

    pub(crate) fn set_cluster_id(&self, id: &str) {
        id.clone_into(&mut self.inner().cluster_id);
    }

    /// Records the address that a node named for itself, until the log has it.
    pub(crate) fn hint(&self, raft_id: RaftId, address: String) {
        let incarnation = self.known(raft_id).map_or(0, |(incarnation, _)| incarnation);
        self.inner().hints.insert(raft_id, Hint { address, incarnation });
    }

    /// Records what a peer said of a third node, where that is newer than what this node knows.
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

    /// All known addresses, for a node that asks.
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
