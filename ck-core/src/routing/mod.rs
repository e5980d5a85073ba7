//! Which partition a key belongs to, and who holds it.
//!
//! Three layers, each usable without the next: [`partition_for`] is the published mapping from key to
//! partition; [`ClusterView`] is one immutable revision of the cluster with every lookup; [`SharedView`] holds the newest
//! view, which the applier stores and every lookup loads.
//!
//! Pure: no I/O, no clock, no tokio. A view shows the replicated state. Whether this node may *act* on it (its lease)
//! depends on the time, and the cluster handle checks that as well.

mod cluster_view;
mod hash;
mod many_hashes;
mod md5_lanes;
mod partition_counts;
mod partition_ref;
mod records;
mod shared_view;
mod tables;

#[cfg(test)]
mod tests;

pub use cluster_view::{ClusterView, KeyCounts, Responsibility};
pub use hash::{partition_for, partitions_for_many};
pub use partition_ref::{NodeIter, PartitionRef};
pub use records::NodePartitions;
pub use shared_view::{SharedView, ViewGuard};
