//! The exact shape of every route's answer.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::fake_node::FakeNode;
use super::{HttpLimits, Server, error_of, header, parsed};

const NOW: &str = "2023-11-14T22:13:20.000Z";

fn node(number: u64, incarnation: u64) -> Value {
    json!({
        "id": format!("node-{number}"),
        "ip": format!("10.0.0.{number}:8080"),
        "port": 8080,
        "name": format!("Server-{number}"),
        "status": "active",
        "services": { "kv": ":9080" },
        "weight": 100,
        "labels": {},
        "incarnation": incarnation,
        "voter": number == 1,
        "health": "healthy",
        "last_seen": NOW,
        "joined_at": NOW,
        "raft_id": number,
        "peer_addr": format!("10.0.0.{number}:8080"),
    })
}

fn partition(number: u32, primary: &str, replica: &str) -> Value {
    json!({
        "id": format!("partition-{number}"),
        "number": number,
        "primary_node": primary,
        "replica_nodes": [replica],
        "pending": [],
        "epoch": 1,
        "state": "ok",
    })
}

#[tokio::test]
async fn health_and_readiness() {
    let server = Server::start().await;
    let (status, body) = server.json("GET", "/health", "").await;
    assert_eq!(
        (status, body),
        (200, json!({ "success": true, "message": "the process is alive" }))
    );
    let (status, body) = server.json("GET", "/ready", "").await;
    let expected =
        json!({ "ready": true, "nodes": 2, "partitions": 2, "valid_partitions": 2, "message": "ready" });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("GET", "/health/detailed", "").await;
    let expected = json!({
        "healthy": true, "node_id": "node-1", "node_name": "The \"first\"", "is_leader": true,
        "node_count": 2, "partition_count": 2, "raft_state": "Leader", "last_sync": NOW, "uptime": "7s",
        "election_stretch": 2, "delay_ms": 230,
        "security": { "mode": "open", "keys": [], "key_in_use": null, "failed_proofs": 0 },
    });
    assert_eq!((status, body), (200, expected));

    let unready = Server::with(FakeNode::without_partitions(), HttpLimits::default(), None).await;
    let (status, body) = unready.json("GET", "/ready", "").await;
    let expected = json!({
        "ready": false, "nodes": 2, "partitions": 0, "valid_partitions": 0, "message": "no partitions",
    });
    assert_eq!((status, body), (503, expected));
}

fn config() -> Value {
    json!({
        "cluster_name": "test", "partition_count": 2, "replication_factor": 2,
        "lease_ttl_ms": 1500, "failure_timeout_ms": 2000, "election_timeout_ms": 300,
    })
}

#[tokio::test]
async fn cluster_nodes_and_partitions() {
    let server = Server::start().await;
    let (nodes, partitions) = (
        [node(1, 1), node(2, 3)],
        [partition(0, "node-1", "node-2"), partition(1, "node-2", "node-1")],
    );

    let (status, body) = server.json("GET", "/cluster", "").await;
    let expected = json!({
        "hash_config": {
            "algorithm": "md5", "encoding": "big_endian_uint32", "modulo": 2, "format": "partition-%d",
        },
        "revision": 5,
        "cluster": {
            "id": "c-1",
            "name": "test",
            "nodes": nodes,
            "partition_map": { "partitions": { "partition-0": partitions[0], "partition-1": partitions[1] } },
            "config": config(),
            "revision": 5,
            "leader": "node-1",
            "epoch": 1,
        },
    });
    assert_eq!((status, body), (200, expected));

    let answer = server.get("/nodes").await;
    let expected = json!({
        "nodes": nodes, "total": 2, "heard": 2, "offset": 0, "limit": 50, "has_more": false, "next_offset": null,
    });
    assert_eq!(parsed(&answer), expected);
    assert_eq!(header(&answer, "x-clusterkit-revision"), "5");

    let (status, body) = server.json("GET", "/partitions", "").await;
    assert_eq!(
        (status, body),
        (200, json!({ "partitions": partitions, "count": 2 }))
    );
    let (status, body) = server.json("GET", "/partitions/stats", "").await;
    let expected = json!({
        "total_partitions": 2,
        "partitions_per_node": { "node-1": 1, "node-2": 1 },
        "replicas_per_node": { "node-1": 1, "node-2": 1 },
    });
    assert_eq!((status, body), (200, expected));

    // By md5sum: user:123 begins with 90db0030, which is even, and a with 0cc175b9, which is odd.
    let (status, body) = server.json("GET", "/partitions/key?key=user%3A123", "").await;
    let expected = json!({
        "key": "user:123", "partition": partitions[0], "primary": nodes[0], "replicas": [nodes[1]],
    });
    assert_eq!((status, body), (200, expected));
    let (_, body) = server.json("GET", "/partitions/key?key=a", "").await;
    assert_eq!(body["partition"], partitions[1]);
}

