//! One answer comes from one view, whatever the applier does at the same time.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::model::{CopyState, Partition, PartitionCopy, Topology};
use crate::routing::ClusterView;

const ME: &str = "a";
const OTHER: &str = "b";

/// One partition, held by both nodes. At even revisions this node is primary, at odd ones the other.
fn view(revision: u64, shape: &Topology) -> ClusterView {
    let copy = |node: &str| PartitionCopy::new(node.into(), CopyState::Synced, 1);
    let primary = if revision.is_multiple_of(2) { ME } else { OTHER };
    let mut topology = shape.clone();
    topology.partitions = [Partition {
        number: 0,
        epoch: revision,
        primary: Some(primary.into()),
        copies: vec![copy(ME), copy(OTHER)],
        target: None,
        released: None,
        granted: 0,
        idle_since: 0,
    }]
    .into_iter()
    .map(Arc::new)
    .collect();
    ClusterView::new(Arc::new(topology), revision, ME)
}

/// Ends the applier when the readers have finished, or one of their assertions has failed.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Whoever follows a node has a long poll under way nearly all the time.
#[test]
fn a_node_closes_at_once_though_somebody_polls_it() {
    let mut options = Options::new(ME, "127.0.0.1:0");
    options.data_dir = String::new();
    let kit = ClusterKit::new(options).unwrap();
    kit.start().unwrap();
    let mut poll = std::net::TcpStream::connect(kit.http_addr().unwrap()).unwrap();
    // In one piece: when the first is answered the second is under way.
    let requests = "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /cluster?wait=1000000&timeout=20s HTTP/1.1\r\nHost: x\r\n\r\n";
    poll.write_all(requests.as_bytes()).unwrap();
    while kit.metrics().request_count == 0 {
        std::thread::yield_now();
    }
    let began = std::time::Instant::now();
    kit.close().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let mut answers = String::new();
    poll.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(
        answers.contains("HTTP/1.1 503") && answers.contains("STOPPED"),
        "{answers}"
    );
}

#[test]
fn an_answer_is_of_one_view_while_views_are_swapped() {
    let mut options = Options::new(ME, "127.0.0.1:0");
    options.partition_count = Some(1);
    let kit = ClusterKit::new(options).unwrap();
    kit.node().stand_in(Duration::from_secs(3600));
    let mut shape = Topology {
        config: crate::model::ClusterConfig {
            partition_count: 1,
            ..Default::default()
        },
        ..Topology::default()
    };
    for id in [ME, OTHER] {
        shape
            .nodes
            .insert(id.into(), Arc::new(crate::model::Node::sample(id)));
    }
    let (even, odd) = (view(2, &shape), view(3, &shape));
    let node = kit.node();
    let shared = node.shared_view();
    shared.store(even.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                shared.store(odd.clone());
                shared.store(even.clone());
            }
        });
        let _ended = Ended(&done);
        let mut roles = [0; 2];
        // At least this often, and until both revisions were seen.
        let mut asked = 0;
        while asked < 200_000 || roles.contains(&0) {
            asked += 1;
            for role in [kit.should_handle_key(b"k"), kit.role(0)] {
                // In either view this node holds a copy, and its lease is valid: no view gives it no role.
                match role.expect("a role in every view") {
                    Role::Primary => roles[0] += 1,
                    Role::Replica => roles[1] += 1,
                }
            }
            let leased = kit.leased_view();
            let partition = leased.view().partition(b"k").unwrap();
            let named = &*partition.primary().unwrap().id;
            assert_eq!(leased.is_primary(&partition), named == ME);
            assert_eq!(leased.role(&partition) == Some(Role::Primary), named == ME);
            assert_eq!(partition.epoch(), leased.view().revision());
        }
    });
}
