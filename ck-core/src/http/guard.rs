//! The middleware around every handler: admission, deadline, panics, headers, counting.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::failure::Failure;
use super::params::Query;
use super::routes::ROUTES;
use super::{Ctx, RequestCounters, form, origin};
use crate::env;
use crate::error::{Error, ErrorCode};

/// Marks the requests of a connection beyond the limit on connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverCapacity;

pub(super) async fn guard(State(ctx): State<Ctx>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let row = RequestCounters::row(request.method(), template);
    let is_extra = template.is_some_and(|path| ROUTES.iter().all(|route| route.path != path));
    let mut response = match admit(&ctx, &request, is_extra) {
        Ok(()) => handle(&ctx, request, next).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    ctx.counters.count(row, response.status());
    response
}

fn admit(ctx: &Ctx, request: &Request, is_extra: bool) -> Result<(), Failure> {
    if request.extensions().get::<OverCapacity>().is_some() && !is_extra {
        return Err(Failure::new(
            ErrorCode::Busy,
            format!("more than {} connections are open", ctx.limits.max_connections),
        ));
    }
    form::check(request)?;
    origin::check(request, &ctx.limits.browser_hosts)
}

async fn handle(ctx: &Ctx, request: Request, next: Next) -> Response {
    let deadline = ctx.limits.request_deadline
        + match *request.method() {
            // A read may wait for a revision.
            Method::GET | Method::HEAD => ctx.limits.max_wait,
            // A write may take as long as its caller allows. The handler refuses an invalid timeout.
            _ => {
                let timeout = Query::of(request.uri()).duration("timeout", ctx.limits.max_wait);
                timeout.ok().flatten().unwrap_or_default()
            }
        };
    // Unwind safety: no later request uses anything that a panicking handler leaves behind except the Api, which has to
    // survive panics in any case.
    let guarded = AssertUnwindSafe(next.run(request)).catch_unwind();
    match env::timeout(deadline, Box::pin(guarded)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Failure::from(Error::internal("the handler of this request panicked")).into_response(),
        Err(_) => Failure::new(
            ErrorCode::Timeout,
            "the request was not answered before its deadline; a write may or may not have happened",
        )
        .with_status(StatusCode::GATEWAY_TIMEOUT)
        .into_response(),
    }
}