#[tokio::test]
async fn a_key_before_there_are_partitions_is_not_found() {
    let server = Server::with(FakeNode::without_partitions(), HttpLimits::default(), None).await;
    let (status, body) = server.json("GET", "/partitions/key?key=a", "").await;
    assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn leadership_and_raft() {
    let server = Server::start().await;
    let (status, body) = server.json("GET", "/consensus/leader", "").await;
    let expected = json!({
        "leader_id": "node-1", "leader_name": "Server-1", "leader_ip": "10.0.0.1:8080", "term": 3,
        "elected_at": NOW, "epoch": 1,
    });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("GET", "/consensus/stats", "").await;
    let expected = json!({
        "state": "Leader", "term": 3, "last_log_index": 5, "last_log_term": 3, "commit_index": 5,
        "applied_index": 5, "num_peers": 1, "leader": "node-1", "current_term": 3, "current_leader": "node-1",
        "is_leader": true,
    });
    assert_eq!((status, body), (200, expected));

    server.fake.leaderless.store(true, Ordering::Relaxed);
    let answer = server.get("/consensus/leader").await;
    assert_eq!(answer.status, 503);
    assert_eq!(header(&answer, "retry-after"), "1");
    assert_eq!(error_of(&parsed(&answer)).0, "NO_LEADER");
}

/// An earlier system failed here: its counters were never incremented.
#[tokio::test]
async fn metrics_count_in_both_forms() {
    let server = Server::start().await;
    server.get("/nodes").await;
    server.send("HEAD", "/nodes", &[], "").await;
    server.get("/nodes?limit=0").await;
    server.get("/no/such/path").await;
    let json_form = [("accept", "application/json")];
    let answer = server.send("GET", "/metrics", &json_form, "").await;
    let expected = json!({
        "node_count": 2, "partition_count": 2, "request_count": 4, "error_count": 2, "last_sync": NOW,
        "is_leader": true, "raft_state": "Leader", "uptime_seconds": 7,
    });
    assert_eq!(parsed(&answer), expected);
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert_eq!((server.counters.requests(), server.counters.errors()), (5, 2));

    let answer = server.get("/metrics").await;
    assert_eq!(
        header(&answer, "content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = std::str::from_utf8(&answer.body).unwrap();
    for line in [
        "clusterkit_nodes 2",
        "clusterkit_partitions 2",
        "clusterkit_partitions_by_state{state=\"ok\"} 2",
        "clusterkit_partitions_by_state{state=\"under_replicated\"} 0",
        "clusterkit_nodes_by_status{status=\"active\",voter=\"true\"} 1",
        "clusterkit_nodes_by_status{status=\"failed\",voter=\"false\"} 0",
        "clusterkit_copies_pending 0",
        "clusterkit_log_failed 0",
        "clusterkit_disk_silence_seconds 0.000",
        "clusterkit_log_messages_dropped_total 3",
        "clusterkit_is_leader 1",
        "clusterkit_revision 5",
        "clusterkit_leader_epoch 1",
        "clusterkit_leader_known 1",
        "clusterkit_last_contact_seconds 0.000",
        "clusterkit_raft_state{state=\"Leader\"} 1",
        "clusterkit_last_sync_timestamp_seconds 1700000000.000",
        "clusterkit_http_requests_total{method=\"GET\",path=\"/nodes\",status=\"2xx\"} 2",
        "clusterkit_http_requests_total{method=\"GET\",path=\"/nodes\",status=\"4xx\"} 1",
        "clusterkit_http_requests_total{method=\"GET\",path=\"/metrics\",status=\"2xx\"} 1",
        "clusterkit_http_requests_total{method=\"other\",path=\"other\",status=\"4xx\"} 1",
        "clusterkit_http_errors_total 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    server.fake.log_has_failed.store(true, Ordering::Relaxed);
    let failed = server.get("/metrics").await;
    let failed = std::str::from_utf8(&failed.body).unwrap();
    assert!(failed.contains("\nclusterkit_log_failed 1\n"), "{failed}");
    assert!(
        failed.contains("\nclusterkit_disk_silence_seconds 3.200\n"),
        "{failed}"
    );
    assert!(
        failed.contains("\nclusterkit_certificate_seconds_left -5\n"),
        "{failed}"
    );
    assert!(
        !text.contains("\nclusterkit_certificate_seconds_left "),
        "without TLS there is none: {text}"
    );
    let (_, body) = server.json("GET", "/health/detailed", "").await;
    assert_eq!(body.get("certificate_seconds_left"), Some(&json!(-5)));
    assert!(text.contains("node_name=\"The \\\"first\\\"\""), "{text}");
    exposition_is_well_formed(text);
}

/// What only a node with TLS, or with a secret, has a value of.
const OPTIONAL_FAMILIES: [&str; 4] = [
    "clusterkit_certificate_seconds_left",
    "clusterkit_security_key",
    "clusterkit_security_key_connections",
    "clusterkit_security_key_requests_total",
];

/// Every sample belongs to the family announced right before it, and every family is announced once.
fn exposition_is_well_formed(text: &str) {
    let mut families = std::collections::BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line}"));
        let name = help.split(' ').next().unwrap();
        assert!(families.insert(name.to_owned()), "{name} twice");
        let kind = lines
            .next()
            .unwrap()
            .strip_prefix(&format!("# TYPE {name} "))
            .unwrap();
        assert!(kind == "gauge" || kind == "counter", "{line}");
        let mut samples = 0;
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = sample.strip_prefix(name).unwrap_or_else(|| panic!("{sample}"));
            assert!(rest.starts_with(' ') || rest.starts_with('{'), "{sample}");
            let value = sample.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{sample}");
            samples += 1;
        }
        assert!(
            samples > 0 || OPTIONAL_FAMILIES.contains(&name),
            "{name} has no samples"
        );
    }
    assert!(families.len() > 10);
}

#[tokio::test]
async fn join_and_sync() {
    let server = Server::start().await;
    let request = json!({
        "node": {
            "id": "node-3", "ip": "10.0.0.3:8080", "name": "Server-3", "services": { "kv": ":9080" }, "later": true,
        },
        "raft_addr": "10.0.0.3:9999",
        "partition_count": 2,
    });
    let (status, body) = server.json("POST", "/join", &request.to_string()).await;
    let expected = json!({
        "success": true,
        "message": "node node-3 is admitted",
        "data": {
            "node_id": "node-3", "cluster_id": "c-1", "node_count": 3, "raft_id": 3, "incarnation": 6,
            "revision": 6,
            "config": config(),
        },
    });
    assert_eq!((status, body), (200, expected));
    let (_, nodes) = server.json("GET", "/nodes?offset=2", "").await;
    assert_eq!(nodes["nodes"][0]["peer_addr"], "10.0.0.3:9999");
    assert_eq!(nodes["nodes"][0]["weight"], 100);

    let request =
        json!({ "node": { "id": "node-4", "ip": "10.0.0.4:8080" }, "raft_addr": "", "partition_count": 16 });
    let (status, body) = server.json("POST", "/join", &request.to_string()).await;
    assert_eq!((status, error_of(&body).0), (409, "CLUSTER_MISMATCH"));

    let sync = json!({ "node": "node-2", "incarnation": 3, "revision": 5, "health": "healthy" });
    let (status, body) = server.json("POST", "/sync", &sync.to_string()).await;
    assert_eq!(
        (status, body),
        (200, json!({ "lease_ms": 0, "revision": 6, "leader": "node-1" }))
    );
    let (status, body) = server
        .json(
            "POST",
            "/sync",
            r#"{"node":"nobody","incarnation":3,"revision":5}"#,
        )
        .await;
    assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn calls_that_change_the_cluster() {
    let server = Server::with(FakeNode::without_partitions(), HttpLimits::default(), None).await;
    let (status, body) = server.json("POST", "/partitions", "").await;
    let expected = json!({ "success": true, "message": "there are 2 partitions", "count": 2, "revision": 5 });
    assert_eq!((status, &body), (200, &expected));
    // The partitions exist already: that changes nothing, and is no error.
    assert_eq!(server.json("POST", "/partitions", "").await, (200, expected));

    let moves = json!([{
        "partition_id": "partition-0", "number": 0, "old_primary": "node-1", "new_primary": "node-1", "gain": [],
        "lose": ["node-2"],
    }]);
    let (status, body) = server.json("POST", "/rebalance?dry_run=1", "").await;
    let expected = json!({ "dry_run": true, "revision": 5, "partitions_to_move": 1, "moves": moves });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("POST", "/rebalance", "").await;
    let expected = json!({ "dry_run": false, "revision": 6, "partitions_to_move": 1, "moves": moves });
    assert_eq!((status, body), (200, expected));

    let (status, body) = server.json("GET", "/rebalance", "").await;
    assert_eq!((status, body["answered_by"].as_str()), (200, Some("node-1")));
    for name in ["migrations", "away", "avoided"] {
        assert!(body[name].is_array(), "{body}");
    }
    for name in ["from_leader", "running"] {
        assert!(body[name].is_boolean(), "{body}");
    }
    let (status, body) = server.json("POST", "/step-down?cooldown=2h", "").await;
    assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"));

    let (status, body) = server.json("POST", "/step-down", "").await;
    let expected = json!({ "success": true, "message": "node node-2 leads", "leader": "node-2" });
    assert_eq!((status, body), (200, expected));
    let (_, body) = server.json("POST", "/step-down?to=node-1&cooldown=30s", "").await;
    assert_eq!(body["leader"], "node-1");
    let (status, body) = server.json("POST", "/step-down?to=", "").await;
    assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"));
    let (status, body) = server.json("POST", "/step-down?to=nobody", "").await;
    assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));

    let (status, body) = server.json("POST", "/leave", "").await;
    let expected = json!({
        "success": true, "message": "this node hands over its partitions and leaves", "revision": 10,
    });
    assert_eq!((status, body), (200, expected));

    let (status, body) = server.json("POST", "/maintenance?reason=disks", "").await;
    let expected = json!({ "success": true, "message": "no moves are planned: disks", "revision": 11 });
    assert_eq!((status, body), (200, expected));
    let (_, body) = server.json("GET", "/cluster", "").await;
    assert_eq!(
        body["cluster"]["maintenance"],
        json!({ "reason": "disks", "automatic": false })
    );
    let (status, body) = server.json("DELETE", "/maintenance", "").await;
    let expected = json!({ "success": true, "message": "moves are planned again", "revision": 12 });
    assert_eq!((status, body), (200, expected));

    let (status, body) = server.json("DELETE", "/nodes/node%2D2", "").await;
    let expected = json!({ "success": true, "message": "node node-2 is removed", "revision": 13 });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("DELETE", "/nodes/node-2", "").await;
    assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));
    let (status, body) = server.json("DELETE", "/nodes/node-1", "").await;
    assert_eq!((status, error_of(&body).0), (409, "REFUSED"));
}

