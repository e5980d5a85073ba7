//! Bodies of `GET /cluster`: what is made of them, and what is refused.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fake_member::{body, topology};
use crate::client::answer::ClusterAnswer;
use crate::error::ErrorCode;
use crate::model::{
    CopyState, Maintenance, Node, NodeId, NodeStatus, Partition, PartitionCopy, Role, Target, Topology,
};
use crate::routing::ClusterView;

const MEMBERS: [(&str, &str); 3] = [("a", "a:1"), ("b", "b:1"), ("c", "c:1")];

fn parse(body: &Value) -> crate::Result<ClusterAnswer> {
    ClusterAnswer::parse(body.to_string().as_bytes())
}

/// The view that a client without an earlier one makes of a topology's record.
fn seen_by_client(topology: &Topology, revision: u64) -> ClusterView {
    let answer = parse(&body(topology, revision, true)).unwrap();
    assert_eq!(answer.revision(), revision);
    ClusterView::new(answer.into_topology(&Arc::default()), revision, "")
}

#[test]
fn a_client_answers_every_lookup_as_a_member_does() {
    let topology = topology(&MEMBERS, 7);
    let (member, client) = (
        ClusterView::new(Arc::new(topology.clone()), 42, "b"),
        seen_by_client(&topology, 42),
    );
    assert_eq!(client.revision(), 42);
    for number in 0..200 {
        let key = format!("key-{number}").into_bytes();
        let (ours, theirs) = (client.partition(&key).unwrap(), member.partition(&key).unwrap());
        assert_eq!(ours.record(), theirs.record());
        assert_eq!(client.primary_node(&key), member.primary_node(&key));
        assert!(ours.nodes().eq(theirs.nodes()) && ours.replicas().eq(theirs.replicas()));
    }
    assert_eq!(client.nodes(), member.nodes());
    assert_eq!(client.leader(), member.leader());
    assert_eq!(client.partition_stats(), member.partition_stats());
}

#[test]
fn a_client_has_no_part_in_the_cluster() {
    let view = seen_by_client(&topology(&MEMBERS, 7), 1);
    assert_eq!((&**view.my_id(), view.my_node()), ("", None));
    for number in 0..4 {
        assert!(!view.is_primary(number) && !view.is_replica(number));
        assert_eq!(view.partition_by_number(number).unwrap().role(), None::<Role>);
    }
    assert_eq!(view.should_handle_key(b"key"), None);
    assert_eq!(view.am_i_responsible_for(b"key").unwrap().role, None);
}

fn status() -> impl Strategy<Value = NodeStatus> {
    proptest::sample::select(NodeStatus::ALL.to_vec())
}

/// Any partition among the nodes `a`, `b`, `c` and `gone`, which is no member.
fn partition(number: u32) -> impl Strategy<Value = Arc<Partition>> {
    let copy = proptest::option::of(proptest::sample::select(vec![
        CopyState::Synced,
        CopyState::Pending,
    ]));
    let copies = proptest::array::uniform4(copy);
    (
        copies,
        proptest::option::of(0..4_usize),
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(move |(states, primary, moves, epoch)| {
            let ids = ["a", "b", "c", "gone"];
            let primary = primary
                .filter(|place| states[*place] == Some(CopyState::Synced))
                .map(|place| NodeId::from(ids[place]));
            let copies = ids.iter().zip(states);
            Arc::new(Partition {
                number,
                epoch,
                primary,
                copies: copies
                    .filter_map(|(id, state)| Some(PartitionCopy::new((*id).into(), state?, 3)))
                    .collect(),
                target: moves.then(|| Target {
                    nodes: vec!["b".into()],
                    primary: "b".into(),
                }),
                released: None,
                granted: 4,
                idle_since: 0,
            })
        })
}

fn any_topology() -> impl Strategy<Value = Topology> {
    (
        proptest::array::uniform3(status()),
        [partition(0), partition(1), partition(2), partition(3)],
        any::<bool>(),
        1..4_u32,
    )
        .prop_map(|(statuses, partitions, in_maintenance, replication_factor)| {
            let mut topology = topology(&MEMBERS, 1);
            for (node, status) in topology.nodes.values_mut().zip(statuses) {
                *node = Arc::new(Node {
                    status,
                    ..(**node).clone()
                });
            }
            topology.partitions = partitions.into_iter().collect();
            topology.config.replication_factor = replication_factor;
            topology.maintenance = in_maintenance.then(|| Maintenance {
                reason: "disks".to_owned(),
                automatic: false,
            });
            topology
        })
}

proptest! {
    #[test]
    fn a_view_that_is_made_of_a_record_gives_the_same_record(topology in any_topology()) {
        let member = ClusterView::new(Arc::new(topology.clone()), 9, "a").cluster(None);
        let client = seen_by_client(&topology, 9).cluster(None);
        prop_assert_eq!(client, member);
    }

    #[test]
    fn an_answer_after_another_gives_the_same_as_one_alone(before in any_topology(), after in any_topology()) {
        let first = Arc::new(before);
        let view = ClusterView::new(first.clone(), 8, "");
        let next = parse(&body(&after, 9, true)).unwrap().into_topology(&first);
        prop_assert_eq!(view.updated(&next, 9).cluster(None), seen_by_client(&after, 9).cluster(None));
    }
}

/// Every place in a JSON value, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// What else a place could hold, most of it wrongly.
fn other_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(4),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!("b"),
        json!("gone"),
        json!("moving"),
        json!("lost"),
        json!("failed"),
        json!("partition-1"),
        json!("2023-11-14T22:13:20.123456Z"),
        json!([]),
        json!(["b", "b", "gone", ""]),
        json!({}),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn an_answer_in_which_anything_is_changed_is_understood_or_refused(
        topology in any_topology(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
    ) {
        let mut changed = body(&topology, 9, true);
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&changed, "", &mut found);
            let values = other_values();
            let place: &String = place.get(&found);
            *changed.pointer_mut(place).unwrap() = value.get(&values).clone();
        }
        let mut input = Vec::new();
        for body in [body(&topology, 8, true), changed] {
            crate::fuzz::put_part(&mut input, body.to_string().as_bytes());
        }
        crate::client::fuzz::client(&input);
    }
}

