//! One revision of the cluster, and every lookup of keys in it.

use std::sync::Arc;

use crate::model::{Node, NodeId, Role, Topology, partition_number};

use super::hash::{for_each_partition, partition_for};
use super::partition_ref::{NodeIter, PartitionRef};
use super::tables::Tables;

/// The cluster at one revision: immutable, so that every answer taken from one view agrees with every
/// other, for as long as it is held. Cloning is cheap.
///
/// Lookups borrow from the view, take no lock and allocate nothing. Nodes are `Arc`s: a node that was taken out of a view
/// does not change, whatever happens to the cluster. Before there are
/// partitions, calls for a key or a partition answer `None` (or false, or 0).
///
/// A view is pure: its roles are those of the replicated state at its revision. Whether this node may *act* as primary
/// depends on its lease, and so on the time; the cluster handle checks that as well.
#[derive(Debug, Clone)]
pub struct ClusterView {
    pub(super) tables: Arc<Tables>,
    revision: u64,
}

/// The role of this node for a key, and the nodes that hold it.
#[derive(Debug, Clone)]
pub struct Responsibility<'v> {
    /// This node's role, if it has one.
    pub role: Option<Role>,
    /// Every node that holds the key's partition, the primary first.
    pub nodes: NodeIter<'v>,
}

/// How many of a set of keys each node is primary for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyCounts {
    /// One count for each node, in the order of [`ClusterView::nodes`].
    pub per_node: Vec<u64>,
    /// Keys whose partition has no primary, or that have no partition yet.
    pub without_primary: u64,
}

impl ClusterView {
    /// The view of `topology` at `revision`, as the node `me` sees it. `me` need not be a member.
    ///
    /// Costs time in proportion to nodes and partitions; where an older view exists,
    /// [`ClusterView::updated`] costs less.
    pub fn new(topology: Arc<Topology>, revision: u64, me: &str) -> Self {
        ClusterView {
            tables: Arc::new(Tables::new(topology, me.into())),
            revision,
        }
    }

    /// The same topology at another revision, as after a log entry that does not change the topology. Shares all data with
    /// `self`.
    #[must_use]
    pub fn with_revision(&self, revision: u64) -> Self {
        ClusterView {
            tables: Arc::clone(&self.tables),
            revision,
        }
    }

    /// The next view: of `topology` at `revision`, for the same node. It gives the same answers as a new view, and costs less
    /// the more `Arc`s `topology` shares with the topology of this view.
    #[must_use]
    pub fn updated(&self, topology: &Arc<Topology>, revision: u64) -> Self {
        if Arc::ptr_eq(&self.tables.topology, topology) {
            return self.with_revision(revision);
        }
        ClusterView {
            tables: Arc::new(self.tables.updated(Arc::clone(topology))),
            revision,
        }
    }

