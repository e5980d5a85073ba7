//! One node, then three, through the public handle.

use std::time::{Duration, Instant};

use clusterkit::Expect;
use clusterkit::{ClusterKit, Options};

const TIMEOUT: Duration = Duration::from_secs(10);

fn options(id: &str) -> Options {
    let mut options = Options::new(id, "127.0.0.1:0");
    options.data_dir = String::new();
    options
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn one_node_serves() {
    let node = ClusterKit::new(options("node-1")).unwrap();
    node.start().unwrap();
    assert!(node.is_leader());
    let revision = node.set_custom_data("a", "1", Expect::Any, TIMEOUT).unwrap();
    assert_eq!(node.custom_data("a").unwrap().revision, revision);
    until("a primary", || node.is_primary_for_key(b"user:1"));
    node.stop().unwrap();
}

#[test]
fn three_nodes_form_a_cluster() {
    let first = ClusterKit::new(options("node-1")).unwrap();
    first.start().unwrap();
    let address = first.http_addr().unwrap();
    let others: Vec<_> = ["node-2", "node-3"]
        .map(|id| {
            let mut options = options(id);
            options.join_addrs = vec![address.clone()];
            ClusterKit::new(options).unwrap()
        })
        .into_iter()
        .collect();
    for node in &others {
        node.start().unwrap();
    }
    for node in &others {
        until("three members everywhere", || node.view().nodes().len() == 3);
        until("partitions with three copies", || {
            node.view()
                .partitions()
                .all(|p| p.nodes().count() == 3 && p.pending().count() == 0)
        });
    }
    let revision = others[1].set_custom_data("k", "v", Expect::Any, TIMEOUT).unwrap();
    first.wait_for_revision(revision, TIMEOUT).unwrap();
    assert_eq!(&first.custom_data("k").unwrap().value[..], b"v");
    for node in others.iter().chain([&first]) {
        node.stop().unwrap();
    }
}
