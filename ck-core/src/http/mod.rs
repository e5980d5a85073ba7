//! The REST API: the HTTP/1.1 interface for operators, other languages and smart clients.
//!
//! Three layers, each replaceable alone: [`serve`] owns the connections, [`router`] owns paths, limits and JSON shapes,
//! and [`Api`] is what the node answers. docs/http.md describes every call.

mod api;
mod body;
mod conditional;
mod connection;
mod counters;
mod failure;
mod form;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod guard;
mod half_close;
mod handlers;
mod join;
mod large;
mod limits;
mod metrics;
mod origin;
mod params;
mod respond;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use api::{
    Api, Contact, KeyLocation, KeyRole, KeyRoute, Members, Moved, Readiness, RebalanceReply, Routes,
    SyncReply, SyncRequest,
};
pub use counters::RequestCounters;
pub use failure::status_of;
pub use join::{JoinNode, JoinReply, JoinRequest, JoinTerms};
pub use limits::HttpLimits;
pub use routes::{ROUTES, Route};
pub use serve::serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use tokio::sync::Semaphore;

use large::LargeAnswers;

/// The state that every handler shares.
#[derive(Clone)]
struct Ctx(Arc<Shared>);

struct Shared {
    api: Arc<dyn Api>,
    limits: HttpLimits,
    counters: Arc<RequestCounters>,
    /// Bytes of request bodies that may still be buffered, over all connections.
    body_budget: Arc<Semaphore>,
    large: LargeAnswers,
}

impl std::ops::Deref for Ctx {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The routes of the REST API, to be handed to [`serve`].
///
/// `extra` adds routes, such as the one on which peers upgrade their connection. They get the same protection, and only
/// they are still served on connections beyond [`HttpLimits::max_connections`], so that clients cannot crowd out peers.
/// It must not have a fallback or a path in [`ROUTES`], or this panics.
pub fn router(
    api: Arc<dyn Api>,
    limits: HttpLimits,
    counters: Arc<RequestCounters>,
    extra: Option<Router>,
) -> Router {
    let budget = limits.max_buffered_bytes.min(Semaphore::MAX_PERMITS);
    let large = LargeAnswers::new(limits.max_answer_bytes);
    let ctx = Ctx(Arc::new(Shared {
        api,
        limits,
        counters,
        body_budget: Arc::new(Semaphore::new(budget)),
        large,
    }));
    let own = ROUTES
        .iter()
        .fold(Router::new(), |router, route| route.add_to(router))
        .with_state(ctx.clone());
    own.merge(extra.unwrap_or_default())
        .fallback(failure::unknown_path)
        .method_not_allowed_fallback(failure::wrong_method)
        .layer(axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                guard::guard(State(ctx.clone()), request, next)
            },
        ))
}
