//! Every command that asks a node, against a node whose answers the test wrote: requests, output and exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails by panicking, as a test does"
)]

mod support;

use std::net::TcpListener;

use serde_json::{Value, json};
use support::{Asked, Script, error, run};

fn node(n: u32, status: &str) -> Value {
    json!({
        "id": format!("node-{n}"), "ip": format!("10.0.0.{n}:8080"), "port": 8080, "name": format!("Server-{n}"),
        "status": status, "services": {"kv": ":9080"}, "weight": 100, "incarnation": n, "voter": n < 3,
        "last_seen": "2026-01-02T03:04:05.000Z", "joined_at": "2026-01-02T03:04:05.000Z", "raft_id": n,
        "peer_addr": format!("10.0.0.{n}:8080"), "something_new": true
    })
}

fn partition(number: u32, primary: &str, replicas: &[&str], pending: &[&str], state: &str) -> Value {
    json!({
        "id": format!("partition-{number}"), "number": number, "primary_node": primary, "replica_nodes": replicas,
        "pending": pending, "epoch": number + 1, "state": state
    })
}

/// Three nodes, of which one failed, and four partitions, of which one has nobody to lead it.
fn cluster() -> Value {
    let partitions = [
        partition(0, "node-1", &["node-2"], &[], "ok"),
        partition(1, "node-2", &["node-1"], &[], "ok"),
        partition(2, "node-1", &["node-10"], &["node-2"], "moving"),
        partition(3, "", &["node-10"], &[], "no_primary"),
    ];
    let named: serde_json::Map<String, Value> = partitions
        .into_iter()
        .map(|p| (p["id"].as_str().unwrap().to_string(), p))
        .collect();
    json!({
        "revision": 42,
        "hash_config": {"algorithm": "md5", "encoding": "big_endian_uint32", "modulo": 4, "format": "partition-%d"},
        "cluster": {
            "id": "c-1", "name": "shop", "nodes": [node(1, "active"), node(10, "failed"), node(2, "active")],
            "partition_map": {"partitions": named},
            "config": {"cluster_name": "shop", "partition_count": 4, "replication_factor": 2},
            "custom_data": {}, "revision": 42, "leader": "node-2", "epoch": 7
        }
    })
}

fn script() -> Script {
    Script::default().json("GET /cluster", 200, &cluster())
}

fn health() -> Value {
    json!({
        "healthy": true, "node_id": "node-1", "node_name": "Server-1", "is_leader": false, "node_count": 3,
        "partition_count": 4, "raft_state": "Follower", "last_sync": "2026-01-02T03:04:05.000Z", "uptime": "2m 3s"
    })
}

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
asked       node-1 at {}, Follower, up 2m 3s, healthy
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
    assert_eq!(answer["asked"]["uptime"], "2m 3s");
}

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
fn partitions_as_a_table_and_filtered() {
    let node = script().serve();
    let expected = "\
partition    primary  replicas  pending  epoch  state
partition-0  node-1   node-2                 1  ok
partition-1  node-2   node-1                 2  ok
partition-2  node-1   node-10   node-2       3  moving
partition-3  none     node-10                4  no_primary
4 partitions at revision 42
";
    assert_eq!(node.run(&["partitions"]).stdout, expected);

    let numbers = |args: &[&str]| -> Vec<u64> {
        let answer = node.run(&[&["partitions", "--json"], args].concat()).json();
        assert_eq!(answer["revision"], 42);
        let shown = answer["partitions"].as_array().unwrap();
        assert_eq!(answer["count"], shown.len());
        shown.iter().map(|p| p["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["--node", "node-2"]), [0, 1, 2]);
    assert_eq!(numbers(&["--state", "no_primary"]), [3]);
    assert_eq!(numbers(&["--node", "node-10", "--state", "moving"]), [2]);

    let ran = node.run(&["partitions", "--node", "node-3"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no node \"node-3\""), "{}", ran.stderr);
}

#[test]
fn partitions_as_a_map() {
    let expected = "
           0     prim  repl
  node-1   PrP·     2     1
  node-2   rP+·     1     2
  node-10  ··rr     0     2
           P primary   r replica   + pending
";
    assert_eq!(
        format!("\n{}", script().serve().run(&["partitions", "--map"]).stdout),
        expected
    );
}

/// From Python: `int.from_bytes(hashlib.md5(key.encode()).digest()[:4], 'big') % 4`.
const KEYS: [(&str, u32); 4] = [("user:1", 0), ("user:2", 2), ("Schlüssel", 2), ("order/7", 2)];

#[test]
fn locate_answers_for_many_keys_with_one_request() {
    let node = script().serve();
    let ran = node.run(&["locate", "--json", KEYS[0].0, KEYS[1].0, KEYS[2].0, KEYS[3].0]);
    let answer = ran.json();
    assert_eq!(answer["revision"], 42);
    for ((key, number), found) in KEYS.iter().zip(answer["keys"].as_array().unwrap()) {
        assert_eq!((&found["key"], &found["number"]), (&json!(key), &json!(number)));
        assert_eq!(found["partition"], format!("partition-{number}"));
    }
    assert_eq!(node.lines(), ["GET /cluster"]);
}

#[test]
fn locate_reads_keys_from_standard_input() {
    let node = script().serve();
    let args = ["--addr", node.addr.as_str(), "locate"];
    let input = format!("{}\r\n\n{}\n", KEYS[0].0, KEYS[1].0);
    let ran = run(&args, &input);
    let rows: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["key", "partition", "primary", "address", "replicas"]);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1][..2], [KEYS[0].0, &format!("partition-{}", KEYS[0].1)]);
    assert_eq!(run(&[&args[..], &["-"]].concat(), &input).stdout, ran.stdout);
}

