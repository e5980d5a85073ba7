use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{NodeStatus, PartitionRecord, PartitionState, Timestamp, Topology};

use super::super::{ClusterView, NodePartitions};
use super::{node, partition, small, topology};

fn view(topology: Topology) -> ClusterView {
    ClusterView::new(Arc::new(topology), 42, "a")
}

#[test]
fn a_record_is_the_models_record_of_the_partition() {
    let topology = small();
    let expected: Vec<PartitionRecord> = topology
        .partitions
        .iter()
        .map(|partition| PartitionRecord::new(partition, &topology))
        .collect();
    let records = view(topology).list_partitions();
    assert_eq!(records, expected);
    let states: Vec<PartitionState> = records.iter().map(|record| record.state).collect();
    use PartitionState::{Lost, Moving, NoPrimary, Ok};
    assert_eq!(states, [Ok, Ok, Moving, NoPrimary, Lost]);
}

#[test]
fn a_record_names_members_only() {
    let view = view(topology(
        &["a", "b"],
        vec![partition(0, &["gone", "a", "lost"], &["away", "b"])],
    ));
    let record = view.partition_by_number(0).unwrap().record();
    assert_eq!(&*record.primary_node, "");
    assert_eq!(record.replica_nodes, ["a".into()]);
    assert_eq!(record.pending, ["b".into()]);
    assert_eq!(record.state, PartitionState::NoPrimary);
}

#[test]
fn copies_count_where_their_nodes_serve() {
    let mut alone = topology(&["a", "b"], vec![partition(0, &["a"], &[])]);
    let state = |topology: &Topology| view(topology.clone()).list_partitions()[0].state;
    assert_eq!(state(&alone), PartitionState::UnderReplicated);
    let mut b = (*node("b")).clone();
    b.status = NodeStatus::Failed;
    alone.nodes.insert("b".into(), Arc::new(b));
    // The absence of the other node does not improve the state.
    assert_eq!(state(&alone), PartitionState::UnderReplicated);
    let mut a = (*node("a")).clone();
    a.status = NodeStatus::Stopped;
    alone.nodes.insert("a".into(), Arc::new(a));
    assert_eq!(state(&alone), PartitionState::Lost);
}

#[test]
fn the_map_has_every_partition_under_its_name() {
    let map = view(small()).partition_map().partitions;
    assert_eq!(map.len(), 5);
    for (id, record) in &map {
        assert_eq!(id, &record.id);
    }
    assert_eq!(map["partition-1"].number, 1);
}

#[test]
fn the_partitions_of_a_node_are_listed_by_role() {
    let view = view(small());
    let of = |id| view.partitions_for_node(id);
    let expected = |primary: &[u32], replica: &[u32]| {
        Some(NodePartitions {
            primary: primary.to_vec(),
            replica: replica.to_vec(),
        })
    };
    assert_eq!(of("a"), expected(&[2], &[0, 3]));
    assert_eq!(of("b"), expected(&[0], &[1, 2]));
    assert_eq!(of("c"), expected(&[1], &[3]));
    assert_eq!(of("d"), None);
}

#[test]
fn stats_count_each_node_and_agree_with_the_lists() {
    let mut with_idle = small();
    with_idle.nodes.insert("idle".into(), node("idle"));
    let view = view(with_idle);
    let stats = view.partition_stats();
    assert_eq!(stats.total_partitions, 5);
    for node in view.nodes() {
        let lists = view.partitions_for_node(&node.id).unwrap();
        assert_eq!(stats.partitions_per_node[&node.id], lists.primary.len());
        assert_eq!(stats.replicas_per_node[&node.id], lists.replica.len());
    }
    assert_eq!(stats.partitions_per_node["idle"], 0);
    assert_eq!(
        stats.partitions_per_node.values().sum::<usize>(),
        3,
        "two have no primary"
    );
}

#[test]
fn the_leader_is_reported_if_it_is_a_member() {
    let mut led = small();
    assert!(view(led.clone()).leader_info().is_none());
    led.leader = Some("b".into());
    led.leader_epoch = 3;
    led.leader_term = 9;
    let info = view(led.clone()).leader_info().unwrap();
    assert_eq!((&*info.leader_id, &*info.leader_name), ("b", "B"));
    assert_eq!(info.leader_ip, "b.example:8080");
    assert_eq!((info.epoch, info.term), (3, 9));
    assert_eq!(info.elected_at, Timestamp::default());
    led.nodes.remove("b");
    assert!(view(led.clone()).leader_info().is_none());
    assert_eq!(&*view(led).cluster(None).leader, "");
}

#[test]
fn the_cluster_record_shows_one_revision() {
    let mut led = small();
    led.leader = Some("c".into());
    led.leader_epoch = 5;
    let data = Some(BTreeMap::from([("color".to_owned(), "blue".into())]));
    let cluster = view(led.clone()).cluster(data.clone());
    assert_eq!((&*cluster.id, &*cluster.name), ("c-1", "test"));
    assert_eq!(cluster.nodes, led.nodes.into_values().collect::<Vec<_>>());
    assert_eq!(cluster.partition_map.partitions.len(), 5);
    assert_eq!(cluster.config, led.config);
    assert_eq!(cluster.custom_data, data);
    assert_eq!((cluster.revision, cluster.epoch), (42, 5));
    assert_eq!(&*cluster.leader, "c");
}
