//! Ordinary nodes beside test clusters.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use clusterkit::{ClusterKit, Options};

use crate::{TIMEOUT, three};

#[test]
fn an_ordinary_node_beside_a_test_cluster_has_the_time_of_the_system() {
    let cluster = three();
    let mut options = Options::new("ordinary", "127.0.0.1:0");
    options.data_dir = String::new();
    options.partition_count = Some(1);
    let began = Instant::now();
    let node = ClusterKit::new(options).unwrap();
    let (told, tells) = channel();
    node.on_event(move |event| told.send(event.timestamp).map_err(|error| error.to_string()))
        .unwrap();
    node.start().unwrap();
    let epoch = node.leader_epoch().unwrap();
    let before = cluster.now();
    cluster.advance(Duration::from_secs(120)).unwrap();
    assert!(cluster.now() - before >= Duration::from_secs(120));
    assert!(node.metrics().uptime_seconds <= began.elapsed().as_secs());
    assert_eq!(node.leader_epoch().unwrap(), epoch);
    drop(cluster);
    node.set_custom_data("a", "1", clusterkit::Expect::Any, TIMEOUT)
        .unwrap();
    node.close().unwrap();
    let times: Vec<_> = tells.iter().collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
}