#[test]
fn a_mapping_that_is_not_known_is_refused() {
    let mut other = cluster();
    other["hash_config"]["algorithm"] = json!("xxh3");
    let node = Script::default().json("GET /cluster", 200, &other).serve();
    let ran = node.run(&["locate", "a", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "VERSION");
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
fn data_is_written_read_listed_and_deleted() {
    let written = json!({ "key": "a/b c", "revision": 43 });
    let gone = json!({ "key": "a/b c", "revision": 44, "deleted": true });
    let page = |keys: &[&str], more: bool| json!({ "count": keys.len(), "keys": keys, "has_more": more, "next_after": null });
    let node = Script::default()
        .json("PUT /data/a%2Fb%20c", 200, &written)
        .bytes("GET /data/a%2Fb%20c?revision=0", 43, b"line 1\nline 2")
        .bytes("GET /data/raw?revision=0", 9, b"\xff\x00")
        .json("DELETE /data/a%2Fb%20c", 200, &gone)
        .json("GET /data?limit=1000&prefix=", 200, &page(&["a", "b"], true))
        .json("GET /data?limit=1000&prefix=&after=b", 200, &page(&["c"], false))
        .serve();
    assert_eq!(
        node.run(&["data", "set", "a/b c", "v"]).stdout,
        "wrote a/b c at revision 43\n"
    );
    assert_eq!(node.run(&["data", "set", "a/b c", "v", "--json"]).json(), written);
    assert_eq!(node.run(&["data", "get", "a/b c"]).stdout, "line 1\nline 2");
    let json = node.run(&["data", "get", "a/b c", "--json"]).json();
    assert_eq!(
        json,
        json!({ "key": "a/b c", "value": "line 1\nline 2", "revision": 43 })
    );
    let json = node.run(&["data", "get", "raw", "--json"]).json();
    assert_eq!(json, json!({ "key": "raw", "value_hex": "ff00", "revision": 9 }));
    assert_eq!(node.run(&["data", "delete", "a/b c"]).stdout, "deleted a/b c\n");
    assert_eq!(node.run(&["data", "list"]).stdout, "a\nb\nc\n");
    assert_eq!(
        node.run(&["data", "list", "--json"]).json(),
        json!({ "keys": ["a", "b", "c"], "count": 3 })
    );
    assert_eq!(node.run(&["data", "get", "nothing"]).code, 1);
}

#[test]
fn conditions_and_standard_input_reach_the_node() {
    let node = Script::default()
        .json("PUT /data/k", 412, &error("CONFLICT", "the value is another"))
        .serve();
    let set = |args: &[&str], input: &str| {
        let ran = run(
            &[&["--addr", node.addr.as_str(), "data", "set", "k"], args].concat(),
            input,
        );
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (1, "clusterkit: the value is another (CONFLICT)\n")
        );
    };
    set(&["v", "--if-absent"], "");
    set(&["v", "--if-revision", "7"], "");
    set(&["-"], "from\nafar\n");
    let asked = |condition: Option<&str>, body: &str| Asked {
        line: "PUT /data/k".to_string(),
        condition: condition.map(str::to_string),
        body: body.to_string(),
    };
    let expected = [
        asked(Some("If-None-Match: *"), "v"),
        asked(Some("If-Match: \"7\""), "v"),
        asked(None, "from\nafar\n"),
    ];
    assert_eq!(node.asked(), expected);
}

#[test]
fn a_bench_measures_and_cleans_up() {
    let keys = json!({ "count": 1, "keys": ["clusterkit-bench/0"], "has_more": false, "next_after": null });
    let node = script()
        .json(
            "PUT /data/clusterkit-bench%2F0",
            200,
            &json!({ "key": "clusterkit-bench/0", "revision": 43 }),
        )
        .json("GET /data?limit=1000&prefix=clusterkit-bench%2F", 200, &keys)
        .json(
            "DELETE /data/clusterkit-bench%2F0",
            200,
            &json!({ "key": "x", "revision": 44, "deleted": true }),
        )
        .serve();
    let answer = node
        .run(&["bench", "--clients", "1", "--duration", "20ms", "--json"])
        .json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(
        (&results[0]["work"], &results[0]["errors"]),
        (&json!("write"), &json!(0))
    );
    assert!(results[0]["done"].as_u64().unwrap() > 0);
    // The test's node answers no lookup: each counts as an error, and the first is told.
    assert_eq!(
        (&results[1]["work"], &results[1]["done"]),
        (&json!("lookup"), &json!(0))
    );
    assert!(results[1]["first_error"].as_str().unwrap().contains("NOT_FOUND"));
    assert_eq!(node.lines().last().unwrap(), "DELETE /data/clusterkit-bench%2F0");
}

#[test]
fn nobody_there_is_exit_code_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    for command in ["status", "nodes", "partitions", "leader", "bench"] {
        let ran = run(&["--addr", &addr, command], "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (3, ""),
            "{command}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(&addr), "{}", ran.stderr);
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let ran = run(&["--addr", &addr, "--timeout", "50ms", "--json", "leader"], "");
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &error["error"]["code"]), (3, &json!("UNREACHABLE")));
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    let node = Script::default()
        .json("GET /cluster", 200, &json!({ "hello": "world" }))
        .json("GET /consensus/leader", 500, &json!("oops"))
        .serve();
    for command in ["partitions", "leader"] {
        let ran = node.run(&[command]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("makes no sense"), "{}", ran.stderr);
    }
}

