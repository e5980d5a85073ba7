//! Nodes that come back somewhere else, as pods do.

use ck_tests::{Cluster, copies};

use crate::PROGRAM;

/// Restarts the node at `place` on another port, and checks that everybody finds it there.
fn moves(cluster: &mut Cluster, place: usize) {
    let old = cluster.nodes()[place].addr().to_owned();
    let before = copies(&cluster.settle().cluster);
    cluster.node(place).kill();
    cluster.node(place).spawn_at("127.0.0.1:0");
    cluster.node(place).wait_ready();
    let (id, new) = (
        cluster.nodes()[place].id.clone(),
        cluster.nodes()[place].addr().to_owned(),
    );
    assert_ne!(old, new);
    let after = cluster.settle().cluster;
    let node = after.nodes.iter().find(|node| *node.id == *id).unwrap();
    assert_eq!((&node.ip, &node.peer_addr), (&new, &new));
    assert_eq!(copies(&after), before);
    // It follows from there, and is followed there.
    let revision = cluster.api(place).put("moved", new.clone()).unwrap();
    for api in cluster.apis() {
        assert_eq!(api.value("moved", revision).unwrap().unwrap().0, new);
    }
}

#[test]
fn a_node_that_returns_at_another_address_is_found_there_by_all() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    let leader = cluster.leader();
    moves(&mut cluster, (leader + 1) % 3);
    let leader = cluster.leader();
    moves(&mut cluster, leader);
}

#[test]
fn a_node_alone_returns_at_another_address() {
    let mut cluster = Cluster::found(PROGRAM);
    moves(&mut cluster, 0);
    cluster.add();
    cluster.settle();
}

#[test]
fn a_cluster_whose_nodes_all_return_at_other_addresses_one_after_the_other_stays_whole() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    // The first one too, whose old address is all that the others were ever told.
    for place in 0..3 {
        moves(&mut cluster, place);
    }
    // Nobody is left where anybody was at first; who joins now, joins through one that has moved.
    let through = cluster.nodes()[1].addr().to_owned();
    let mut fourth = cluster.stranger("node-4", &["--join-addrs", &through]);
    fourth.spawn_at("127.0.0.1:0");
    fourth.wait_ready();
    assert_eq!(fourth.api().nodes().unwrap().len(), 4);
}
