//! What a node answers at once, from what it has applied and from what it knows of the present.

use std::sync::Arc;

use super::SimNode;
use crate::error::Result;
use crate::http::{Api, Contact, KeyRoutes};
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, NodeHealth, Topology,
};
use crate::routing::ClusterView;

impl SimNode {
    /// Why the cluster refuses it, if it did.
    pub fn refusal(&self) -> Option<String> {
        self.node.refusal().map(|error| error.to_string())
    }

    /// The reason why it is unhealthy, if it is.
    pub fn unhealthy_reason(&self) -> Option<String> {
        self.sim_process.enter(|| self.node.unhealthy_reason())
    }

    /// What it waits for before it is ready, if it is not.
    ///
    /// # Errors
    /// Why it will never be ready.
    pub fn waiting_for(&self) -> Result<Option<String>> {
        self.sim_process.enter(|| self.node.waiting_for())
    }

    /// Its health.
    pub fn health(&self) -> HealthStatus {
        self.sim_process.enter(|| self.node.health())
    }

    /// The health of a member, as far as it knows.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn node_health(&self, id: &str) -> Result<NodeHealth> {
        self.sim_process.enter(|| self.node.node_health(id))
    }

    /// Its counters and gauges.
    pub fn metrics(&self) -> Metrics {
        self.sim_process.enter(|| self.node.metrics())
    }

    /// True if the node says that it is primary of this partition.
    pub fn is_primary(&self, number: u32) -> bool {
        self.sim_process.enter(|| self.node.is_primary(number))
    }

    /// The epoch with which it is primary of this partition.
    ///
    /// # Errors
    /// Why it is not.
    pub fn primary_epoch(&self, number: u32) -> Result<u64> {
        self.sim_process.enter(|| self.node.primary_epoch(number))
    }

    /// The partitions of which it says that it is primary. Only those that its view assigns to it are asked about.
    pub fn claims(&self) -> Vec<u32> {
        self.sim_process.enter(|| {
            let view = self.node.view();
            let mine = view.topology().partitions.iter();
            mine.filter(|partition| partition.primary.as_ref() == Some(self.id()))
                .map(|partition| partition.number)
                .filter(|number| self.node.is_primary(*number))
                .collect()
        })
    }

    /// True while it may act and holds a lease.
    pub fn is_leased(&self) -> bool {
        self.sim_process.enter(|| self.node.is_leased())
    }

    /// Its role for each of these keys at this moment; `None` while there are no partitions.
    pub fn route(&self, keys: &[&[u8]]) -> Option<KeyRoutes> {
        self.sim_process.enter(|| self.node.route(keys))
    }

    /// True if the node says that it leads.
    pub fn is_leader(&self) -> bool {
        self.sim_process.enter(|| self.node.is_leader())
    }

    /// True if it may still act as leader towards other nodes, even while it stops.
    pub fn holds_leadership(&self) -> bool {
        let leads = || {
            let parts = self.node.raft_parts();
            parts.is_ok_and(|parts| parts.leadership.is_leader())
        };
        self.sim_process.is_running() && self.sim_process.enter(leads)
    }

    /// The epoch with which it leads.
    ///
    /// # Errors
    /// When it does not lead.
    pub fn leader_epoch(&self) -> Result<u64> {
        self.sim_process.enter(|| self.node.leader_epoch())
    }

    /// The leader, as far as it knows.
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.sim_process.enter(|| self.node.leader())
    }

    /// Whether it knows a leader, and how old its knowledge of the cluster is.
    pub fn contact(&self) -> Contact {
        self.sim_process.enter(|| Api::contact(&*self.node))
    }

    /// The view that lookups read.
    pub fn view(&self) -> Arc<ClusterView> {
        self.node.view().into_owned()
    }

    /// The topology: members, partitions and leader.
    pub fn topology(&self) -> Arc<Topology> {
        self.node.view().topology().clone()
    }

    /// The last revision at which members, partitions or the leader changed.
    pub fn topology_revision(&self) -> u64 {
        Api::topology_revision(&*self.node)
    }

    /// The cluster at one revision, with the replicated store where that is asked for.
    pub fn cluster(&self, with_data: bool) -> Cluster {
        self.sim_process.enter(|| self.node.cluster(with_data))
    }

    /// The last revision that it has applied.
    pub fn revision(&self) -> u64 {
        self.node.view().revision()
    }

    /// The incarnation that the log assigned to this process.
    pub fn incarnation(&self) -> Option<u64> {
        self.node.incarnation()
    }

    /// The statistics of its Raft.
    pub fn consensus_stats(&self) -> ConsensusStats {
        self.sim_process.enter(|| self.node.consensus_stats())
    }

    /// A value of the custom data, as applied on this node.
    pub fn data(&self, key: &str) -> Option<DataEntry> {
        self.node.data(key)
    }

    /// The keys that begin with `prefix`.
    pub fn data_keys(&self, prefix: &str) -> Vec<String> {
        self.node.data_keys(prefix, None, usize::MAX)
    }

    /// The whole replicated state, encoded.
    pub fn state_bytes(&self) -> Vec<u8> {
        self.node.state_bytes()
    }
}
