//! A cluster as a node would tell of it.

use serde_json::{Value, json};

use crate::support::Script;

pub(crate) fn node(n: u32, status: &str) -> Value {
    json!({
        "id": format!("node-{n}"), "ip": format!("10.0.0.{n}:8080"), "port": 8080, "name": format!("Server-{n}"),
        "status": status, "services": {"kv": ":9080"}, "weight": 100, "incarnation": n, "voter": n < 3,
        "last_seen": "2026-01-02T03:04:05.000Z", "joined_at": "2026-01-02T03:04:05.000Z", "raft_id": n,
        "peer_addr": format!("10.0.0.{n}:8080"), "something_new": true
    })
}

pub(crate) fn partition(
    number: u32,
    primary: &str,
    replicas: &[&str],
    pending: &[&str],
    state: &str,
) -> Value {
    json!({
        "id": format!("partition-{number}"), "number": number, "primary_node": primary, "replica_nodes": replicas,
        "pending": pending, "epoch": number + 1, "state": state
    })
}

/// Three nodes, of which one failed, and four partitions, of which one has nobody to lead it.
pub(crate) fn cluster() -> Value {
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
            "revision": 42, "leader": "node-2", "epoch": 7
        }
    })
}

pub(crate) fn script() -> Script {
    Script::default().json("GET /cluster", 200, &cluster())
}

pub(crate) fn health() -> Value {
    json!({
        "healthy": true, "node_id": "node-1", "node_name": "Server-1", "is_leader": false, "node_count": 3,
        "partition_count": 4, "raft_state": "Follower", "last_sync": "2026-01-02T03:04:05.000Z", "uptime": "2m3.5s"
    })
}
