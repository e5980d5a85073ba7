//! A lookup allocates nothing: counted by an allocator that stands in for the system's in this program.

#[path = "support/topology.rs"]
mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use clusterkit::model::{ClusterConfig, NodeId, Target, Timestamp};
use clusterkit::routing::{ClusterView, SharedView, partitions_for_many};
use clusterkit::state::{Command, Expect, NodeSpec, Proposal, State};

fn shared() -> SharedView {
    let shared = SharedView::new(ClusterView::new(
        Arc::new(support::topology(256, 10)),
        1,
        "node-00003",
    ));
    // A thread's first load registers the thread with arc-swap, once.
    black_box(shared.load().revision());
    shared
}

fn keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = (0..1000).map(|n| format!("user:{n}").into_bytes()).collect();
    keys.push(Vec::new());
    keys.push(vec![b'L'; 10_000]);
    keys
}

#[test]
fn the_counter_counts() {
    let info = measure(|| {
        black_box(Box::new(black_box(1u8)));
    });
    assert_eq!(info.count_total, 1);
}

#[test]
fn lookups_of_a_key_allocate_nothing() {
    let (shared, keys) = (shared(), keys());
    let mut held = 0usize;
    let info = measure(|| {
        for key in &keys {
            let view = shared.load();
            let partition = view.partition(key).unwrap();
            held += black_box(partition.number() as usize + partition.epoch() as usize);
            held += partition.primary().unwrap().id.len();
            held += partition.replicas().map(|node| node.id.len()).sum::<usize>();
            held += partition.nodes().count() + partition.pending().count();
            held += view.primary_node(key).unwrap().id.len();
            held += view.replica_nodes(key).unwrap().count();
            held += view.all_nodes_for_key(key).unwrap().count();
            held += view.nodes_for_key(key).unwrap().count();
            held += usize::from(view.is_primary_for_key(key)) + usize::from(view.is_replica_for_key(key));
            held += usize::from(view.should_handle_key(key).is_some());
            held += view.am_i_responsible_for(key).unwrap().nodes.count();
        }
    });
    assert!(black_box(held) > 0);
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn lookups_of_a_partition_and_of_a_node_allocate_nothing() {
    let shared = shared();
    let info = measure(|| {
        for number in 0..257 {
            let view = shared.load();
            black_box(view.is_primary(number));
            black_box(view.is_replica(number));
            black_box(view.partition_by_number(number).map(|found| found.state()));
        }
        let view = shared.load();
        black_box(view.partition_by_id("partition-200"));
        black_box(view.node("node-00007"));
        black_box(view.my_node());
        black_box(view.leader());
        black_box(view.partitions().filter(|found| found.is_primary()).count());
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn many_keys_with_room_for_the_answers_allocate_nothing() {
    let (shared, keys) = (shared(), keys());
    let mut numbers = Vec::with_capacity(keys.len());
    let view = shared.load();
    let mut primaries = Vec::with_capacity(keys.len());
    let info = measure(|| {
        assert!(view.route_many(keys.iter().map(Vec::as_slice), &mut numbers));
        view.primary_nodes(keys.iter().map(Vec::as_slice), &mut primaries);
    });
    assert_eq!((numbers.len(), primaries.len()), (keys.len(), keys.len()));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn partitions_of_many_keys_allocate_nothing() {
    let keys = keys();
    let mut partitions = vec![0; keys.len()];
    let info = measure(|| {
        let written = partitions_for_many(keys.iter().map(Vec::as_slice), 256, &mut partitions);
        assert_eq!(written, keys.len());
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_new_revision_allocates_one_view() {
    let shared = shared();
    let info = measure(|| {
        let next = shared.load().with_revision(2);
        shared.store(next);
    });
    assert_eq!(info.count_total, 1, "{info:?}");
}

/// A cluster of one node and so many partitions, and its view.
fn founded(partitions: u32) -> (State, SharedView) {
    let mut state = State::default();
    let me = NodeId::from("node-00003");
    let node = NodeSpec {
        id: me.clone(),
        name: String::new(),
        ip: "127.0.0.1:8080".into(),
        port: 8080,
        peer_addr: "127.0.0.1:8080".into(),
        services: BTreeMap::new(),
        zone: None,
        weight: 100,
        labels: BTreeMap::new(),
        process: 1,
        raft_id: None,
    };
    let config = ClusterConfig {
        cluster_name: "test".into(),
        partition_count: partitions,
        replication_factor: 3,
        ..ClusterConfig::default()
    };
    let cluster_id = "test".to_owned();
    let bootstrap = Command::Bootstrap {
        cluster_id,
        config,
        node,
    };
    apply(&mut state, 0, bootstrap);
    let target = Target {
        nodes: vec![me.clone()],
        primary: me,
    };
    let assignments = vec![target; partitions as usize];
    let planned_on = state.topology_revision();
    let create = Command::CreatePartitions {
        assignments,
        planned_on,
    };
    apply(&mut state, 0, create);
    assert_eq!(state.topology().partitions.len(), partitions as usize);
    let shared = SharedView::new(ClusterView::new(state.topology().clone(), 0, "node-00003"));
    black_box(shared.load().revision());
    (state, shared)
}

fn apply(state: &mut State, seq: u64, command: Command) {
    let proposal = Proposal {
        session: if seq == 0 { 0 } else { 1 },
        seq,
        low: seq.saturating_sub(8),
        epoch: None,
        at: Timestamp::from_millis(seq),
        command,
    };
    let applied = state.apply(state.revision() + 1, &proposal, &mut Vec::new());
    assert!(applied.result.is_ok(), "{:?}", applied.result);
}

#[test]
fn a_data_write_allocates_the_same_whatever_the_number_of_partitions() {
    let [few, many] = [64, 65_536].map(|partitions| {
        let (mut state, shared) = founded(partitions);
        // Somebody reads what was, as always.
        let held = shared.load().into_owned();
        let info = measure(|| {
            for seq in 1..100 {
                let key = format!("key-{}", seq % 10);
                let value = vec![7; 100].into();
                let expect = Expect::Any;
                apply(&mut state, seq, Command::SetData { key, value, expect });
                let next = shared.load().updated(state.topology(), state.revision());
                shared.store(next);
            }
        });
        assert_eq!(shared.load().revision(), held.revision() + 101);
        (info.count_total, info.bytes_total)
    });
    assert_eq!(few, many, "allocations and bytes");
    assert!(few.0 > 99);
}

/// How many bytes it takes to change one partition of so many, in the state and in the view.
fn bytes_for_a_change(partitions: u32) -> u64 {
    let topology = Arc::new(support::topology(partitions, 4));
    let view = ClusterView::new(Arc::clone(&topology), 1, "node-00003");
    let info = measure(|| {
        let mut changed = (*topology).clone();
        if let Some(partition) = changed.partitions.get_mut(partitions as usize / 2) {
            Arc::make_mut(partition).epoch += 1;
        }
        black_box(view.updated(&Arc::new(changed), 2));
    });
    info.bytes_total
}

#[test]
fn a_commit_costs_what_it_changes() {
    let (few, many) = (bytes_for_a_change(256), bytes_for_a_change(65_536));
    // The lists of chunks grow with the square root; nothing grows with the partitions.
    assert!(
        many < few + 16 * 1024,
        "{few} bytes with 256 partitions, {many} with 65,536"
    );
}
