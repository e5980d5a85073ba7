//! Answers about the present state say how old they are, and name no leader without a recent contact.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Server, error_of, header, parsed};
use crate::state::{Command, Expect};

/// The path of every answer that is about the present state of the cluster.
const STATE_PATHS: [&str; 15] = [
    "/ready",
    "/health/detailed",
    "/cluster",
    "/cluster?include=custom_data",
    "/nodes",
    "/partitions",
    "/partitions/stats",
    "/partitions/key?key=a",
    "/route?key=a",
    "/consensus/leader",
    "/consensus/stats",
    "/rebalance",
    "/data",
    "/data/a",
    "/data/missing",
];

fn set(key: &str, value: &'static [u8]) -> Command {
    Command::SetData {
        key: key.into(),
        value: Bytes::from_static(value),
        expect: Expect::Any,
    }
}

#[tokio::test]
async fn every_answer_about_the_present_state_says_how_old_it_is() {
    let server = Server::start().await;
    server.fake.propose(set("a", b"x")).unwrap();
    for (leaderless, known, age) in [(false, "true", "0"), (true, "false", "34012")] {
        server.fake.leaderless.store(leaderless, Ordering::Relaxed);
        for path in STATE_PATHS {
            let answer = server.get(path).await;
            assert_eq!(header(&answer, "x-clusterkit-known-leader"), known, "{path}");
            assert_eq!(header(&answer, "x-clusterkit-last-contact"), age, "{path}");
            assert_eq!(header(&answer, "x-clusterkit-revision"), "6", "{path}");
        }
        for path in [
            "/cluster",
            "/nodes",
            "/partitions",
            "/partitions/stats",
            "/partitions/key?key=a",
            "/route?key=a",
        ] {
            let body = parsed(&server.get(path).await);
            let stale = body.get("stale").cloned();
            assert_eq!(stale, leaderless.then_some(Value::Bool(true)), "{path}: {body}");
        }
        // A client that has the answer already still gets its age.
        for path in ["/cluster", "/partitions", "/data/a"] {
            let again = server.send("GET", path, &[("if-none-match", "*")], "").await;
            assert_eq!(again.status, 304, "{path}");
            assert_eq!(header(&again, "x-clusterkit-last-contact"), age, "{path}");
        }
    }
}

