//! Which partitions are to be looked at again: so that a look costs what has changed since the last one.

use std::sync::Arc;

use crate::model::{NodeId, Partition, Partitions, Topology};

/// What was looked at last.
#[derive(Debug, Default)]
pub(super) struct ChangedPartitions {
    partitions: Partitions,
    /// Who served then, by id: what a partition may do next depends on them.
    serving: Vec<NodeId>,
}

impl ChangedPartitions {
    /// Calls `look` with every partition that is not what it was when this was called last; with all where other members
    /// serve than then.
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