#[test]
fn what_has_not_changed_is_shared() {
    let first = parse(&body(&topology(&MEMBERS, 7), 1, true))
        .unwrap()
        .into_topology(&Arc::default());
    let same = parse(&body(&topology(&MEMBERS, 7), 2, true))
        .unwrap()
        .into_topology(&first);
    assert!(Arc::ptr_eq(&first, &same), "a write of data changes no topology");
    let mut changed = topology(&MEMBERS, 7);
    Arc::make_mut(&mut changed.partitions[2]).epoch = 8;
    let next = parse(&body(&changed, 3, true)).unwrap().into_topology(&first);
    for number in [0, 1, 3] {
        assert!(Arc::ptr_eq(&first.partitions[number], &next.partitions[number]));
    }
    assert_eq!(next.partitions[2].epoch, 8);
    for (before, after) in first.nodes.values().zip(next.nodes.values()) {
        assert!(Arc::ptr_eq(before, after));
    }
}

#[test]
fn a_member_that_knows_no_leader_takes_none_away() {
    let led = topology(&MEMBERS, 7);
    let first = parse(&body(&led, 1, true))
        .unwrap()
        .into_topology(&Arc::default());
    assert_eq!(first.leader.as_deref(), Some("a"));
    let cut_off = parse(&body(&led, 2, false)).unwrap();
    assert!(!cut_off.is_leader_known());
    assert_eq!(cut_off.into_topology(&first).leader.as_deref(), Some("a"));
    // Of another leadership nothing is known.
    let mut later = led;
    later.leader_epoch += 1;
    let answer = parse(&body(&later, 3, false)).unwrap();
    assert_eq!(answer.into_topology(&first).leader, None);
}

#[test]
fn answers_that_no_node_gives_are_refused() {
    let good = body(&topology(&MEMBERS, 7), 5, true);
    let changed = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value;
        changed
    };
    let record = good["cluster"]["partition_map"]["partitions"]["partition-0"].clone();
    let node = good["cluster"]["nodes"][0].clone();
    let partitions = "/cluster/partition_map/partitions";
    let mut fewer = good["cluster"]["partition_map"]["partitions"].clone();
    fewer.as_object_mut().unwrap().remove("partition-3");
    let mut misnamed = fewer.clone();
    misnamed["partition-4"] = record.clone();
    let mut twice = fewer.clone();
    twice["partition-00"] = record;
    for (what, body, code) in [
        (
            "other hash",
            changed("/hash_config/algorithm", json!("sha1")),
            ErrorCode::Version,
        ),
        (
            "other encoding",
            changed("/hash_config/encoding", json!("little")),
            ErrorCode::Version,
        ),
        (
            "other format",
            changed("/hash_config/format", json!("p%d")),
            ErrorCode::Version,
        ),
        (
            "other modulo",
            changed("/hash_config/modulo", json!(5)),
            ErrorCode::Version,
        ),
        (
            "no hash",
            changed("/hash_config", json!(null)),
            ErrorCode::Version,
        ),
        (
            "no partition count",
            changed("/cluster/config/partition_count", json!(0)),
            ErrorCode::Version,
        ),
        (
            "too many partitions",
            changed("/cluster/config/partition_count", json!(70_000)),
            ErrorCode::Version,
        ),
        (
            "partitions missing",
            changed(partitions, fewer),
            ErrorCode::Version,
        ),
        (
            "a partition with another's name",
            changed(partitions, misnamed),
            ErrorCode::Version,
        ),
        (
            "a name in another form",
            changed(partitions, twice),
            ErrorCode::Version,
        ),
        (
            "a state from the future",
            changed("/cluster/nodes/0/status", json!("sleeping")),
            ErrorCode::Version,
        ),
        (
            "two revisions",
            changed("/revision", json!(6)),
            ErrorCode::Version,
        ),
        (
            "two names",
            changed("/cluster/name", json!("other")),
            ErrorCode::Version,
        ),
        (
            "a node twice",
            changed("/cluster/nodes", json!([node, node])),
            ErrorCode::Version,
        ),
        (
            "a node without an id",
            changed("/cluster/nodes/0/id", json!("")),
            ErrorCode::Version,
        ),
        (
            "a negative revision",
            changed("/revision", json!(-1)),
            ErrorCode::Version,
        ),
        ("no object", json!([]), ErrorCode::Version),
        (
            "no cluster yet",
            changed("/cluster/id", json!("")),
            ErrorCode::NotStarted,
        ),
    ] {
        let error = parse(&body).map(drop).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    for text in [&b""[..], b"{", b"<html></html>", b"\xff\xfe", b"{}{}"] {
        let error = ClusterAnswer::parse(text).map(drop).unwrap_err();
        assert_eq!(
            error.code(),
            if text == b"{}{}" {
                ErrorCode::Version
            } else {
                ErrorCode::Unreachable
            },
            "{error}"
        );
    }
    // What is not known is ignored, and a cluster without partitions yet is one.
    let mut more = changed(partitions, json!({}));
    more["cluster"]["mood"] = json!("good");
    more["more"] = json!([1, [2]]);
    assert!(parse(&more).is_ok());
}
