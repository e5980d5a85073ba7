//! Liveness, readiness and health.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::http::response::{Freshness, HandlerResult, ok};
use crate::http::{AppState, HttpPrincipal, SecurityReport};
use crate::model::HealthStatus;

/// Liveness: the process is alive. Asks nothing of the node, so that no fault in it makes a living process look dead.
pub(crate) async fn alive() -> HandlerResult {
    ok(&json!({ "success": true, "message": "the process is alive" }))
}

/// Readiness. Load balancers have no token, so whoever asks learns whether the node is ready; why it is not, who may read.
pub(crate) async fn ready(
    State(app): State<AppState>,
    principal: Option<Extension<HttpPrincipal>>,
) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    let mut readiness = app.api.readiness();
    if !readiness.ready && !app.access.may_read(principal.as_deref()) {
        readiness.message = "not ready; with a token the answer says why".to_owned();
    }
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    freshness.json(status, &readiness)
}

/// The health of the node, and what protects it.
#[derive(Serialize)]
struct DetailedHealth {
    #[serde(flatten)]
    health: HealthStatus,
    security: SecurityReport,
    /// How long the node's own certificate is valid; missing without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_seconds_left: Option<i64>,
}

pub(crate) async fn detailed(State(app): State<AppState>) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    freshness.ok(&DetailedHealth {
        health: app.api.health(),
        security: app.access.report(),
        certificate_seconds_left: app.api.certificate_seconds_left(),
    })
}
