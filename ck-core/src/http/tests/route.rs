//! `/route`: the role of this node now.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::fake_node::FakeNode;
use super::{HttpLimits, Server, error_of, header};

// By md5sum: user:123 begins with 90db0030, which is even, and a with 0cc175b9, which is odd.
const KEY_OF_NODE_1: &str = "user:123";
const KEY_OF_NODE_2: &str = "a";

#[tokio::test]
async fn a_key_is_routed_by_what_this_node_may_do_now() {
    let server = Server::start().await;
    let (_, nodes) = server.json("GET", "/nodes", "").await;
    let answer = server.get("/route?key=user%3A123").await;
    let expected = json!({
        "key": KEY_OF_NODE_1, "node_id": "node-1", "partition": "partition-0", "number": 0, "epoch": 1,
        "role": "primary", "lease_ms": 1234, "revision": 5,
        "primary": nodes["nodes"][0], "replicas": [nodes["nodes"][1]],
    });
    assert_eq!(super::parsed(&answer), expected);
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let (_, other) = server.json("GET", "/route?key=a", "").await;
    assert_eq!(
        (&other["role"], &other["primary"]["id"]),
        (&"replica".into(), &"node-2".into())
    );

    // The partition map still names node-1, but without a lease it has no role.
    server.fake.leaseless.store(true, Ordering::Relaxed);
    let (_, body) = server.json("GET", "/route?key=user%3A123", "").await;
    assert_eq!((&body["role"], &body["lease_ms"]), (&"none".into(), &0.into()));
    assert_eq!(body["primary"]["id"], "node-1");
}

#[tokio::test]
async fn many_keys_are_routed_by_one_view() {
    let server = Server::start().await;
    let asked = json!({ "keys": [KEY_OF_NODE_2, KEY_OF_NODE_1, KEY_OF_NODE_2] }).to_string();
    let (status, body) = server.json("POST", "/route", &asked).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (
            &body["count"],
            &body["node_id"],
            &body["lease_ms"],
            &body["revision"]
        ),
        (&3.into(), &"node-1".into(), &1234.into(), &5.into())
    );
    let routes: Vec<(&Value, &Value, &Value)> = body["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| (&route["key"], &route["partition"], &route["role"]))
        .collect();
    let [a, b] = [
        ("a", "partition-1", "replica"),
        (KEY_OF_NODE_1, "partition-0", "primary"),
    ]
    .map(|(key, partition, role)| (Value::from(key), Value::from(partition), Value::from(role)));
    assert_eq!(
        routes,
        [(&a.0, &a.1, &a.2), (&b.0, &b.1, &b.2), (&a.0, &a.1, &a.2)]
    );

    let max_keys = json!({ "keys": vec!["k"; 1000] }).to_string();
    assert_eq!(server.json("POST", "/route", &max_keys).await.0, 200);
    for bad in [
        json!({ "keys": [] }),
        json!({ "keys": vec!["k"; 1001] }),
        json!({ "keys": ["a", ""] }),
        json!({ "keys": "a" }),
        json!({}),
    ] {
        let (status, body) = server.json("POST", "/route", &bad.to_string()).await;
        assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"), "{bad}");
    }
}

#[tokio::test]
async fn a_route_needs_a_key_and_partitions() {
    let server = Server::start().await;
    for path in ["/route", "/route?key="] {
        let (status, body) = server.json("GET", path, "").await;
        assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"));
    }
    let (status, body) = server
        .json("GET", "/route?key=a&revision=99&timeout=5ms", "")
        .await;
    assert_eq!((status, error_of(&body).0), (504, "TIMEOUT"));
    let empty = Server::with(FakeNode::without_partitions(), HttpLimits::default(), None).await;
    for (method, path, body) in [
        ("GET", "/route?key=a", ""),
        ("POST", "/route", r#"{"keys":["a"]}"#),
    ] {
        let (status, body) = empty.json(method, path, body).await;
        assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));
    }
}
