//! The REST API: the HTTP/1.1 interface for operators, other languages and smart clients.
//!
//! Three layers, each replaceable alone: [`serve()`] owns the connections, [`router`] owns paths, limits and JSON shapes,
//! and [`Api`] is what the node answers. docs/http.md describes every call.

mod access;
mod api;
mod body;
mod conditional;
mod counters;
mod error_response;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fuzz target reports what it found by a panic"
)]
pub(crate) mod fuzz;
mod half_close;
mod handlers;
mod join;
mod large_responses;
mod limits;
mod lingering_stream;
mod metrics;
mod middleware;
mod origin;
mod params;
mod request_head;
mod response;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use access::AuditLine;
pub use access::{Access, HttpPrincipal, Level, SecurityReport};
pub use api::{
    Api, Contact, KeyLocation, KeyRole, KeyRoute, KeyRoutes, Members, PlannedMove, Readiness, RebalanceReply,
    SyncReply, SyncRequest,
};
pub use counters::RequestCounters;
pub use error_response::status_of;
pub(crate) use join::JoinRate;
pub use join::{JoinNode, JoinReply, JoinRequest, JoinTerms};
pub use limits::HttpLimits;
pub use routes::{ROUTES, Route};
pub use serve::serve;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use large_responses::LargeResponses;

/// The state that every handler shares.
#[derive(Clone)]
struct AppState(Arc<AppStateInner>);

struct AppStateInner {
    api: Arc<dyn Api>,
    limits: HttpLimits,
    counters: Arc<RequestCounters>,
    access: Arc<Access>,
    /// Bytes of request bodies that may still be buffered, over all connections.
    body_budget: Arc<Semaphore>,
    large_responses: LargeResponses,
}

impl std::ops::Deref for AppState {
    type Target = AppStateInner;
    fn deref(&self) -> &AppStateInner {
        &self.0
    }
}

/// The routes of the REST API, to be handed to [`serve()`].
///
/// `access` decides who may make which call. `extra` adds routes, such as the one on which peers upgrade their connection;
/// they ask for a proof of their own. They get the same protection otherwise, and only they are still served on connections beyond [`HttpLimits::max_connections`], so that clients cannot crowd out peers.
/// It must not have a fallback or a path in [`ROUTES`], or this panics.
pub fn router(
    api: Arc<dyn Api>,
    limits: HttpLimits,
    counters: Arc<RequestCounters>,
    access: Arc<Access>,
    extra: Option<Router>,
) -> Router {
    let budget = limits.max_buffered_bytes.min(Semaphore::MAX_PERMITS);
    let large_responses = LargeResponses::new(limits.max_large_response_bytes);
    let app = AppState(Arc::new(AppStateInner {
        api,
        limits,
        counters,
        access,
        body_budget: Arc::new(Semaphore::new(budget)),
        large_responses,
    }));
    let own = ROUTES
        .iter()
        .fold(Router::new(), |router, route| route.add_to(router))
        .with_state(app.clone());
    // Each layer wraps those above it: the last one is the outermost.
    own.merge(extra.unwrap_or_default())
        .fallback(error_response::unknown_path)
        .method_not_allowed_fallback(error_response::wrong_method)
        .layer(CatchPanicLayer::custom(error_response::panicked))
        .layer(from_fn_with_state(app, middleware::admit_and_count))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
}
