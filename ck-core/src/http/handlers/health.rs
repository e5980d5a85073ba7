//! Liveness, readiness and health.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use crate::http::AppState;
use crate::http::response::{Freshness, HandlerResult, ok};

/// Liveness: the process is alive. Asks nothing of the node, so that no fault in it makes a living process look dead.
pub(crate) async fn alive() -> HandlerResult {
    ok(&json!({ "success": true, "message": "the process is alive" }))
}

pub(crate) async fn ready(State(app): State<AppState>) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    let readiness = app.api.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    freshness.json(status, &readiness)
}

pub(crate) async fn detailed(State(app): State<AppState>) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    freshness.ok(&app.api.health())
}
