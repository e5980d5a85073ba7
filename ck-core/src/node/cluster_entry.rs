//! What a node says of itself to the members of a cluster that it wants to enter.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::context::NodeContext;
use super::leader_client::LeaderClient;
use super::server::Server;
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{Bootstrap, Identity, Joiner};
use crate::model::{NodeId, RaftId, whole_millis};
use crate::rpc::{Forming, JoinRequest};
use crate::state::NodeSpec;

/// A node's way into a cluster: its description of itself, its part in founding a cluster, and what it waits for.
pub(super) struct ClusterEntry {
    pub(super) context: Arc<NodeContext>,
    pub(super) leader: LeaderClient,
    server: Arc<Server>,
    /// This node's part in founding a cluster, until the node belongs to one.
    pub(super) bootstrap: Bootstrap,
    /// What the node waits for before it is ready, as text for people.
    waiting: Mutex<Option<String>>,
}

impl ClusterEntry {
    pub(super) fn new(context: Arc<NodeContext>, leader: LeaderClient, server: Arc<Server>) -> Self {
        let founding = context.options.bootstrap_expectation();
        ClusterEntry {
            bootstrap: Bootstrap::new(context.me.clone(), context.process, founding),
            context,
            leader,
            server,
            waiting: Mutex::default(),
        }
    }

    /// What this node reports to others of its part in founding a cluster; `None` on a node that may not found.
    pub(super) fn forming(&self) -> Option<Forming> {
        self.bootstrap.status()
    }

    /// Records the promise that an earlier process of this node has made.
    pub(super) fn remember_promise(&self, founder: NodeId) {
        self.bootstrap.promise(founder);
    }

    /// This node belongs to a cluster now: no founder may rely on its promise any more.
    pub(super) async fn withdraw_promise(&self) {
        let _turn = self.bootstrap.lock_turn().await;
        self.bootstrap.close();
    }

    /// Records what this node waits for, for people.
    pub(super) fn waits_for(&self, what: String) {
        *self.waiting.lock() = Some(what);
    }

    /// What this node last waited for while it entered a cluster.
    pub(super) fn waiting(&self) -> Option<String> {
        self.waiting.lock().clone()
    }

    /// Checks that a founder is restarted with the `partition_count` and `replication_factor` that were fixed at
    /// bootstrap.
    ///
    /// # Errors
    /// [`ErrorCode::ClusterMismatch`] where one of them differs.
    pub(super) fn check_agreement(&self, identity: &Identity) -> Result<()> {
        let Some(config) = &identity.founding else {
            return Ok(());
        };
        let differ = |option: &str, asked: u32, fixed: u32| {
            Error::new(
                ErrorCode::ClusterMismatch,
                format!(
                    "{option} {asked} was asked for, but the cluster was founded with {fixed}, which is fixed"
                ),
            )
        };
        let options = &self.context.options;
        match (options.partition_count, options.replication_factor) {
            (Some(asked), _) if asked != config.partition_count => {
                Err(differ("partition_count", asked, config.partition_count))
            }
            (_, Some(asked)) if asked != config.replication_factor => {
                Err(differ("replication_factor", asked, config.replication_factor))
            }
            _ => Ok(()),
        }
    }

    /// This node's description of itself, for a join.
    pub(super) fn spec(&self) -> NodeSpec {
        let (ip, peer_addr) = match self.server.listening() {
            Some(listening) => (listening.http_addr.clone(), listening.peer_addr.clone()),
            None => (String::new(), String::new()),
        };
        let options = &self.context.options;
        NodeSpec {
            id: self.context.me.clone(),
            name: options.effective_node_name(),
            port: ip
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .unwrap_or(0),
            ip,
            peer_addr,
            services: options.services.clone(),
            zone: options.zone.clone(),
            weight: options.weight,
            labels: options.labels.clone(),
            process: self.context.process,
            raft_id: None,
        }
    }

    /// The request to join; with an identity (Raft id and cluster id), the request to rejoin.
    pub(super) fn join_request(&self, identity: Option<(RaftId, String)>) -> JoinRequest {
        let mut spec = self.spec();
        spec.raft_id = identity.as_ref().map(|(raft_id, _)| *raft_id);
        let options = &self.context.options;
        JoinRequest {
            spec,
            cluster_name: options.cluster_name.clone(),
            cluster_id: identity.map(|(_, cluster_id)| cluster_id),
            partition_count: options.partition_count,
            replication_factor: options.replication_factor,
            lease_ttl_ms: options.lease_ttl.map(whole_millis),
            failure_timeout_ms: options.requested_failure_timeout().map(whole_millis),
            election_timeout_ms: Some(whole_millis(options.timing.values().election_max)),
        }
    }

    /// Asks members to admit this node.
    pub(super) fn joiner(&self) -> Joiner {
        let own: BTreeSet<String> = self
            .server
            .listening()
            .map(|listening| BTreeSet::from([listening.http_addr.clone(), listening.peer_addr.clone()]))
            .unwrap_or_default();
        let context = &self.context;
        let leader = context.raft_parts().ok().and_then(|parts| {
            let leader = parts.raft.leader()?;
            (leader != parts.raft.raft_id()).then(|| context.peers.address_of(leader))?
        });
        Joiner {
            peers: context.peers.clone(),
            addresses: context.addresses.clone(),
            join_addrs: context.options.join_addrs.clone(),
            own,
            leader,
        }
    }
}
