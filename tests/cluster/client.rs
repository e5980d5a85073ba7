//! A client in this process of a cluster of others: they are killed, stopped where they are, and founded anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ck_tests::{Cluster, WAIT_LIMIT};
use clusterkit::model::NodeStatus;
use clusterkit::{Client, ClientOptions, ErrorCode};

use crate::PROGRAM;

fn client_of(cluster: &Cluster, places: &[usize]) -> Client {
    let addrs = places.iter().map(|place| cluster.nodes()[*place].addr());
    let client = Client::new(ClientOptions::new(addrs)).unwrap();
    client.wait_ready(WAIT_LIMIT).unwrap();
    client
}

/// The place of the node that a client follows.
fn followed(cluster: &Cluster, client: &Client) -> usize {
    let followed = || {
        let connected = client.status().connected;
        let place = cluster
            .nodes()
            .iter()
            .position(|node| Some(node.addr()) == connected.as_deref());
        place.ok_or_else(|| format!("{:?}", client.status()))
    };
    cluster.until("a member is followed", followed).0
}

/// Fails when the revisions that a reader sees go back while `work` runs.
fn while_read<T>(client: &Client, work: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !is_done.load(Ordering::Acquire) {
                let revision = client.view().revision();
                assert!(revision >= seen, "{revision} after {seen}");
                seen = revision;
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let done = work();
        is_done.store(true, Ordering::Release);
        done
    })
}

/// Waits until the client has the partitions that the nodes have.
fn wait_same(cluster: &Cluster, client: &Client) {
    let same = || {
        let snapshot = cluster.agree().cluster;
        let view = client.view();
        let is_same = view.partition_map() == snapshot.partition_map && view.nodes() == snapshot.nodes;
        is_same
            .then_some(())
            .ok_or_else(|| format!("{:?}", client.status()))
    };
    cluster.until("the client has what the nodes have", same);
}

#[test]
fn kill_9_of_the_node_that_is_followed_moves_the_client_on() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    let client = client_of(&cluster, &[0]);
    wait_same(&cluster, &client);
    while_read(&client, || {
        let place = followed(&cluster, &client);
        let id = cluster.nodes()[place].id.clone();
        cluster.node(place).kill();
        let taken_over = || {
            let view = client.view();
            let is_failed = view
                .node(&id)
                .is_some_and(|node| node.status == NodeStatus::Failed);
            let mut primaries = view.partitions().map(|partition| partition.primary());
            let is_taken_over = primaries.all(|primary| primary.is_some_and(|node| *node.id != *id));
            (is_failed && is_taken_over)
                .then_some(())
                .ok_or_else(|| format!("{:?}", client.status()))
        };
        cluster.until("the client sees who takes over", taken_over);
        cluster.node(place).spawn_again();
        cluster.node(place).wait_ready();
        cluster.settle();
    });
    wait_same(&cluster, &client);
}

#[test]
fn a_node_that_stands_still_is_left_and_a_revision_is_had_from_others_meanwhile() {
    let cluster = Cluster::of(PROGRAM, 3);
    let client = client_of(&cluster, &[0, 1, 2]);
    while_read(&client, || {
        let still = followed(&cluster, &client);
        // Its kernel takes what is sent, and nothing answers: the connection is as good as half open.
        cluster.nodes()[still].pause();
        let writer = cluster.api((still + 1) % 3);
        let put = || writer.put("key", "value").map_err(|error| error.to_string());
        let (revision, _) = cluster.until("the others write", put);
        client.wait_for_revision(revision, WAIT_LIMIT).unwrap();
        let moved = || {
            let status = client.status();
            let addr = cluster.nodes()[still].addr();
            let has_moved = !status.is_stale && status.connected.as_deref() != Some(addr);
            has_moved.then_some(()).ok_or_else(|| format!("{status:?}"))
        };
        cluster.until("another is followed", moved);
        cluster.nodes()[still].resume();
        cluster.settle();
    });
    wait_same(&cluster, &client);
}

#[test]
fn a_cluster_that_restarts_is_followed_again() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    let client = client_of(&cluster, &[1]);
    while_read(&client, || {
        for place in 0..3 {
            cluster.node(place).kill();
        }
        let noticed = || match client.status() {
            status if status.is_stale => Ok(()),
            status => Err(format!("{status:?}")),
        };
        cluster.until("nobody answers", noticed);
        let before = client.view().revision();
        for place in 0..3 {
            cluster.node(place).spawn_again();
        }
        for place in 0..3 {
            cluster.node(place).wait_ready();
        }
        cluster.settle();
        assert!(client.refresh(WAIT_LIMIT).unwrap() > before);
    });
    wait_same(&cluster, &client);
}

#[test]
fn a_cluster_that_is_founded_anew_under_the_same_address_is_another() {
    let mut cluster = Cluster::found(PROGRAM);
    cluster.settle();
    let client = client_of(&cluster, &[0]);
    cluster.node(0).kill();
    let gone = || match client.status() {
        status if status.is_stale => Ok((status.cluster_id, status.revision)),
        status => Err(format!("{status:?}")),
    };
    let ((id, revision), _) = cluster.until("the end is noticed", gone);
    std::fs::remove_dir_all(cluster.nodes()[0].data_dir()).unwrap();
    cluster.node(0).spawn_again();
    cluster.node(0).wait_ready();
    let noticed = || {
        let status = client.status();
        let code = status.last_error.as_ref().map(clusterkit::Error::code);
        match code {
            Some(ErrorCode::WrongCluster) if status.is_stale => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    };
    cluster.until("the client refuses it", noticed);
    let refused = || match client.refresh(Duration::from_secs(1)) {
        Err(error) if error.code() == ErrorCode::WrongCluster => Ok(()),
        other => Err(format!("{other:?}")),
    };
    cluster.until("a call says so", refused);
    let status = client.status();
    assert_eq!((status.cluster_id, status.revision), (id.clone(), revision));
    let next = client_of(&cluster, &[0]);
    assert_ne!(next.status().cluster_id, id);
}
