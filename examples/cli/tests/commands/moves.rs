//! What moves, and what an administrator orders: leave, maintenance, who leads.

use serde_json::{Value, json};

use crate::sample::{cluster, health};
use crate::support::{Script, error};

fn status() -> Value {
    json!({
        "answered_by": "node-1", "from_leader": true, "revision": 42, "running": true, "trigger": "node_join",
        "trigger_node_id": "node-3", "started_at": "2026-01-02T03:04:05.000Z", "partitions_to_move": 5, "moved": 2,
        "maintenance": { "reason": "kernels", "automatic": false },
        "migrations": [
            { "partition_id": "partition-1", "number": 1, "from": ["node-1"], "to": "node-3", "state": "copying",
              "since": "2026-01-02T03:04:06.000Z", "attempts": 0, "reason": "" },
            { "partition_id": "partition-2", "number": 2, "from": ["node-1", "node-2"], "to": "node-3",
              "state": "retrying", "since": "2026-01-02T03:04:06.000Z", "attempts": 3, "reason": "disk full" },
            { "partition_id": "partition-3", "number": 3, "from": ["node-2"], "to": "node-3", "state": "queued",
              "attempts": 0, "reason": "" }
        ],
        "migrations_total": 4,
        "away": [{ "node": "node-4", "since": "2026-01-02T03:04:00.000Z",
                   "replaced_after": "2026-01-02T03:04:10.000Z" }],
        "avoided": [{ "partition_id": "partition-9", "number": 9, "node": "node-5", "times": 2,
                      "until": "2026-01-02T03:14:05.000Z" }],
        "something_new": 1
    })
}

#[test]
fn the_status_of_a_rebalance_says_what_moves_and_what_waits() {
    let node = Script::default().json("GET /rebalance", 200, &status()).serve();
    let ran = node.run(&["rebalance", "--status"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let expected = "\
partition    from           to      state     since                     failed  why
partition-1  node-1         node-3  copying   2026-01-02T03:04:06.000Z
partition-2  node-1 node-2  node-3  retrying  2026-01-02T03:04:06.000Z       3  disk full
partition-3  node-2         node-3  queued
and 1 more
2 of 5 partitions moved; node join of node-3 at 2026-01-02T03:04:05.000Z
maintenance: no moves are planned: kernels
node-4 is away since 2026-01-02T03:04:00.000Z
partition-9 was given up on node-5 2 times; it is not planned there until 2026-01-02T03:14:05.000Z
";
    assert_eq!(ran.stdout, expected);
    let answer = node.run(&["rebalance", "--status", "--json"]).json();
    assert_eq!(answer["migrations"][1]["attempts"], 3);
    assert_eq!(node.lines(), ["GET /rebalance", "GET /rebalance"]);
}

#[test]
fn a_node_without_a_leader_says_that_it_knows_less() {
    let mut idle = status();
    idle["from_leader"] = json!(false);
    idle["running"] = json!(false);
    for gone in ["maintenance", "trigger", "started_at"] {
        idle.as_object_mut().unwrap().remove(gone);
    }
    for gone in ["migrations", "away", "avoided"] {
        idle[gone] = json!([]);
    }
    let node = Script::default().json("GET /rebalance", 200, &idle).serve();
    let expected = "\
nothing moves
the leader did not answer: this is what node-1 knows, without clocks and attempts
";
    assert_eq!(node.run(&["rebalance", "--status"]).stdout, expected);
    assert_eq!(node.run(&["maintenance", "status"]).stdout, "off\n");
}

#[test]
fn maintenance_begins_for_a_reason_and_ends() {
    let done = json!({ "success": true, "message": "done", "revision": 43 });
    let node = Script::default()
        .json("POST /maintenance", 200, &done)
        .json("POST /maintenance?reason=new%20kernels", 200, &done)
        .json("DELETE /maintenance", 200, &done)
        .json("GET /rebalance", 200, &status())
        .serve();
    assert_eq!(
        node.run(&["maintenance", "on"]).stdout,
        "no moves are planned from now on; primaries still fail over\n"
    );
    let ran = node.run(&["maintenance", "on", "--reason", "new kernels", "--json"]);
    assert_eq!(ran.json(), done);
    assert_eq!(
        node.run(&["maintenance", "status"]).stdout,
        "on, asked for: kernels\n"
    );
    let answer = node.run(&["maintenance", "status", "--json"]).json();
    assert_eq!(
        (&answer["on"], &answer["maintenance"]["reason"]),
        (&json!(true), &json!("kernels"))
    );
    assert_eq!(
        node.run(&["maintenance", "off"]).stdout,
        "moves are planned again\n"
    );
    assert_eq!(
        node.lines(),
        [
            "POST /maintenance",
            "POST /maintenance?reason=new%20kernels",
            "GET /rebalance",
            "GET /rebalance",
            "DELETE /maintenance"
        ]
    );
}

#[test]
fn leadership_is_handed_over_to_anybody_or_to_somebody() {
    let done = json!({ "success": true, "message": "node node-2 leads", "leader": "node-2" });
    // The new leader is asked itself; it is known to the one that is asked first.
    let mut says = health();
    says["node_id"] = json!("node-2");
    says["is_leader"] = json!(true);
    let new = Script::default().json("GET /health/detailed", 200, &says).serve();
    let mut members = cluster();
    members["cluster"]["nodes"][2]["ip"] = json!(new.addr);
    let node = Script::default()
        .json("GET /cluster", 200, &members)
        .json("POST /step-down", 200, &done)
        .json("POST /step-down?to=node-2", 200, &done)
        .json("POST /step-down?to=node-2&cooldown=30000", 200, &done)
        .json("POST /step-down?cooldown=60000", 200, &done)
        .serve();
    for args in [
        &["step-down"][..],
        &["step-down", "--to", "node-2", "--cooldown", "30s"],
        &["promote", "node-2"],
        &["demote"],
    ] {
        let ran = node.run(args);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "node-2 leads\n"),
            "{args:?}: {}",
            ran.stderr
        );
    }
    assert_eq!(node.run(&["demote", "--json"]).json(), done);
    let refused = error("REFUSED", "stepping down would leave nobody to lead");
    let node = Script::default().json("POST /step-down", 409, &refused).serve();
    let ran = node.run(&["step-down"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            1,
            "clusterkit: stepping down would leave nobody to lead (REFUSED)\n"
        )
    );
}

