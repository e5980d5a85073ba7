//! What clients ask.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use clusterkit::model::Role;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Mode;
use crate::answers::{
    Answer, ApiError, App, Body, Parameters, ok, parameters, parse, raw_response, whole_body, wrong_json,
};
use crate::peers::{CallError, FORWARDED};
use crate::replication::{Failure, Kv, WRITE_TIMEOUT};
use crate::store::Row;

const MAX_KEY_BYTES: usize = 512;
const MAX_VALUE_BYTES: usize = 1 << 20;
/// How many keys a list has at most.
const MAX_KEYS: usize = 10_000;
/// How long a request that was passed on may take: the primary may wait for a takeover, and then for other copies.
const FORWARD_TIMEOUT: Duration = WRITE_TIMEOUT.saturating_mul(3);

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
}

#[derive(Deserialize)]
pub(crate) struct Key {
    key: String,
    #[serde(default)]
    local: bool,
}

enum Operation {
    Set(String),
    Get { local: bool },
    Delete,
}

pub(crate) async fn set(State(app): App, request: Parts, body: Body) -> Answer {
    let body = whole_body(body)?;
    // By way of an object: an array of two would do for a struct.
    let object: Map<String, Value> = parse(&body)?;
    let Pair { key, value } = Pair::deserialize(Value::Object(object)).map_err(wrong_json)?;
    if value.len() > MAX_VALUE_BYTES {
        let why = format!("a value has {MAX_VALUE_BYTES} bytes at most");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    on_key(&app.kv, (request, body), key, Operation::Set(value)).await
}

pub(crate) async fn read(State(app): App, request: Parts, query: Parameters<Key>) -> Answer {
    let Key { key, local } = parameters(query)?;
    on_key(&app.kv, (request, Bytes::new()), key, Operation::Get { local }).await
}

pub(crate) async fn delete(State(app): App, request: Parts, query: Parameters<Key>) -> Answer {
    let Key { key, .. } = parameters(query)?;
    on_key(&app.kv, (request, Bytes::new()), key, Operation::Delete).await
}

/// Does it here, where this node is the key's primary; else passes the request on to the primary.
async fn on_key(kv: &Arc<Kv>, request: (Parts, Bytes), key: String, operation: Operation) -> Answer {
    if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
        let why = format!("a key has 1 to {MAX_KEY_BYTES} bytes");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, why));
    }
    let number = kv.node.partition_number(key.as_bytes());
    let number = number.ok_or_else(|| ApiError::unavailable("this node is no member yet"))?;
    match (kv.node.should_handle_key(key.as_bytes()), operation) {
        (Some(Role::Primary), Operation::Get { .. }) => found(&key, kv.read(number, key.clone()).await?),
        (Some(Role::Primary), Operation::Set(value)) => {
            let row = kv.write(number, key, Some(value)).await?;
            ok(&json!({ "status": "success", "key": row.key, "version": row.version }))
        }
        (Some(Role::Primary), Operation::Delete) => {
            let row = kv.write(number, key, None).await?;
            ok(&json!({ "status": "deleted", "key": row.key, "version": row.version }))
        }
        (Some(Role::Replica), Operation::Get { local: true }) => {
            found(&key, kv.local(number, key.clone()).await?)
        }
        (_, Operation::Get { .. }) => forward(kv, request, &key, false).await,
        (_, Operation::Set(_) | Operation::Delete) => forward(kv, request, &key, true).await,
    }
}

fn found(key: &str, row: Option<Row>) -> Answer {
    let row = row.filter(|row| row.value.is_some());
    let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("there is no key {key:?}"));
    ok(&row.ok_or_else(missing)?)
}

/// Passes a request on to the primary, once: in two views that differ it could go in circles.
async fn forward(kv: &Arc<Kv>, (request, body): (Parts, Bytes), key: &str, is_write: bool) -> Answer {
    let primary = match kv.node.view().primary_node(key.as_bytes()) {
        None => Err("the key has no primary at present"),
        Some(node) if node.id == *kv.node.my_node_id() => {
            Err("this node is the key's primary and has no lease to act")
        }
        Some(_) if request.headers.contains_key(FORWARDED) => {
            Err("the request was passed on, and not to the key's primary")
        }
        Some(node) => kv.peer(node).ok_or("the key's primary has no service kv"),
    };
    let peer = primary.map_err(ApiError::unavailable)?;
    let path = request.uri.path_and_query().map_or("", |path| path.as_str());
    match peer.forward(request.method, path, body, FORWARD_TIMEOUT).await {
        Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => {
            let answer = raw_response(StatusCode::SERVICE_UNAVAILABLE, body);
            Ok(([(header::RETRY_AFTER, "1")], answer).into_response())
        }
        Ok((status, body)) => Ok(raw_response(status, body)),
        Err(CallError::Lost(why)) if is_write => Err(Failure::Unknown(why).into()),
        Err(error) => Err(ApiError::unavailable(format!(
            "{}: {}",
            peer.id,
            String::from(error)
        ))),
    }
}

pub(crate) async fn list(State(app): App) -> Answer {
    let (keys, count) = app.kv.store.run(|copies| copies.keys(MAX_KEYS)).await?;
    ok(&json!({ "keys": keys, "count": count }))
}

pub(crate) async fn stats(State(app): App) -> Answer {
    let live = app.kv.store.run(|copies| Ok(copies.live())).await?;
    let (node, view) = (&app.kv.node, app.kv.node.view());
    let mut stats = json!({
        "local_keys": live,
        "cluster_nodes": view.nodes().len(),
        "partitions": view.partition_count(),
        "is_leader": node.is_leader(),
        "raft_state": node.consensus_stats().state,
        "uptime_seconds": app.started.elapsed().as_secs(),
    });
    if app.kv.mode == Mode::Async {
        stats["replicas"] = app.kv.peers.all().iter().map(|peer| peer.lag_json()).collect();
    }
    ok(&stats)
}