#[test]
fn usage_errors_are_exit_code_2() {
    for args in [
        &["frobnicate"][..],
        &["--addr", "nonsense", "status"],
        &["serve", "--addr", ":8080", "--node-id", "a", "--http-addr", ":0"],
        &["serve", "--node-id", "a b", "--http-addr", ":0"],
        &["serve", "--http-addr", ":0"],
        &["demo", "--keys", "/does/not/exist"],
        &["demo", "--nodes", "0"],
    ] {
        let ran = run(args, "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{args:?}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn the_address_comes_from_the_environment_too() {
    let node = script().serve();
    let output = support::command()
        .args(["partitions", "--json"])
        .env("CLUSTERKIT_ADDR", &node.addr)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(node.lines(), ["GET /cluster"]);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], "");
        assert_eq!(ran.code, 0);
        for word in ["serve", "partitions", "locate", "join-addrs"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn no_escape_sequences_where_nobody_looks() {
    let node = script().json("GET /health/detailed", 200, &health()).serve();
    for args in [
        &["status"][..],
        &["partitions"],
        &["partitions", "--map"],
        &["--help"],
    ] {
        assert!(!node.run(args).stdout.contains('\u{1b}'), "{args:?}");
    }
}

/// `clusterkit partitions | head -1` must not end in a panic or an error message.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let node = script().serve();
    let mut child = support::command()
        .args(["--addr", &node.addr, "partitions"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