#[tokio::test]
async fn what_would_be_lost_is_refused_and_a_copy_is_accepted() {
    let server = Server::start().await;
    for (path, status, code, named) in [
        ("/partitions/0/recover", 400, "INVALID_ARGUMENT", "from"),
        ("/partitions/0/recover?from=", 400, "INVALID_ARGUMENT", "from"),
        (
            "/partitions/first/recover?from=node-2",
            400,
            "INVALID_ARGUMENT",
            "first",
        ),
        (
            "/partitions/0/recover?from=node-2&force=maybe",
            400,
            "INVALID_ARGUMENT",
            "force",
        ),
        (
            "/partitions/9/recover?from=node-2",
            404,
            "NOT_FOUND",
            "partition-9",
        ),
        ("/partitions/0/recover?from=node-9", 404, "NOT_FOUND", "node-9"),
        (
            "/partitions/partition-0/recover?from=node-2",
            409,
            "REFUSED",
            "node-1",
        ),
    ] {
        let (answered, body) = server.json("POST", path, "").await;
        let (found, message) = error_of(&body);
        assert_eq!((answered, found), (status, code), "{path}: {body}");
        assert!(message.contains(named), "{path}: {body}");
    }
    let path = "/partitions/partition-0/recover?from=node-2&force=true";
    let (status, body) = server.json("POST", path, "").await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    let (_, body) = server.json("GET", "/partitions", "").await;
    assert_eq!(body["partitions"][0]["pending"], json!(["node-1"]), "{body}");

    // Only node-2 counts as holding partition-0 now.
    let (status, body) = server.json("DELETE", "/nodes/node-2", "").await;
    let (code, message) = error_of(&body);
    assert_eq!((status, code), (409, "REFUSED"), "{body}");
    assert!(message.contains("partition-0"), "{body}");
    let (status, _) = server.json("DELETE", "/nodes/node-2?force=true", "").await;
    assert_eq!(status, 200);
}