    /// The revision that this view shows: the log index of the last entry in it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The replicated state that this view was built from.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.tables.topology
    }

    // Nodes.

    /// Every member, sorted by id.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.tables.nodes
    }

    /// The member with this id.
    pub fn node(&self, id: &str) -> Option<&Arc<Node>> {
        self.tables.nodes.get(self.tables.index_of(id)? as usize)
    }

    /// This node's id, member or not.
    pub fn my_id(&self) -> &NodeId {
        &self.tables.me
    }

    /// This node, if it is a member.
    pub fn my_node(&self) -> Option<&Arc<Node>> {
        self.tables.nodes.get(self.tables.my_index? as usize)
    }

    /// The node whose leadership was recorded last, if it is a member. Whether it leads at this moment depends on leases,
    /// and is not known here.
    pub fn leader(&self) -> Option<&Arc<Node>> {
        self.node(self.tables.topology.leader.as_deref()?)
    }

    // Partitions.

    /// Number of partitions; 0 before they exist.
    pub fn partition_count(&self) -> u32 {
        self.tables.len()
    }

    /// Every partition, by number.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = PartitionRef<'_>> + Clone {
        PartitionRef::all(&self.tables)
    }

    /// The partition that `key` belongs to.
    #[inline]
    pub fn partition(&self, key: &[u8]) -> Option<PartitionRef<'_>> {
        PartitionRef::new(&self.tables, partition_for(key, self.tables.modulus))
    }

    /// Partition `number`.
    #[inline]
    pub fn partition_by_number(&self, number: u32) -> Option<PartitionRef<'_>> {
        PartitionRef::new(&self.tables, number)
    }

    /// The partition with this public name, `partition-5`.
    pub fn partition_by_id(&self, id: &str) -> Option<PartitionRef<'_>> {
        self.partition_by_number(partition_number(id)?)
    }

    /// True when this node is primary of partition `number`, by the replicated state of this view.
    #[inline]
    pub fn is_primary(&self, number: u32) -> bool {
        self.partition_by_number(number)
            .is_some_and(|partition| partition.is_primary())
    }

    /// True when this node holds partition `number`'s data and is not its primary.
    #[inline]
    pub fn is_replica(&self, number: u32) -> bool {
        self.partition_by_number(number)
            .is_some_and(|partition| partition.is_replica())
    }

    // One key.

    /// The node that takes writes of `key`.
    #[inline]
    pub fn primary_node(&self, key: &[u8]) -> Option<&Arc<Node>> {
        self.partition(key)?.primary()
    }

    /// The other nodes that hold `key`'s partition, sorted by id.
    #[inline]
    pub fn replica_nodes(&self, key: &[u8]) -> Option<NodeIter<'_>> {
        Some(self.partition(key)?.replicas())
    }

    /// Every node that holds `key`'s partition: the primary first, then the replicas.
    #[inline]
    pub fn all_nodes_for_key(&self, key: &[u8]) -> Option<NodeIter<'_>> {
        Some(self.partition(key)?.nodes())
    }

    /// The same as [`ClusterView::all_nodes_for_key`]; users of the Go ClusterKit know both names.
    #[inline]
    pub fn nodes_for_key(&self, key: &[u8]) -> Option<NodeIter<'_>> {
        self.all_nodes_for_key(key)
    }

    /// True when this node is primary for `key`, by the replicated state of this view.
    #[inline]
    pub fn is_primary_for_key(&self, key: &[u8]) -> bool {
        self.partition(key)
            .is_some_and(|partition| partition.is_primary())
    }

    /// True when this node holds `key`'s partition and is not its primary.
    #[inline]
    pub fn is_replica_for_key(&self, key: &[u8]) -> bool {
        self.should_handle_key(key) == Some(Role::Replica)
    }

    /// The role of this node for `key`; `None` if it does not hold the partition.
    #[inline]
    pub fn should_handle_key(&self, key: &[u8]) -> Option<Role> {
        self.partition(key)?.role()
    }

    /// The role of this node for `key`, and the nodes that hold it, in one lookup.
    #[inline]
    pub fn am_i_responsible_for(&self, key: &[u8]) -> Option<Responsibility<'_>> {
        let partition = self.partition(key)?;
        Some(Responsibility {
            role: partition.role(),
            nodes: partition.nodes(),
        })
    }

    /// The form of the nodes that a binding for another language hands out, made when it is first asked for, and then
    /// shared by every view of the same topology. `None` when something else has put another type here.
    #[doc(hidden)]
    #[inline]
    pub fn binding<T: Send + Sync + 'static>(&self, make: impl FnOnce(&[Arc<Node>]) -> T) -> Option<&T> {
        let made = self
            .tables
            .binding
            .get_or_init(|| Box::new(make(&self.tables.nodes)));
        made.downcast_ref()
    }

    // Many keys.

    /// Appends the partition number of each key to `out`, in order. Before there are partitions it
    /// appends nothing and returns false.
    pub fn route_many<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>, out: &mut Vec<u32>) -> bool {
        if self.tables.chunks.is_empty() {
            return false;
        }
        let keys = keys.into_iter();
        out.reserve(keys.size_hint().0);
        for_each_partition(keys, self.tables.modulus, |number| out.push(number));
        true
    }

    /// Appends the node that takes writes of each key to `out`, in order; `None` for a key whose
    /// partition has no primary.
    pub fn primary_nodes<'v, 'k>(
        &'v self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        out: &mut Vec<Option<&'v Arc<Node>>>,
    ) {
        let keys = keys.into_iter();
        out.reserve(keys.size_hint().0);
        for_each_partition(keys, self.tables.modulus, |number| {
            out.push(self.partition_by_number(number).and_then(|found| found.primary()));
        });
    }

    /// How many of `keys` each node is primary for.
    pub fn count_by_primary<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> KeyCounts {
        let mut counts = KeyCounts {
            per_node: vec![0; self.tables.nodes.len()],
            without_primary: 0,
        };
        for_each_partition(keys, self.tables.modulus, |number| {
            let partition = self.partition_by_number(number);
            let index = partition.and_then(|found| found.primary_index());
            match index.and_then(|index| counts.per_node.get_mut(index as usize)) {
                Some(count) => *count += 1,
                None => counts.without_primary += 1,
            }
        });
        counts
    }
}
