//! What a client knows that receives the events and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Event, EventKind, NodeId, NodeStatus, RoleChange, Topology};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shadow {
    pub(super) members: BTreeSet<NodeId>,
    pub(super) partitions: BTreeMap<u32, ShadowPartition>,
    pub(super) leader: Option<NodeId>,
    pub(super) leader_epoch: u64,
    /// Whether a rebalance has started and not completed. Not part of a topology.
    pub(super) rebalancing: bool,
    /// The health of the last health event. Not part of a topology.
    pub(super) health: Option<(String, Vec<NodeId>, Vec<String>)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ShadowPartition {
    pub(super) holders: BTreeSet<NodeId>,
    pub(super) primary: Option<NodeId>,
    pub(super) epoch: u64,
}

impl Shadow {
    /// What a client must know from the events that led to `topology`.
    pub(super) fn of(topology: &Topology) -> Self {
        let members = topology.nodes.values().filter(|node| node.status.is_serving());
        let partitions = topology.partitions.iter().map(|p| {
            let held = ShadowPartition {
                holders: p.copies.iter().map(|copy| copy.node.clone()).collect(),
                primary: p.primary.clone(),
                epoch: p.epoch,
            };
            (p.number, held)
        });
        Shadow {
            members: members.map(|node| node.id.clone()).collect(),
            partitions: partitions.collect(),
            leader: topology.leader.clone(),
            leader_epoch: topology.leader_epoch,
            rebalancing: false,
            health: None,
        }
    }

    /// This shadow without what events do not say at once: a member whose new process has not caught up may be known as
    /// a member (where no node noticed its crash) or not. An epoch counts only where there is a primary, and a
    /// partition only where it has a holder.
    pub(super) fn settled(&self, topology: &Topology) -> Self {
        let mut settled = self.clone();
        settled.rebalancing = false;
        settled.health = None;
        let joining = |id: &NodeId| {
            topology
                .nodes
                .get(id)
                .is_some_and(|node| node.status == NodeStatus::Joining)
        };
        settled.members.retain(|id| !joining(id));
        settled.partitions.retain(|_, held| !held.holders.is_empty());
        for held in settled
            .partitions
            .values_mut()
            .filter(|held| held.primary.is_none())
        {
            held.epoch = 0;
        }
        settled
    }

    /// Takes in one event, which must be possible after the earlier ones.
    pub(super) fn apply_event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::NodeJoin(join) => {
                assert!(
                    self.members.insert(join.node.id.clone()),
                    "joined twice: {event:?}"
                );
            }
            EventKind::NodeRejoin(rejoin) => {
                self.members.insert(rejoin.node.id.clone());
            }
            EventKind::NodeLeave(leave) => {
                self.members.remove(&leave.node.id);
            }
            EventKind::LeaderChange(change) => {
                assert!(change.epoch > self.leader_epoch, "a leader epoch fell: {event:?}");
                self.leader_epoch = change.epoch;
                self.leader = Some(change.node_id.clone());
            }
            EventKind::RebalanceStart(_) => {
                assert!(!self.rebalancing, "a rebalance started in a rebalance");
                self.rebalancing = true;
            }
            EventKind::RebalanceComplete(_) => {
                assert!(self.rebalancing, "a rebalance completed that had not started");
                self.rebalancing = false;
            }
            EventKind::ClusterHealthChange(health) => {
                let reported = (
                    health.status.clone(),
                    health.unhealthy_node_ids.clone(),
                    health.lost_partitions.clone(),
                );
                assert_ne!(self.health.as_ref(), Some(&reported), "no news: {event:?}");
                self.health = Some(reported);
            }
            EventKind::PartitionChange(change) => {
                let node = &change.node_id;
                let held = self.partitions.entry(change.number).or_default();
                assert!(change.epoch >= held.epoch, "an epoch fell: {event:?}");
                held.epoch = change.epoch;
                match change.change {
                    RoleChange::GainedReplica => {
                        held.holders.insert(node.clone());
                    }
                    RoleChange::GainedPrimary => {
                        let free = held.primary.as_ref().is_none_or(|primary| primary == node);
                        assert!(free, "two primaries: {held:?}, {event:?}");
                        held.holders.insert(node.clone());
                        held.primary = Some(node.clone());
                    }
                    RoleChange::LostPrimary => {
                        assert_eq!(held.primary.as_ref(), Some(node), "{event:?}");
                        assert!(held.holders.contains(node), "{event:?}");
                        held.primary = None;
                    }
                    RoleChange::LostCopy => {
                        assert!(held.holders.remove(node), "it held nothing: {event:?}");
                        if held.primary.as_ref() == Some(node) {
                            held.primary = None;
                        }
                    }
                }
            }
            EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_) => {
                panic!("about one node, and not from the log: {event:?}");
            }
        }
    }
}