/// Whatever the asked node answers, nobody is said to lead who does not.
#[test]
fn success_is_said_only_when_the_promoted_node_leads() {
    let done = json!({ "success": true, "message": "node node-2 leads", "leader": "node-2" });
    let other = json!({ "success": true, "message": "node node-1 leads", "leader": "node-1" });
    let mut members = cluster();
    // Nobody listens there: the asked node's word has to do.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    members["cluster"]["nodes"][2]["ip"] = json!(free.local_addr().unwrap().to_string());
    drop(free);
    let leader = |id: &str| json!({ "leader_id": id, "leader_name": id, "leader_ip": "10.0.0.1:8080", "term": 3, "elected_at": "2026-01-02T03:04:05.000Z", "epoch": 7 });
    let script = |answer: &Value, leads: u16, leader: &Value| {
        Script::default()
            .json("GET /cluster", 200, &members)
            .json("POST /step-down?to=node-2", 200, answer)
            .json("GET /consensus/leader", leads, leader)
            .serve()
    };
    let promote = ["--timeout", "300ms", "promote", "node-2"];
    let ran = script(&done, 200, &leader("node-2")).run(&promote);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "node-2 leads\n"),
        "{}",
        ran.stderr
    );
    let nobody = error("NO_LEADER", "no leader is known at present");
    for node in [
        script(&other, 200, &leader("node-1")),
        script(&done, 200, &leader("node-1")),
        script(&done, 503, &nobody),
        script(&json!({ "success": true }), 200, &leader("node-1")),
    ] {
        let ran = node.run(&promote);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn a_node_leaves_only_when_somebody_said_yes() {
    let done = json!({ "success": true, "message": "this node leaves", "revision": 50 });
    let node = Script::default().json("POST /leave", 200, &done).serve();
    let ran = node.run(&["leave"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert!(node.lines().is_empty(), "it left without a yes");
    assert_eq!(node.run(&["leave", "--yes"]).code, 0);
    assert_eq!(node.run(&["leave", "-y", "--json"]).json(), done);
}

#[test]
fn who_waits_for_a_node_to_leave_is_told_by_the_others() {
    let cluster_of = |other: &str, revision: u64, gone: bool| {
        let mut answer = cluster();
        answer["revision"] = json!(revision);
        let nodes = answer["cluster"]["nodes"].as_array_mut().unwrap();
        nodes.retain(|node| node["id"] != "node-1" || !gone);
        // One that is down is not asked.
        nodes
            .iter_mut()
            .for_each(|node| node["ip"] = json!("127.0.0.1:1"));
        nodes.last_mut().unwrap()["ip"] = json!(other);
        answer
    };
    let seen = |revision, gone| cluster_of("127.0.0.1:1", revision, gone);
    let done = json!({ "success": true, "message": "this node leaves", "revision": 50 });
    let script = |other: &str| {
        Script::default()
            .json("GET /health/detailed", 200, &health())
            .json("GET /cluster", 200, &cluster_of(other, 42, false))
            .json("POST /leave", 200, &done)
    };
    // Nobody who could tell answers.
    let late = script("127.0.0.1:1")
        .serve()
        .run(&["leave", "--yes", "--wait", "200ms"]);
    assert_eq!(late.code, 4, "{}", late.stderr);
    assert!(late.stderr.contains("(TIMEOUT)"), "{}", late.stderr);

    let other = Script::default()
        .json("GET /cluster?wait=49&timeout=5000", 200, &seen(50, false))
        .json("GET /cluster?wait=50&timeout=5000", 200, &seen(51, true))
        .serve();
    let node = script(&other.addr).serve();
    let ran = node.run(&["leave", "--yes", "--wait", "10m"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let expected = "3 partitions left to hand over\nnode-1 is out of the cluster; its process can be ended\n";
    assert_eq!(ran.stdout, expected);
    let told = node.run(&["leave", "--yes", "--wait", "10m", "--json"]).json();
    assert_eq!(
        told,
        json!({ "success": true, "node_id": "node-1", "revision": 51 })
    );
}

#[test]
fn the_status_names_what_is_lost() {
    let mut answer = cluster();
    answer["cluster"]["lost_partitions"] = json!(["partition-3"]);
    answer["cluster"]["maintenance"] = json!({ "reason": "kernels", "automatic": false });
    let node = Script::default()
        .json("GET /cluster", 200, &answer)
        .json("GET /health/detailed", 200, &health())
        .serve();
    let shown = node.run(&["status"]).stdout;
    for line in [
        "lost        1: no node that is up has partition-3\n",
        "maintained  no moves are planned: kernels\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let answer = node.run(&["status", "--json"]).json();
    assert_eq!(answer["lost_partitions"], json!(["partition-3"]));
}
