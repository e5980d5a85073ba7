//! The middleware around every handler: admission, authorization, deadline, counting, audit. Panics and the headers of every answer are
//! tower-http's part (see [`router`](super::router)).
//!
//! The deadline is not tower-http's: it depends on the request, its answer is an error in JSON, and it has to wait by
//! [`mod@env`], so that it holds in a simulation too.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error_response::ErrorResponse;
use super::params::Query;
use super::routes::ROUTES;
use super::{AppState, RequestCounters, origin, request_head};
use crate::env;
use crate::error::ErrorCode;

/// Marks the requests of a connection beyond the limit on connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverCapacity;

/// Refuses what must not reach a handler, bounds how long the handler may take, and counts the answer.
pub(super) async fn admit_and_count(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let row = RequestCounters::row(request.method(), template);
    let is_extra = template.is_some_and(|path| ROUTES.iter().all(|route| route.path != path));
    // A path that there is not, or a method that it does not take, needs no proof to be refused.
    let route = ROUTES.get(row);
    let mut audit = route
        .filter(|route| route.level.changes())
        .map(|route| app.access.audit(&request, route));
    if let Some(audit) = &audit {
        request.extensions_mut().insert(audit.body_target());
    }
    let mut admitted = admit(&app, &request, is_extra);
    if let (Ok(()), Some(route)) = (&admitted, route) {
        admitted = app.access.authorize(&mut request, route, &mut audit).await;
    }
    let response = match admitted {
        Ok(()) => run_with_deadline(&app, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    if let Some(audit) = audit {
        audit.finish(&response);
    }
    app.counters.count(row, response.status());
    response
}

fn admit(app: &AppState, request: &Request, is_extra: bool) -> Result<(), ErrorResponse> {
    if request.extensions().get::<OverCapacity>().is_some() && !is_extra {
        return Err(ErrorResponse::new(
            ErrorCode::Busy,
            format!("more than {} connections are open", app.limits.max_connections),
        ));
    }
    request_head::check(request)?;
    origin::check(request, &app.limits.browser_hosts)
}

async fn run_with_deadline(app: &AppState, request: Request, next: Next) -> Response {
    let deadline = app.limits.request_deadline
        + match *request.method() {
            // A read may wait for a revision.
            Method::GET | Method::HEAD => app.limits.max_wait,
            // A write may take as long as its caller allows. The handler refuses an invalid timeout.
            _ => {
                let timeout = Query::of(request.uri()).duration("timeout", app.limits.max_wait);
                timeout.ok().flatten().unwrap_or_default()
            }
        };
    match env::timeout(deadline, Box::pin(next.run(request))).await {
        Ok(response) => response,
        Err(_) => ErrorResponse::new(
            ErrorCode::Timeout,
            "the request was not answered before its deadline; a write may or may not have happened",
        )
        .with_status(StatusCode::GATEWAY_TIMEOUT)
        .into_response(),
    }
}
