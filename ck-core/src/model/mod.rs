//! The plain data types of a cluster, as all other parts and all languages see them.
//!
//! No I/O, no clock, no behaviour beyond simple questions about the data itself.

mod base64;
mod event;
mod migration;
mod node;
mod partition;
mod partitions;
mod records;
mod time;
mod topology;

pub use event::{
    ChangeReason, ClusterHealthEvent, Event, EventKind, LeaderChangeEvent, LeadershipEvent, LeaveReason,
    NodeJoinEvent, NodeLeaveEvent, NodeRejoinEvent, PartitionChangeEvent, RebalanceEvent, RebalanceTrigger,
    RoleChange,
};
pub use migration::{AvoidedCopy, AwayNode, Migration, MigrationState, RebalanceStatus};
pub(crate) use node::RaftId;
pub use node::{Node, NodeHealthState, NodeId, NodeStatus};
pub use partition::{CopyState, Partition, PartitionCopy, PartitionState, Role, Target};
pub(crate) use partitions::PartitionChunk;
pub use partitions::Partitions;
pub(crate) use records::StoredData;
pub use records::{
    Cluster, ClusterConfig, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, NodeHealth,
    PartitionMap, PartitionRecord, PartitionStats,
};
pub use time::Timestamp;
pub(crate) use time::whole_millis;
pub use topology::{Maintenance, Topology};

/// The public name of partition `number`: `partition-5`.
pub fn partition_id(number: u32) -> String {
    format!("partition-{number}")
}

/// The number in a partition's public name; `None` when `id` is not such a name.
///
/// Only the canonical form is accepted: `partition-05` and `partition-+5` name nothing.
pub fn partition_number(id: &str) -> Option<u32> {
    let digits = id.strip_prefix("partition-")?;
    let canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_names_round_trip_and_have_one_form() {
        for n in [0, 1, 9, 10, 63, 65535] {
            assert_eq!(partition_number(&partition_id(n)), Some(n));
        }
        for bad in [
            "",
            "partition-",
            "partition-05",
            "partition-+5",
            "partition--1",
            "Partition-5",
            "5",
        ] {
            assert_eq!(partition_number(bad), None, "{bad:?}");
        }
    }
}
