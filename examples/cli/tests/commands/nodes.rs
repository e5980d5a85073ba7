//! Members: listing and removing them.

use serde_json::{Value, json};

use crate::sample::{cluster, node, script};
use crate::support::{Script, error};

#[test]
fn nodes_come_page_by_page_in_natural_order() {
    let page = |nodes: &[Value], has_more: bool, next: Option<u32>| json!({ "nodes": nodes, "total": 3, "offset": 0, "limit": 1000, "has_more": has_more, "next_offset": next });
    let node = script()
        .json(
            "GET /nodes?limit=1000&offset=0",
            200,
            &page(&[node(1, "active"), node(10, "failed")], true, Some(2)),
        )
        .json(
            "GET /nodes?limit=1000&offset=2",
            200,
            &page(&[node(2, "active")], false, None),
        )
        .serve();
    let ran = node.run(&["nodes"]);
    let expected = "\
node     address         status  raft     primaries  copies  incarnation  weight  services
node-1   10.0.0.1:8080   active  voter            2       3            1     100  kv=:9080
node-2   10.0.0.2:8080   active  leader           1       3            2     100  kv=:9080
node-10  10.0.0.10:8080  failed  learner          0       2           10     100  kv=:9080
3 nodes at revision 42
";
    assert_eq!((ran.stdout.as_str(), ran.code), (expected, 0));

    let answer = node.run(&["nodes", "--json"]).json();
    let ids: Vec<&str> = answer["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        (ids.as_slice(), &answer["total"]),
        (["node-1", "node-2", "node-10"].as_slice(), &json!(3))
    );
}

/// Nobody knows who is up when no leader is known.
#[test]
fn the_status_of_members_is_marked_when_it_is_of_the_past() {
    let mut stale = cluster();
    stale["stale"] = json!(true);
    stale["cluster"]["leader"] = json!("");
    let nodes = json!({ "nodes": [node(1, "active")], "total": 1, "has_more": false, "next_offset": null });
    let node = Script::default()
        .json("GET /cluster", 200, &stale)
        .last_contact("GET /cluster", 61_000)
        .json("GET /nodes?limit=1000&offset=0", 200, &nodes)
        .serve();
    let ran = node.run(&["nodes"]);
    assert!(ran.stdout.contains(" active (stale) "), "{}", ran.stdout);
    assert!(
        ran.stdout
            .ends_with("1 node at revision 42, as of 1m1s ago: no leader is known\n"),
        "{}",
        ran.stdout
    );
    let ran = node.run(&["partitions"]);
    assert!(
        ran.stdout
            .ends_with("4 partitions at revision 42, as of 1m1s ago: no leader is known\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_page_that_brings_nothing_ends_the_list() {
    let empty =
        json!({ "nodes": [], "total": 9, "offset": 0, "limit": 1000, "has_more": true, "next_offset": 0 });
    let node = script()
        .json("GET /nodes?limit=1000&offset=0", 200, &empty)
        .serve();
    assert_eq!(
        node.run(&["nodes", "--json"]).json(),
        json!({ "nodes": [], "total": 0 })
    );
}

#[test]
fn a_member_is_removed_only_when_somebody_said_yes() {
    let done = json!({ "success": true, "message": "node node-10 is removed", "revision": 50 });
    let node = Script::default()
        .json("DELETE /nodes/node-10", 200, &done)
        .serve();
    let ran = node.run(&["remove", "node-10"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert!(node.lines().is_empty(), "it was removed without a yes");

    let ran = node.run(&["remove", "node-10", "--yes"]);
    assert_eq!(
        (ran.code, node.lines()),
        (0, vec!["DELETE /nodes/node-10".to_string()])
    );
    assert_eq!(node.run(&["remove", "node-10", "-y", "--json"]).json(), done);
}

#[test]
fn the_last_holder_of_data_is_removed_by_force_and_another_copy_is_accepted() {
    let refused = error(
        "REFUSED",
        "no other node counts as holding the data of partition-5",
    );
    let done = json!({ "success": true, "message": "done", "revision": 50 });
    let node = Script::default()
        .json("DELETE /nodes/node-3", 409, &refused)
        .json("DELETE /nodes/node-3?force=true", 200, &done)
        .json("POST /partitions/partition-5/recover?from=node-2", 200, &done)
        .json("POST /partitions/5/recover?from=node-2&force=true", 200, &done)
        .serve();
    let ran = node.run(&["remove", "node-3", "--yes"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("partition-5"), "{}", ran.stderr);
    assert_eq!(node.run(&["remove", "node-3", "--yes", "--force"]).code, 0);

    let ran = node.run(&["recover", "partition-5", "--from", "node-2"]);
    assert_eq!(ran.code, 2, "it was accepted without a yes");
    let ran = node.run(&["recover", "partition-5", "--from", "node-2", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = node.run(&["recover", "5", "--from", "node-2", "-y", "--force", "--json"]);
    assert_eq!(ran.json(), done);
    assert_eq!(
        node.run(&["recover", "partition-5", "--yes"]).code,
        2,
        "from whom?"
    );
}
