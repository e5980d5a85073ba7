//! Nodes that stop in an orderly way, and come back.

use std::time::{Duration, Instant};

use ck_tests::{Cluster, Load, copies, primaries};
use clusterkit::model::NodeStatus;

use crate::PROGRAM;

/// Stops one node of four and starts it again: the leader, or another.
fn stop_and_return(of_leader: bool) {
    let mut cluster = Cluster::of(PROGRAM, 4);
    let before = cluster.settle().cluster;
    let leader = cluster.leader();
    let place = if of_leader { leader } else { (leader + 1) % 4 };
    let id = cluster.nodes()[place].id.clone();
    let revision = cluster.api(place).put("key", "value").unwrap();

    let stopped = cluster.node(place).stop();
    let start = Instant::now();
    let (away, _) = cluster.until("the others have taken over", || {
        let cluster = cluster.agree().cluster;
        let node = cluster.nodes.iter().find(|node| *node.id == *id).unwrap();
        if node.status != NodeStatus::Stopped {
            return Err(format!("{id} is {}", node.status.as_str()));
        }
        let primaries = primaries(&cluster);
        let led = primaries.values().filter(|primary| **primary != id).count();
        (led == 64)
            .then_some(cluster)
            .ok_or_else(|| format!("{led} are led by others"))
    });
    let took = start.elapsed();
    println!("leader {of_leader}: stopped in {stopped:?}, taken over {took:?} later");
    assert!(stopped + took < Duration::from_secs(5));
    assert_eq!(
        copies(&away),
        copies(&before),
        "a node that stops is expected back"
    );
    let leader = cluster.leader();
    cluster.api(leader).put("while away", "1").unwrap();

    cluster.node(place).spawn_again();
    cluster.node(place).wait_ready();
    let after = cluster.settle().cluster;
    assert_eq!(copies(&after), copies(&before));
    assert_eq!(
        cluster.api(place).value("key", 0).unwrap().unwrap(),
        ("value".into(), revision)
    );
    assert!(cluster.api(place).value("while away", 0).unwrap().is_some());
    let incarnation = |cluster: &clusterkit::model::Cluster| {
        let node = cluster.nodes.iter().find(|node| *node.id == *id).unwrap();
        (node.raft_id, node.incarnation)
    };
    let ((raft_id, old), (same, new)) = (incarnation(&before), incarnation(&after));
    assert_eq!(raft_id, same, "it came back with its log");
    assert!(new > old, "it came back as a new incarnation");
}

#[test]
fn when_a_follower_stops_others_take_over_at_once_and_when_it_returns_nothing_has_moved() {
    stop_and_return(false);
}

#[test]
fn when_the_leader_stops_others_take_over_at_once_and_when_it_returns_nothing_has_moved() {
    stop_and_return(true);
}

#[test]
fn a_rolling_restart_under_load_loses_no_acknowledged_write_and_moves_no_copy() {
    let mut cluster = Cluster::of(PROGRAM, 5);
    let before = cluster.settle().cluster;
    let load = Load::start(&cluster, 3, 7);
    load.wait_progress(&cluster, 50);
    let mut pauses = Vec::new();
    for place in 0..cluster.len() {
        cluster.node(place).stop();
        pauses.push(load.wait_progress(&cluster, 20));
        cluster.node(place).spawn_again();
        cluster.node(place).wait_ready();
        load.wait_progress(&cluster, 20);
        // As an operator does it: the next one only when all is whole again.
        cluster.until("all is whole again", || {
            let snapshot = cluster.api(place).cluster().map_err(|error| error.to_string())?;
            let whole =
                copies(&snapshot.cluster) == copies(&before) && primaries(&snapshot.cluster).len() == 64;
            let active = snapshot
                .cluster
                .nodes
                .iter()
                .all(|node| node.status == NodeStatus::Active);
            (whole && active)
                .then_some(())
                .ok_or_else(|| format!("whole {whole}, active {active}"))
        });
    }
    println!("20 writes after each stop: {pauses:?}");
    let journal = load.finish();
    let after = cluster.settle().cluster;
    assert_eq!(copies(&after), copies(&before));
    for api in cluster.apis() {
        journal.check(&api.cluster().unwrap().cluster);
        journal.check_revisions(&api);
    }
}

#[test]
fn to_be_told_to_stop_twice_does_no_harm() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    let revision = cluster.api(2).put("key", "value").unwrap();
    cluster.node(2).terminate();
    cluster.node(2).terminate();
    let (ended, _) = cluster.node(2).wait_end();
    // The second signal does not ask; whichever comes first, nothing is broken.
    assert!(matches!(ended.code, Some(0 | 130)), "{ended:?}");
    cluster.node(2).spawn_again();
    cluster.node(2).wait_ready();
    cluster.settle();
    assert_eq!(
        cluster.api(2).value("key", 0).unwrap().unwrap(),
        ("value".into(), revision)
    );
}

#[test]
fn a_cluster_whose_nodes_all_stopped_comes_back_whole() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    let before = cluster.settle().cluster;
    let revision = cluster.api(1).put("key", "value").unwrap();
    for place in 0..3 {
        cluster.node(place).stop();
    }
    for place in 0..3 {
        cluster.node(place).spawn_again();
    }
    for place in 0..3 {
        cluster.node(place).wait_ready();
    }
    assert_eq!(copies(&cluster.settle().cluster), copies(&before));
    for api in cluster.apis() {
        assert_eq!(api.value("key", 0).unwrap().unwrap(), ("value".into(), revision));
    }
}
