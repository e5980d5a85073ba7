//! Leadership, Raft's numbers, and metrics.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;

use crate::error::ErrorCode;
use crate::http::failure::Failure;
use crate::http::respond::{Answered, ok};
use crate::http::{Ctx, metrics as exposition};

pub(crate) async fn leader(State(ctx): State<Ctx>) -> Answered {
    match ctx.api.leader() {
        Some(leader) => ok(&leader),
        None => Err(Failure::new(ErrorCode::NoLeader, "no leader is known at present")),
    }
}

pub(crate) async fn stats(State(ctx): State<Ctx>) -> Answered {
    ok(&ctx.api.consensus_stats())
}

pub(crate) async fn metrics(State(ctx): State<Ctx>, headers: HeaderMap) -> Answered {
    let mut metrics = ctx.api.metrics();
    metrics.request_count = ctx.counters.requests();
    metrics.error_count = ctx.counters.errors();
    let mut response = if exposition::prefers_json(&headers) {
        ok(&metrics)?
    } else {
        let text = exposition::text(&*ctx.api, &metrics, &ctx.counters);
        (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static(exposition::CONTENT_TYPE),
            )],
            text,
        )
            .into_response()
    };
    // One address, two forms: a cache must not give one for the other.
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
