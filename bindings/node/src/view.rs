//! A view: the whole cluster at one revision. It never changes, so the front keeps what it has read of one.

use std::sync::Arc;

use clusterkit::routing::{ClusterView, PartitionRef};
use napi_derive::napi;
use serde::Serialize;

use crate::json::json;

/// A view, for the front's class `View`.
#[napi]
pub struct NativeView {
    pub(crate) view: Arc<ClusterView>,
}

impl NativeView {
    pub(crate) fn new(view: Arc<ClusterView>) -> Self {
        NativeView { view }
    }
}

/// A partition, with its holders as indexes into the nodes of the view.
#[derive(Serialize)]
struct PartitionRow<'v> {
    number: u32,
    id: String,
    epoch: u64,
    primary: Option<u32>,
    replicas: &'v [u32],
    pending: &'v [u32],
    state: clusterkit::model::PartitionState,
    role: Option<clusterkit::model::Role>,
}

fn row(partition: PartitionRef<'_>) -> PartitionRow<'_> {
    PartitionRow {
        number: partition.number(),
        id: partition.id(),
        epoch: partition.epoch(),
        primary: partition.primary_index(),
        replicas: partition.replica_indexes(),
        pending: partition.pending_indexes(),
        state: partition.state(),
        role: partition.role(),
    }
}

/// What is known of a cluster as a whole.
#[derive(Serialize)]
struct ViewInfo<'v> {
    revision: u64,
    partition_count: u32,
    replication_factor: u32,
    lease_ttl_ms: u64,
    cluster_id: &'v str,
    cluster_name: &'v str,
    my_node_id: &'v str,
    leader: Option<clusterkit::model::LeaderInfo>,
    maintenance: Option<&'v clusterkit::model::Maintenance>,
    lost_partitions: Vec<u32>,
}

/// The identity of a view: two that are alive have different ones. An address is below 2^53.
pub(crate) fn view_id(view: &Arc<ClusterView>) -> f64 {
    address(&raw const **view)
}

pub(crate) fn address(view: *const ClusterView) -> f64 {
    view.addr() as f64
}

#[napi]
impl NativeView {
    #[napi(catch_unwind)]
    pub fn id(&self) -> f64 {
        view_id(&self.view)
    }

    #[napi(catch_unwind)]
    pub fn info(&self) -> String {
        let topology = self.view.topology();
        json(&ViewInfo {
            revision: self.view.revision(),
            partition_count: self.view.partition_count(),
            replication_factor: topology.config.replication_factor,
            lease_ttl_ms: topology.config.lease_ttl_ms,
            cluster_id: &topology.cluster_id,
            cluster_name: &topology.config.cluster_name,
            my_node_id: self.view.my_id(),
            leader: self.view.leader_info(),
            maintenance: topology.maintenance.as_ref(),
            lost_partitions: topology.lost().collect(),
        })
    }

    /// Every member as JSON, in the order of the indexes.
    #[napi(catch_unwind)]
    pub fn nodes(&self) -> String {
        json(self.view.nodes())
    }

    /// A partition as JSON; `None` where there is none of that number.
    #[napi(catch_unwind)]
    pub fn partition(&self, number: u32) -> Option<String> {
        self.view
            .partition_by_number(number)
            .map(|partition| json(&row(partition)))
    }

    /// The number in a partition's id.
    #[napi(catch_unwind)]
    pub fn partition_by_id(&self, id: String) -> Option<u32> {
        self.view.partition_by_id(&id).map(|partition| partition.number())
    }

    /// Every partition as JSON.
    #[napi(catch_unwind)]
    pub fn partitions(&self) -> String {
        json(&self.view.partitions().map(row).collect::<Vec<_>>())
    }

    /// The partitions that a node is primary of, and those that it holds another copy of; `None` where it is no member.
    #[napi(catch_unwind)]
    pub fn partitions_of(&self, id: String) -> Option<String> {
        let found = self.view.partitions_for_node(&id);
        found.map(|found| json(&(found.primary, found.replica)))
    }

    /// How partitions are distributed, as JSON.
    #[napi(catch_unwind)]
    pub fn partition_stats(&self) -> String {
        json(&self.view.partition_stats())
    }

    /// The whole as JSON, as HTTP has it, without the replicated store.
    #[napi(catch_unwind)]
    pub fn cluster(&self) -> String {
        json(&self.view.cluster(None))
    }
}
