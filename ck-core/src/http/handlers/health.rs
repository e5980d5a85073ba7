//! Liveness, readiness and health.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use crate::http::Ctx;
use crate::http::respond::{Answered, Seen, ok};

/// Liveness: the process is alive. Asks nothing of the node, so that no fault in it makes a living process look dead.
pub(crate) async fn alive() -> Answered {
    ok(&json!({ "success": true, "message": "the process is alive" }))
}

pub(crate) async fn ready(State(ctx): State<Ctx>) -> Answered {
    let seen = Seen::now(&*ctx.api);
    let readiness = ctx.api.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    seen.json(status, &readiness)
}

pub(crate) async fn detailed(State(ctx): State<Ctx>) -> Answered {
    let seen = Seen::now(&*ctx.api);
    seen.ok(&ctx.api.health())
}
