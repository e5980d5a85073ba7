//! Clients of real nodes: programs that are no members and look keys up all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clusterkit::model::{NodeStatus, PartitionRecord};
use clusterkit::{AsyncClient, Client, ClientOptions, Expect};
use futures_util::StreamExt;

use crate::support::{
    TIMEOUT, TestNode, cluster, durable_cluster, founder, join, options, settle, stop, until,
};

fn client_of(nodes: &[TestNode]) -> Client {
    let addrs: Vec<String> = nodes.iter().map(TestNode::addr).collect();
    let client = Client::new(ClientOptions::new(addrs)).unwrap();
    client.wait_ready(TIMEOUT).unwrap();
    client
}

/// The place of the node that a client follows, once it follows one.
fn followed(client: &Client, nodes: &[TestNode]) -> usize {
    until("a member is followed", || client.status().connected.is_some());
    let connected = client.status().connected.unwrap();
    nodes.iter().position(|node| node.addr() == connected).unwrap()
}

/// What a view says of each key, without its revision.
fn routes(view: &clusterkit::routing::ClusterView) -> Vec<(PartitionRecord, Vec<String>)> {
    (0..100)
        .map(|number| {
            let partition = view.partition(format!("user:{number}").as_bytes()).unwrap();
            let nodes = partition
                .nodes()
                .map(|node| format!("{} {} {:?}", node.id, node.ip, node.services));
            (partition.record(), nodes.collect())
        })
        .collect()
}

/// Fails when the revisions that a reader sees go back while `work` runs.
fn while_read(client: &Client, work: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !is_done.load(Ordering::Acquire) {
                let revision = client.view().revision();
                assert!(revision >= seen, "{revision} after {seen}");
                seen = revision;
                std::thread::yield_now();
            }
        });
        work();
        is_done.store(true, Ordering::Release);
    });
}

#[test]
fn a_client_answers_as_the_members_do() {
    let mut first = founder("node-1");
    first.services.insert("kv".to_owned(), ":9080".to_owned());
    let mut nodes = vec![TestNode::start(first).unwrap()];
    for id in ["node-2", "node-3"] {
        nodes.push(join(options(id), &nodes[..1]).unwrap());
    }
    settle(&nodes);
    let client = client_of(&nodes[..1]);
    let kit = &nodes[1].kit;
    let revision = kit.set_custom_data("key", "value", Expect::Any, TIMEOUT).unwrap();
    // It was told a revision by a member, and reads at least that.
    client.wait_for_revision(revision, TIMEOUT).unwrap();
    assert!(client.view().revision() >= revision);
    // Voters may still be chosen, so both are looked at until they are of one revision.
    until("the client has what the node has", || {
        let (ours, theirs) = (client.view(), kit.view());
        ours.nodes() == theirs.nodes() && routes(&ours) == routes(&theirs)
    });
    let ours = client.view();
    assert_eq!(ours.leader().map(|node| &*node.id), Some("node-1"));
    assert_eq!(ours.topology().cluster_id, kit.view().topology().cluster_id);
    assert_eq!((ours.my_node(), ours.should_handle_key(b"user:1")), (None, None));
    let kv = ours.node("node-1").unwrap().services.get("kv");
    assert_eq!(kv.map(String::as_str), Some(":9080"));
    // The members that it was not given are known.
    until("all members are known", || {
        let addrs = client.status().addrs;
        nodes
            .iter()
            .all(|node| addrs.iter().any(|address| address.addr == node.addr()))
    });
    let revision = nodes[2]
        .kit
        .set_custom_data("key", "value 2", Expect::Any, TIMEOUT)
        .unwrap();
    assert!(client.read_barrier(TIMEOUT).unwrap() >= revision);
    assert!(client.refresh(TIMEOUT).unwrap() >= revision);
    until("all is well", || !client.status().is_stale);
    drop(ours);
    client.close().unwrap();
    stop(nodes);
}

#[test]
fn the_death_of_the_node_that_is_followed_is_seen_and_so_is_who_takes_over() {
    let mut nodes = cluster(3);
    let client = client_of(&nodes);
    let dead = followed(&client, &nodes);
    while_read(&client, || {
        let dead = nodes.remove(dead);
        let id = dead.id().to_owned();
        // Nobody is notified.
        dead.kit.close().unwrap();
        until("the others have taken over", || {
            let view = client.view();
            view.node(&id)
                .is_some_and(|node| node.status == NodeStatus::Failed)
                && view.partitions().all(|partition| {
                    partition
                        .primary()
                        .is_some_and(|primary| *primary.id != *id && primary.status.is_serving())
                })
        });
        until("another is followed", || {
            let status = client.status();
            !status.is_stale
                && status
                    .connected
                    .is_some_and(|addr| addr != dead.options.http_addr)
        });
    });
    stop(nodes);
}

#[test]
fn a_rebalance_reaches_a_client() {
    let mut nodes = cluster(2);
    let client = client_of(&nodes);
    let before = client.view().into_owned();
    while_read(&client, || {
        nodes.push(join(options("node-3"), &nodes[..1]).unwrap());
        settle(&nodes);
        let revision = nodes[2].kit.read_barrier(TIMEOUT).unwrap();
        client.wait_for_revision(revision, TIMEOUT).unwrap();
    });
    until("the client has what the node has", || {
        routes(&client.view()) == routes(&nodes[2].kit.view())
    });
    let view = client.view();
    assert!(view.partitions().any(|partition| {
        partition
            .primary()
            .is_some_and(|primary| &*primary.id == "node-3")
    }));
    // A view that is held stays what it was.
    assert_eq!(before.nodes().len(), 2);
    drop(view);
    stop(nodes);
}

#[test]
fn a_client_outlives_its_cluster_and_follows_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = durable_cluster(3, dir.path());
    let client = client_of(&nodes);
    let routes_before = routes(&client.view());
    let seen = client.view().revision();
    while_read(&client, || {
        for node in &nodes {
            node.kit.stop().unwrap();
        }
        until("nobody answers", || client.status().is_stale);
        assert!(client.refresh(Duration::from_millis(50)).is_err());
        // Lookups go on, with what was known last.
        assert_eq!(routes(&client.view()).len(), routes_before.len());
        // All at once: none of them starts without a majority.
        let nodes: Vec<TestNode> = std::thread::scope(|scope| {
            let starting: Vec<_> = nodes
                .into_iter()
                .map(|node| scope.spawn(move || node.start_again()))
                .collect();
            starting.into_iter().map(|node| node.join().unwrap()).collect()
        });
        settle(&nodes);
        until("the cluster is followed again", || !client.status().is_stale);
        assert!(client.refresh(TIMEOUT).unwrap() > seen);
        stop(nodes);
    });
}

#[test]
fn a_stream_tells_an_asynchronous_program_of_a_new_member() {
    let nodes = cluster(1);
    let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let addr = nodes[0].addr();
    let second = host.block_on(async {
        let client = AsyncClient::new(ClientOptions::new([addr])).unwrap();
        let mut changes = client.changes();
        assert_eq!(changes.next().await.unwrap().nodes().len(), 1);
        let second = join(options("node-2"), &nodes).unwrap();
        while changes.next().await.unwrap().nodes().len() < 2 {}
        client.close().await.unwrap();
        // What was not read yet, and then the end.
        while changes.next().await.is_some() {}
        second
    });
    stop(nodes.into_iter().chain([second]).collect());
}
