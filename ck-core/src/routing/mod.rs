//! Which partition a key belongs to, and who holds it.
//!
//! Three layers, each usable without the next: [`partition_for`] is the published mapping from key to
//! partition; [`ClusterView`] is one immutable revision of the cluster with every question that can be
//! asked of it; [`SharedView`] is where the applier puts the newest view and every lookup finds it.
//!
//! Pure: no I/O, no clock, no tokio. A view says what the replicated state says. Whether this node may
//! *act* on it (its lease) depends on the time and is asked on top, by the cluster handle.

mod counts;
mod hash;
mod lookup;
mod records;
mod shared;
mod tables;
mod view;

#[cfg(test)]
mod tests;

pub use hash::partition_for;
pub use lookup::{NodeIter, PartitionRef};
pub use records::NodePartitions;
pub use shared::{SharedView, ViewGuard};
pub use view::{ClusterView, KeyCounts, Responsibility};
