//! Calls that change the cluster.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::json;

use super::write_timeout;
use crate::http::access::{AuditTarget, HttpPrincipal};
use crate::http::body::read_json;
use crate::http::error_response::ErrorResponse;
use crate::http::params::{Query, path_tail};
use crate::http::response::{Freshness, HandlerResult, ok, ok_at_revision};
use crate::http::{AppState, JoinRequest, SyncRequest};
use crate::model::partition_number;

pub(crate) async fn join(
    State(app): State<AppState>,
    Extension(principal): Extension<HttpPrincipal>,
    Extension(target): Extension<AuditTarget>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> HandlerResult {
    app.access.check_join(&principal)?;
    let timeout = write_timeout(&app, &query)?;
    let request: JoinRequest = read_json(&app, &headers, body).await?;
    target.set(&request.node.id);
    let spec = request.spec()?;
    let reply = app.api.join(spec, request.terms, timeout).await?;
    let message = format!("node {} is admitted", reply.node_id);
    ok_at_revision(
        reply.revision,
        &json!({ "success": true, "message": message, "data": reply }),
    )
}

pub(crate) async fn sync(
    State(app): State<AppState>,
    Extension(target): Extension<AuditTarget>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> HandlerResult {
    let timeout = write_timeout(&app, &query)?;
    let request: SyncRequest = read_json(&app, &headers, body).await?;
    target.set(&request.node);
    ok(&app.api.sync(request, timeout).await?)
}

pub(crate) async fn rebalance(State(app): State<AppState>, query: Query) -> HandlerResult {
    let dry_run = query.flag("dry_run")?;
    let timeout = write_timeout(&app, &query)?;
    let reply = app.api.rebalance(dry_run, timeout).await?;
    ok_at_revision(reply.revision, &reply)
}

pub(crate) async fn rebalance_status(State(app): State<AppState>) -> HandlerResult {
    let status = app.api.rebalance_status().await;
    Freshness::now(&*app.api).ok(&status)
}

pub(crate) async fn create_partitions(State(app): State<AppState>, query: Query) -> HandlerResult {
    let timeout = write_timeout(&app, &query)?;
    let (revision, count) = app.api.create_partitions(timeout).await?;
    let message = format!("there are {count} partitions");
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": message, "count": count, "revision": revision }),
    )
}

pub(crate) async fn leave(State(app): State<AppState>, query: Query) -> HandlerResult {
    let timeout = write_timeout(&app, &query)?;
    let revision = app.api.leave(timeout).await?;
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": "this node hands over its partitions and leaves", "revision": revision }),
    )
}

/// The reason for maintenance when the caller gives none.
const DEFAULT_MAINTENANCE_REASON: &str = "asked for by an administrator";

pub(crate) async fn begin_maintenance(State(app): State<AppState>, query: Query) -> HandlerResult {
    let reason = query.text("reason")?.filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or_else(|| DEFAULT_MAINTENANCE_REASON.to_owned());
    let timeout = write_timeout(&app, &query)?;
    let revision = app.api.maintenance(Some(reason.clone()), timeout).await?;
    let message = format!("no moves are planned: {reason}");
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": message, "revision": revision }),
    )
}

pub(crate) async fn end_maintenance(State(app): State<AppState>, query: Query) -> HandlerResult {
    let timeout = write_timeout(&app, &query)?;
    let revision = app.api.maintenance(None, timeout).await?;
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": "moves are planned again", "revision": revision }),
    )
}

/// The longest cooldown, for which a node that stepped down is kept from leading again.
const MAX_COOLDOWN: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn step_down(State(app): State<AppState>, query: Query) -> HandlerResult {
    let target = query.text("to")?;
    if target.as_deref() == Some("") {
        return Err(ErrorResponse::invalid(
            "parameter to is empty; it names the node that is to lead",
        ));
    }
    let cooldown = query.duration("cooldown", MAX_COOLDOWN)?;
    let timeout = write_timeout(&app, &query)?;
    let target = target.map(Into::into);
    let leader = app.api.step_down(target, cooldown, timeout).await?;
    let message = format!("node {leader} leads");
    ok(&json!({ "success": true, "message": message, "leader": leader }))
}

/// Accepts a node's copy of a partition as its data.
pub(crate) async fn recover(State(app): State<AppState>, uri: Uri, query: Query) -> HandlerResult {
    let tail = path_tail(&uri, "/partitions/")?;
    let name = tail.strip_suffix("/recover").unwrap_or(&tail);
    let Some(number) = partition_number(name).or_else(|| name.parse().ok()) else {
        return Err(ErrorResponse::invalid(format!(
            "{name:?} in the path names no partition; it has to be a number, or \"partition-\" and a number"
        )));
    };
    let from = query.text("from")?.filter(|from| !from.is_empty());
    let Some(from) = from else {
        return Err(ErrorResponse::invalid(
            "parameter from is missing; it names the node whose copy is to count",
        ));
    };
    let force = query.flag("force")?;
    let timeout = write_timeout(&app, &query)?;
    let revision = app
        .api
        .recover(number, from.as_str().into(), force, timeout)
        .await?;
    let message = format!("what node {from} has counts as the data of partition-{number}");
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": message, "revision": revision }),
    )
}

pub(crate) async fn remove_node(State(app): State<AppState>, uri: Uri, query: Query) -> HandlerResult {
    let id = path_tail(&uri, "/nodes/")?;
    let force = query.flag("force")?;
    let timeout = write_timeout(&app, &query)?;
    let revision = app.api.remove_node(id.as_str().into(), force, timeout).await?;
    let message = format!("node {id} is removed");
    ok_at_revision(
        revision,
        &json!({ "success": true, "message": message, "revision": revision }),
    )
}
