//! Liveness, readiness and health.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::http::AppState;
use crate::http::response::{Freshness, HandlerResult, ok};
use crate::model::HealthStatus;

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
    freshness.ok(&DetailedHealth {
        health: app.api.health(),
        certificate_seconds_left: app.api.certificate_seconds_left(),
    })
}

/// The answer to `GET /health/detailed`.
#[derive(Serialize)]
struct DetailedHealth {
    #[serde(flatten)]
    health: HealthStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_seconds_left: Option<i64>,
}
