//! The replicated store, from any node.

use clusterkit::ErrorCode;
use clusterkit::Expect;

use crate::support::{TIMEOUT, cluster, follower, leader, stop};

#[test]
fn any_node_takes_writes_and_every_node_reads_them() {
    let nodes = cluster(3);
    for (i, node) in nodes.iter().enumerate() {
        let key = format!("key-{i}");
        let revision = node
            .kit
            .set_custom_data(&key, key.clone(), Expect::Any, TIMEOUT)
            .unwrap();
        // The writer's own node may be behind the leader's answer: the revision says how far to wait.
        for reader in &nodes {
            reader.kit.wait_for_revision(revision, TIMEOUT).unwrap();
            let entry = reader.kit.custom_data(&key).unwrap();
            assert_eq!(
                (&entry.value[..], entry.revision),
                (key.as_bytes(), revision),
                "on {}",
                reader.id()
            );
        }
    }
    let first = nodes[0].kit.list_custom_data_keys("key-", None, 10);
    assert_eq!(first, ["key-0", "key-1", "key-2"]);
    let (revision, existed) = nodes[2]
        .kit
        .delete_custom_data("key-0", Expect::Any, TIMEOUT)
        .unwrap();
    assert!(existed);
    nodes[0].kit.wait_for_revision(revision, TIMEOUT).unwrap();
    assert!(nodes[0].kit.custom_data("key-0").is_none());
    stop(nodes);
}

#[test]
fn compare_and_set_has_one_winner() {
    let nodes = cluster(3);
    let base = nodes[0]
        .kit
        .set_custom_data("counter", "0", Expect::Absent, TIMEOUT)
        .unwrap();
    let racers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let kit = node.kit.clone();
            std::thread::spawn(move || {
                kit.set_custom_data(
                    "counter",
                    kit.my_node_id().to_string(),
                    Expect::Revision(base),
                    TIMEOUT,
                )
            })
        })
        .collect();
    let outcomes: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    let won: Vec<u64> = outcomes
        .iter()
        .filter_map(|outcome| outcome.clone().ok())
        .collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refused.code(), ErrorCode::Conflict, "{refused}");
    }
    stop(nodes);
}

#[test]
fn a_barrier_lets_every_node_read_what_was_written_before() {
    let nodes = cluster(3);
    for i in 0..50 {
        let writer = &nodes[i % 3];
        let reader = &nodes[(i + 1) % 3];
        let revision = writer
            .kit
            .set_custom_data("k", i.to_string(), Expect::Any, TIMEOUT)
            .unwrap();
        let seen = reader.kit.read_barrier(TIMEOUT).unwrap();
        assert!(
            seen >= revision,
            "the barrier at {seen} misses the write of {revision}"
        );
        assert_eq!(
            &reader.kit.custom_data("k").unwrap().value[..],
            i.to_string().as_bytes()
        );
    }
    stop(nodes);
}

#[test]
fn writes_from_many_threads_all_happen_once() {
    let nodes = cluster(3);
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let kit = nodes[t % 3].kit.clone();
            std::thread::spawn(move || {
                let mut revisions = Vec::new();
                for i in 0..25 {
                    let key = format!("t{t}-{i}");
                    revisions.push(kit.set_custom_data(&key, "x", Expect::Absent, TIMEOUT).unwrap());
                }
                revisions
            })
        })
        .collect();
    let mut revisions: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    revisions.sort_unstable();
    let last = *revisions.last().unwrap();
    revisions.dedup();
    assert_eq!(revisions.len(), 200, "every write has an index of its own");
    for node in &nodes {
        node.kit.wait_for_revision(last, TIMEOUT).unwrap();
        assert_eq!(node.kit.list_custom_data_keys("t", None, 1000).len(), 200);
    }
    stop(nodes);
}

#[test]
fn consensus_numbers_are_real() {
    let nodes = cluster(3);
    let revision = nodes[0]
        .kit
        .set_custom_data("a", "1", Expect::Any, TIMEOUT)
        .unwrap();
    let leads = leader(&nodes);
    for (i, node) in nodes.iter().enumerate() {
        node.kit.wait_for_revision(revision, TIMEOUT).unwrap();
        crate::support::until("the numbers to be published", || {
            node.kit.consensus_stats().applied_index >= revision
        });
        let stats = node.kit.consensus_stats();
        assert!(stats.term > 0 && stats.current_term == stats.term);
        assert!(stats.last_log_index >= revision && stats.last_log_term > 0);
        assert!(stats.commit_index >= revision, "{stats:?}");
        assert_eq!(stats.num_peers, 2);
        assert_eq!(&*stats.leader, nodes[leads].id());
        assert_eq!(stats.is_leader, i == leads);
        assert_eq!(stats.state, if i == leads { "Leader" } else { "Follower" });
        assert_eq!(node.kit.leader_epoch().is_ok(), i == leads);
    }
    stop(nodes);
}

#[test]
fn what_is_too_large_or_wrong_is_refused_on_any_node() {
    let nodes = cluster(2);
    for node in &nodes {
        let refused = |key: &str, value: Vec<u8>| {
            node.kit
                .set_custom_data(key, value, Expect::Any, TIMEOUT)
                .unwrap_err()
                .code()
        };
        assert_eq!(refused("k", vec![0; (1 << 20) + 1]), ErrorCode::TooLarge);
        assert!(matches!(
            refused("", vec![1]),
            ErrorCode::InvalidArgument | ErrorCode::TooLarge
        ));
    }
    let largest = nodes[follower(&nodes)]
        .kit
        .set_custom_data("k", vec![7; 1 << 20], Expect::Any, TIMEOUT)
        .unwrap();
    for node in &nodes {
        node.kit.wait_for_revision(largest, TIMEOUT).unwrap();
        assert_eq!(node.kit.custom_data("k").unwrap().value.len(), 1 << 20);
    }
    stop(nodes);
}
