//! `health`: for probes, and for what ends a process.

use clusterkit::net::{Keyring, Role, Token};
use serde_json::{Value, json};

use crate::sample::{cluster, node, partition, script};
use crate::support::{Script, command, error, run};

/// A cluster of two nodes in which nothing moves.
fn settled() -> Value {
    let mut answer = cluster();
    answer["cluster"]["nodes"] = json!([node(1, "active"), node(2, "active")]);
    answer["cluster"]["partition_map"]["partitions"] = json!({
        "partition-0": partition(0, "node-1", &["node-2"], &[], "ok"),
        "partition-1": partition(1, "node-2", &["node-1"], &[], "ok"),
    });
    answer
}

#[test]
fn a_node_is_alive_and_not_ready() {
    let ready = json!({"ready": false, "nodes": 3, "partitions": 4, "valid_partitions": 3, "message": ""});
    let node = Script::default()
        .json("GET /health", 200, &json!({"success": true, "message": "ok"}))
        .json("GET /ready", 503, &ready)
        .serve();
    let alive = node.run(&["health"]);
    assert_eq!(
        (alive.code, alive.stdout.as_str()),
        (0, "alive\n"),
        "{}",
        alive.stderr
    );
    let ready = node.run(&["health", "--ready"]);
    assert_eq!((ready.code, ready.stdout.as_str()), (1, ""));
    assert!(ready.stderr.contains("not ready"), "{}", ready.stderr);
    // Asked again until the time is over.
    node.run(&["health", "--ready", "--wait", "500ms"]);
    assert!(node.lines().iter().filter(|line| *line == "GET /ready").count() > 2);
}

#[test]
fn a_cluster_is_settled_when_nothing_is_missing_and_nothing_moves() {
    let node = Script::default().json("GET /cluster", 200, &settled()).serve();
    let ran = node.run(&["health", "--settled", "--for", "300ms", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.json(),
        json!({"settled": true, "partitions": 2, "revision": 42})
    );
    assert!(
        node.asked().len() > 1,
        "it was asked once, and has to hold for a while"
    );

    let ran = script().serve().run(&["health", "--settled"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("2 partitions of 4"), "{}", ran.stderr);

    let mut stale = settled();
    stale["stale"] = json!(true);
    let ran = Script::default()
        .json("GET /cluster", 200, &stale)
        .serve()
        .run(&["health", "--settled"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no leader is known"), "{}", ran.stderr);
}

/// Beside a node the environment has the secret, and nothing else has to be set up.
#[test]
fn a_token_is_made_from_the_secret_in_the_environment() {
    let node = Script::default().json("GET /cluster", 200, &settled()).serve();
    let secret = run(&["secret"], "").stdout.trim().to_owned();
    let status = command()
        .args(["--addr", &node.addr, "health", "--settled"])
        .env("CLUSTERKIT_CLUSTER_SECRET", &secret)
        .env("CLUSTER_NAME", "shop")
        .status()
        .unwrap();
    assert!(status.success());
    let shown = node.asked()[0].authorization.clone().unwrap();
    let token = shown.strip_prefix("Bearer ").unwrap();
    let token = Token::check(&Keyring::new("shop", &secret).unwrap(), token, 1).unwrap();
    assert_eq!(token.role, Role::Read);
    assert!(token.expires.is_some());
}

#[test]
fn what_waiting_does_not_change_is_not_waited_for() {
    for (code, status) in [("UNAUTHENTICATED", 401), ("REMOVED", 410)] {
        let refusal = error(code, "said by the node");
        let node = Script::default().json("GET /cluster", status, &refusal).serve();
        let ran = node.run(&["health", "--settled", "--wait", "1h"]);
        assert_eq!((ran.code, node.asked().len()), (1, 1), "{}", ran.stderr);
    }
}
