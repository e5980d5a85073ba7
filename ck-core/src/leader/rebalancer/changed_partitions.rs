//! The partitions that have changed since the last check, so that a check costs only what has changed.

use std::sync::Arc;

use crate::model::{NodeId, Partition, Partitions, Topology};

/// The state of the last check.
#[derive(Debug, Default)]
pub(super) struct ChangedPartitions {
    partitions: Partitions,
    /// The ids of the nodes that served then: the next step of a partition depends on them.
    serving: Vec<NodeId>,
}

impl ChangedPartitions {
    /// Calls `look` with every partition that has changed since the last call, or with all partitions where the set of
    /// serving nodes has changed.
    pub(super) fn changes(&mut self, topology: &Topology, look: impl FnMut(&Arc<Partition>)) {
        if topology.serving().eq(&self.serving) {
            topology.partitions.changed_since(&self.partitions).for_each(look);
        } else {
            self.serving = topology.serving().cloned().collect();
            topology.partitions.iter().for_each(look);
        }
        self.partitions = topology.partitions.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{partition, topology};
    use super::*;
    use crate::model::NodeStatus;

    #[test]
    fn what_changed_is_looked_at_and_all_when_others_serve() {
        let mut topology = topology(&["a", "b"], 1);
        let all = (0..600).map(|number| Arc::new(partition(number, "a", &["a"], &[])));
        topology.partitions = all.collect();
        let mut watched = ChangedPartitions::default();
        let mut looked = |topology: &Topology| {
            let mut numbers = Vec::new();
            watched.changes(topology, |partition| numbers.push(partition.number));
            numbers
        };
        assert_eq!(looked(&topology).len(), 600);
        assert!(looked(&topology).is_empty());
        for number in [7, 300] {
            Arc::make_mut(&mut topology.partitions[number]).epoch += 1;
        }
        assert_eq!(looked(&topology), [7, 300]);
        let node = topology.nodes.get_mut("b").unwrap();
        Arc::make_mut(node).health_reason = "no matter".to_owned();
        assert!(looked(&topology).is_empty());
        let node = topology.nodes.get_mut("b").unwrap();
        Arc::make_mut(node).status = NodeStatus::Failed;
        assert_eq!(looked(&topology).len(), 600);
        assert!(looked(&topology).is_empty());
    }
}
