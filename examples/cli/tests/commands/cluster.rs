//! What is asked of the whole cluster: status, leader, rebalance.

use serde_json::{Value, json};

use crate::sample::{cluster, health, script};
use crate::support::{Script, error};

#[test]
fn status_sums_up() {
    let node = script().json("GET /health/detailed", 200, &health()).serve();
    let ran = node.run(&["status"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let expected = format!(
        "\
cluster     shop (c-1)
revision    42
leader      node-2 (epoch 7)
nodes       2 of 3 active; node-10 failed
partitions  4: 2 ok, 1 moving, 1 no primary
copies      2 wanted of each partition
balance     0 to 2 primaries and 2 to 3 copies on a node
asked       node-1 at {}, Follower, up 2m3.5s, healthy
",
        node.addr
    );
    assert_eq!(ran.stdout, expected);

    let answer = node.run(&["status", "--json"]).json();
    assert_eq!(answer["leader"], "node-2");
    assert_eq!(
        (&answer["nodes"], &answer["active_nodes"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(
        answer["partition_states"],
        json!({"ok": 2, "moving": 1, "no_primary": 1})
    );
    assert_eq!(answer["copies_per_node"]["max"], 3);
    assert_eq!(answer["asked"]["uptime"], "2m3.5s");
}

/// All that the asked node has is what was so when it last heard of a leader.
#[test]
fn status_without_a_leader_says_how_old_it_is() {
    let mut cluster = cluster();
    cluster["stale"] = json!(true);
    cluster["cluster"]["leader"] = json!("");
    let mut health = health();
    health["healthy"] = json!(false);
    health["message"] = json!("no leader is known");
    let node = Script::default()
        .json("GET /cluster", 200, &cluster)
        .last_contact("GET /cluster", 34_012)
        .json("GET /health/detailed", 200, &health)
        .json(
            "GET /nodes?limit=1",
            200,
            &json!({ "nodes": [], "total": 3, "heard": 1, "has_more": true }),
        )
        .serve();
    let ran = node.run(&["status"]);
    let expected = format!(
        "\
cluster     shop (c-1)
revision    42
leader      none; the last one was heard of 34s ago
nodes       3 members, 1 heard of; as of 34s ago: 2 of 3 active; node-10 failed
partitions  as of 34s ago: 4: 2 ok, 1 moving, 1 no primary
copies      2 wanted of each partition
balance     0 to 2 primaries and 2 to 3 copies on a node
asked       node-1 at {}, Follower, up 2m3.5s, unhealthy: no leader is known
",
        node.addr
    );
    assert_eq!((ran.stdout.as_str(), ran.code), (expected.as_str(), 0));
    let answer = node.run(&["status", "--json"]).json();
    assert_eq!(
        (&answer["stale"], &answer["last_contact_ms"], &answer["heard"]),
        (&json!(true), &json!(34_012), &json!(1))
    );
}

#[test]
fn the_leader_or_the_error_that_there_is_none() {
    let leader = json!({
        "leader_id": "node-2", "leader_name": "Server-2", "leader_ip": "10.0.0.2:8080", "term": 3,
        "elected_at": "2026-01-02T03:04:05.000Z", "epoch": 7
    });
    let node = Script::default()
        .json("GET /consensus/leader", 200, &leader)
        .serve();
    let expected = "node-2 at 10.0.0.2:8080 (epoch 7, term 3, elected 2026-01-02T03:04:05.000Z)\n";
    assert_eq!(node.run(&["leader"]).stdout, expected);
    assert_eq!(node.run(&["leader", "--json"]).json(), leader);

    let none = error("NO_LEADER", "no leader is known");
    let node = Script::default()
        .json("GET /consensus/leader", 503, &none)
        .serve();
    let ran = node.run(&["leader"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "clusterkit: no leader is known (NO_LEADER)\n")
    );
    let ran = node.run(&["leader", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.stderr).unwrap(), none);
}

#[test]
fn a_rebalance_is_ordered_or_only_planned() {
    let plan = |dry: bool| {
        json!({ "dry_run": dry, "revision": 42, "partitions_to_move": 1, "moves": [{
            "partition_id": "partition-3", "number": 3, "old_primary": "", "new_primary": "node-2",
            "gain": ["node-2"], "lose": [] }] })
    };
    let node = Script::default()
        .json("POST /rebalance", 200, &plan(false))
        .json("POST /rebalance?dry_run=true", 200, &plan(true))
        .serve();
    let expected = "\
partition    primary    gains a copy
partition-3  -> node-2  node-2
1 partition would move
";
    assert_eq!(node.run(&["rebalance", "--dry-run"]).stdout, expected);
    assert!(
        node.run(&["rebalance"])
            .stdout
            .ends_with("1 partition on the move\n")
    );
    assert_eq!(
        node.run(&["rebalance", "--json"]).json()["moves"][0]["gain"],
        json!(["node-2"])
    );
    assert_eq!(
        node.lines(),
        [
            "POST /rebalance?dry_run=true",
            "POST /rebalance",
            "POST /rebalance"
        ]
    );
}
