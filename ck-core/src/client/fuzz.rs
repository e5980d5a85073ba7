//! Fuzz target: any bytes as answers of `GET /cluster`, which a client reads one after the other.

use std::sync::Arc;

use serde_json::json;

use super::answer::ClusterAnswer;
use crate::error::ErrorCode;
use crate::fuzz::Input;
use crate::model::{Cluster, Topology};
use crate::routing::ClusterView;

/// The maximum length of an error message, which must show long values shortened.
const MAX_MESSAGE_BYTES: usize = 2048;

/// An input is a sequence of bodies. One that is refused must say why with a code that a client knows what to do with; one
/// that is understood must stand every lookup, and the view that is made of it must give a record of which the same view
/// is made again.
pub(crate) fn client(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut before = Arc::<Topology>::default();
    while !input.is_empty() {
        match ClusterAnswer::parse(input.part()) {
            Ok(answer) => before = check(answer, &before),
            Err(error) => {
                assert!(
                    matches!(
                        error.code(),
                        ErrorCode::Unreachable | ErrorCode::Version | ErrorCode::NotStarted
                    ),
                    "{error}"
                );
                assert!(
                    error.message().len() <= MAX_MESSAGE_BYTES,
                    "{} bytes",
                    error.message().len()
                );
            }
        }
    }
}

fn check(answer: ClusterAnswer, before: &Arc<Topology>) -> Arc<Topology> {
    let revision = answer.revision();
    let topology = answer.into_topology(before);
    let view = ClusterView::new(topology.clone(), revision, "");
    assert!(view.my_node().is_none() && view.should_handle_key(b"key").is_none());
    for partition in view.partitions() {
        assert!(partition.role().is_none());
        let count = partition.nodes().len();
        assert_eq!(
            count,
            partition.replicas().len() + usize::from(partition.primary().is_some())
        );
    }
    let record = view.cluster(None);
    let again = ClusterAnswer::parse(&body(&record)).unwrap_or_else(|error| panic!("{error}"));
    let again = ClusterView::new(again.into_topology(&Arc::default()), revision, "");
    assert_eq!(again.cluster(None), record);
    topology
}

/// The answer with this record.
fn body(cluster: &Cluster) -> Vec<u8> {
    let body = json!({
        "hash_config": {
            "algorithm": "md5",
            "encoding": "big_endian_uint32",
            "modulo": cluster.config.partition_count,
            "format": "partition-%d",
        },
        "revision": cluster.revision,
        "cluster": cluster,
    });
    body.to_string().into_bytes()
}

/// Seed inputs: clusters of one node and of several, with partitions in every state, and what is none.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use super::tests::fake_member::{body, topology};
    use crate::fuzz::put_part;
    use crate::model::{CopyState, Maintenance, Node, NodeStatus, PartitionCopy, Target};

    let sequence = |bodies: &[String]| {
        let mut input = Vec::new();
        for body in bodies {
            put_part(&mut input, body.as_bytes());
        }
        input
    };
    let small = topology(&[("a", "a:1")], 1);
    let mut busy = topology(&[("a", "a:1"), ("b", "[::1]:2"), ("c", "c.example:3")], 7);
    let failed = Node {
        status: NodeStatus::Failed,
        zone: Some("z1".to_owned()),
        ..Node::sample("b")
    };
    busy.nodes.insert("b".into(), Arc::new(failed));
    Arc::make_mut(&mut busy.partitions[0]).primary = None;
    Arc::make_mut(&mut busy.partitions[1]).target = Some(Target {
        nodes: vec!["a".into()],
        primary: "a".into(),
    });
    Arc::make_mut(&mut busy.partitions[2]).copies = vec![
        PartitionCopy::new("b".into(), CopyState::Synced, 1),
        PartitionCopy::new("gone".into(), CopyState::Pending, 1),
    ];
    busy.maintenance = Some(Maintenance {
        reason: "disks".to_owned(),
        automatic: true,
    });
    let mut empty = small.clone();
    empty.partitions = crate::model::Partitions::default();
    vec![
        (
            "growing",
            sequence(&[
                body(&empty, 1, true).to_string(),
                body(&small, 2, true).to_string(),
                body(&busy, 3, false).to_string(),
            ]),
        ),
        ("small", sequence(&[body(&small, 9, true).to_string()])),
        ("busy", sequence(&[body(&busy, 9, true).to_string()])),
        (
            "none",
            sequence(&["<html>".to_owned(), "{\"cluster\":{}}".to_owned()]),
        ),
    ]
}
