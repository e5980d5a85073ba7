//! Leadership, Raft statistics, and metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;

use crate::error::ErrorCode;
use crate::http::response::{Freshness, HandlerResult};
use crate::http::{AppState, metrics as exposition};
use crate::options::format_duration;

pub(crate) async fn leader(State(app): State<AppState>) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    match app.api.leader() {
        Some(leader) => freshness.ok(&leader),
        None => {
            let since = match freshness.contact.last_contact {
                // The last known leader leads no longer, or its epoch is not known yet.
                Some(age) if age < Duration::from_secs(1) => "no leader is known at present".to_owned(),
                Some(age) => {
                    let age = format_duration(Duration::from_secs(age.as_secs()));
                    format!("no leader is known: this node last heard of one {age} ago")
                }
                None => "no leader is known: this node has heard of none since it started".to_owned(),
            };
            Err(freshness.error(ErrorCode::NoLeader, since))
        }
    }
}

pub(crate) async fn stats(State(app): State<AppState>) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    freshness.ok(&app.api.consensus_stats())
}

pub(crate) async fn metrics(State(app): State<AppState>, headers: HeaderMap) -> HandlerResult {
    let freshness = Freshness::now(&*app.api);
    let mut metrics = app.api.metrics();
    metrics.request_count = app.counters.requests();
    metrics.error_count = app.counters.errors();
    let mut response = if exposition::prefers_json(&headers) {
        freshness.ok(&metrics)?
    } else {
        let text = exposition::text(
            &*app.api,
            &metrics,
            &app.counters,
            &app.access.report(),
            &freshness.contact,
        );
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