#[tokio::test]
async fn a_leader_without_recent_contact_is_not_named() {
    let server = Server::start().await;
    let before = server.get("/cluster").await;
    server.fake.leaderless.store(true, Ordering::Relaxed);

    let answer = server.get("/consensus/leader").await;
    assert_eq!(answer.status, 503);
    let body = parsed(&answer);
    let (code, message) = error_of(&body);
    assert_eq!(code, "NO_LEADER");
    assert!(message.contains("34s ago"), "{message}");

    let answer = server.get("/cluster").await;
    assert_eq!(parsed(&answer)["cluster"]["leader"], "");
    // The body differs at the same revision, so the tag differs too: a client with the old body must not get a 304.
    assert_eq!(header(&answer, "etag"), "\"5-stale\"");
    let tag = header(&before, "etag");
    let again = server
        .send("GET", "/cluster", &[("if-none-match", tag)], "")
        .await;
    assert_eq!(again.status, 200);

    let (_, nodes) = server.json("GET", "/nodes", "").await;
    assert_eq!((&nodes["total"], &nodes["heard"]), (&2.into(), &1.into()));

    let answer = server.get("/metrics").await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    for line in [
        "clusterkit_leader_known 0",
        "clusterkit_leader_epoch 0",
        "clusterkit_last_contact_seconds 34.012",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_missing_key_is_answered_with_the_revision() {
    let server = Server::start().await;
    let answer = server.get("/data/missing").await;
    assert_eq!(
        (answer.status.as_u16(), header(&answer, "x-clusterkit-revision")),
        (404, "5")
    );
    let body = parsed(&answer);
    assert_eq!((error_of(&body).0, &body["revision"]), ("NOT_FOUND", &5.into()));
}

#[tokio::test]
async fn custom_data_comes_when_it_is_asked_for_in_base64() {
    let server = Server::start().await;
    let plain = server.get("/cluster").await;
    let (_, empty) = server.json("GET", "/cluster?include=custom_data", "").await;
    assert_eq!(empty["cluster"]["custom_data"], json!({}));
    server.fake.propose(set("text", b"hello")).unwrap();
    server.fake.propose(set("bytes", &[0xff, 0xfe])).unwrap();
    // The answer that every client polls must not grow with the data.
    let after = server.get("/cluster").await;
    assert_eq!(after.body.len(), plain.body.len());
    assert!(parsed(&after)["cluster"].get("custom_data").is_none());
    let whole = server.get("/cluster?include=custom_data").await;
    assert_eq!(
        parsed(&whole)["cluster"]["custom_data"],
        json!({ "bytes": "//4=", "text": "aGVsbG8=" })
    );
    // Two forms have two tags.
    assert_eq!(
        (header(&after, "etag"), header(&whole, "etag")),
        ("\"7\"", "\"7-data\"")
    );
    for (path, tag, status) in [
        ("/cluster", "\"7\"", 304),
        ("/cluster", "\"7-data\"", 200),
        ("/cluster?include=custom_data", "\"7-data\"", 304),
        ("/cluster?include=custom_data", "\"7\"", 200),
    ] {
        let answer = server.send("GET", path, &[("if-none-match", tag)], "").await;
        assert_eq!(answer.status, status, "{path} {tag}");
    }
    let (status, body) = server.json("GET", "/cluster?include=everything", "").await;
    assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn partitions_have_a_tag_that_writes_of_data_leave_as_it_is() {
    let server = Server::start().await;
    for path in ["/partitions", "/partitions/stats"] {
        let first = server.get(path).await;
        let tag = header(&first, "etag").to_owned();
        assert!(!tag.is_empty(), "{path}");
        assert_eq!(header(&first, "cache-control"), "no-cache");
        server.fake.propose(set("a", b"x")).unwrap();
        let again = server.send("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!(
            (again.status.as_u16(), header(&again, "etag")),
            (304, tag.as_str()),
            "{path}"
        );
        assert!(again.body.is_empty());
        let number = if path == "/partitions" { 3 } else { 4 };
        server.fake.add(&format!("node-{number}"), number);
        let changed = server.send("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!(changed.status, 200, "{path}");
        assert_ne!(header(&changed, "etag"), tag);
    }
}

#[tokio::test]
async fn every_write_takes_a_timeout() {
    let server = Server::start().await;
    let sync = r#"{"node":"node-2","incarnation":3,"revision":5}"#;
    let join = r#"{"node":{"id":"node-3","ip":"10.0.0.3:8080"}}"#;
    let calls = [
        ("PUT", "/data/a", "x"),
        ("DELETE", "/data/a", ""),
        ("POST", "/join", join),
        ("POST", "/sync", sync),
        ("POST", "/rebalance", ""),
        ("POST", "/partitions", ""),
        ("POST", "/maintenance", ""),
        ("DELETE", "/maintenance", ""),
        ("POST", "/step-down", ""),
        ("DELETE", "/nodes/node-2", ""),
        ("POST", "/leave", ""),
    ];
    for (method, path, body) in calls {
        for (text, expected) in [
            ("?timeout=1500ms", 1_500),
            ("?timeout=60s", 60_000),
            ("?timeout=7", 7),
            ("", 10_000),
        ] {
            *server.fake.timeout.lock() = Duration::ZERO;
            let json: &[(&str, &str)] = &[("content-type", "application/json")];
            server.send(method, &format!("{path}{text}"), json, body).await;
            let given = *server.fake.timeout.lock();
            assert_eq!(given, Duration::from_millis(expected), "{method} {path}{text}");
        }
        for bad in ["0", "61s", "soon", "-1s"] {
            let json: &[(&str, &str)] = &[("content-type", "application/json")];
            let answer = server
                .send(method, &format!("{path}?timeout={bad}"), json, body)
                .await;
            assert_eq!(answer.status, 400, "{method} {path} {bad}");
            let body = parsed(&answer);
            let (code, message) = error_of(&body);
            assert_eq!(code, "INVALID_ARGUMENT");
            assert!(
                message.contains("timeout") && message.contains("from 1ms to 1m"),
                "{message}"
            );
        }
    }
}

/// The deadline of the request is later than the caller's timeout, so that the caller gets the node's own answer.
#[tokio::test]
async fn a_request_has_its_timeout_besides_the_deadline() {
    let server = Server::with_limits(|limits| limits.request_deadline = Duration::from_millis(20)).await;
    server.fake.hangs.store(true, Ordering::Relaxed);
    for (query, shortest) in [("", 20), ("?timeout=200ms", 220)] {
        let begun = std::time::Instant::now();
        let (status, body) = server.json("PUT", &format!("/data/a{query}"), "1").await;
        assert_eq!((status, error_of(&body).0), (504, "TIMEOUT"));
        assert!(begun.elapsed() >= Duration::from_millis(shortest), "{query}");
    }
}
