//! Leadership, Raft statistics, and metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;

use crate::error::ErrorCode;
use crate::http::respond::{Answered, Seen};
use crate::http::{Ctx, metrics as exposition};
use crate::options::format_duration;

pub(crate) async fn leader(State(ctx): State<Ctx>) -> Answered {
    let seen = Seen::now(&*ctx.api);
    match ctx.api.leader() {
        Some(leader) => seen.ok(&leader),
        None => {
            let since = match seen.contact.last_contact {
                // The last known leader leads no longer, or its epoch is not known yet.
                Some(age) if age < Duration::from_secs(1) => "no leader is known at present".to_owned(),
                Some(age) => {
                    let age = format_duration(Duration::from_secs(age.as_secs()));
                    format!("no leader is known: this node last heard of one {age} ago")
                }
                None => "no leader is known: this node has heard of none since it started".to_owned(),
            };
            Err(seen.failure(ErrorCode::NoLeader, since))
        }
    }
}

pub(crate) async fn stats(State(ctx): State<Ctx>) -> Answered {
    let seen = Seen::now(&*ctx.api);
    seen.ok(&ctx.api.consensus_stats())
}

pub(crate) async fn metrics(State(ctx): State<Ctx>, headers: HeaderMap) -> Answered {
    let seen = Seen::now(&*ctx.api);
    let mut metrics = ctx.api.metrics();
    metrics.request_count = ctx.counters.requests();
    metrics.error_count = ctx.counters.errors();
    let mut response = if exposition::prefers_json(&headers) {
        seen.ok(&metrics)?
    } else {
        let text = exposition::text(&*ctx.api, &metrics, &ctx.counters, &seen.contact);
        (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static(exposition::CONTENT_TYPE),
            )],
            text,
        )
            .into_response()
    };
    // One URL has two forms: a cache must not serve one for the other.
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
