//! `/route`: the role of this node for a key at this moment, under its lease.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::await_consistency;
use crate::error::ErrorCode;
use crate::http::body::read_json;
use crate::http::error_response::ErrorResponse;
use crate::http::params::Query;
use crate::http::response::{Freshness, HandlerResult};
use crate::http::{AppState, KeyRoute, KeyRoutes};
use crate::model::NodeId;

/// The maximum number of keys in one request: the answer contains complete node records for each.
const MAX_KEYS_PER_REQUEST: usize = 1000;

#[derive(Serialize)]
struct RouteResponse<'a> {
    key: &'a str,
    node_id: &'a NodeId,
    lease_ms: u64,
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    #[serde(flatten)]
    route: &'a KeyRoute,
}

#[derive(Serialize)]
struct RoutesResponse<'a> {
    node_id: &'a NodeId,
    lease_ms: u64,
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    count: usize,
    routes: Vec<KeyRouteResponse<'a>>,
}

#[derive(Serialize)]
struct KeyRouteResponse<'a> {
    key: &'a str,
    #[serde(flatten)]
    route: &'a KeyRoute,
}

#[derive(Deserialize)]
struct RouteRequest {
    keys: Vec<String>,
}

pub(crate) async fn key(State(app): State<AppState>, query: Query) -> HandlerResult {
    let key = query
        .text("key")?
        .filter(|key| !key.is_empty())
        .ok_or_else(|| ErrorResponse::invalid("parameter key is missing or empty: /route?key=KEY"))?;
    await_consistency(&app, &query).await?;
    let (mut freshness, routes) = route(&app, &[key.as_bytes()])?;
    freshness.revision = routes.revision;
    let Some(route) = routes.routes.first() else {
        return Err(no_partitions(freshness));
    };
    freshness.ok(&RouteResponse {
        key: &key,
        node_id: &routes.node_id,
        lease_ms: routes.lease_ms,
        revision: routes.revision,
        stale: freshness.stale(),
        route,
    })
}

pub(crate) async fn keys(
    State(app): State<AppState>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> HandlerResult {
    let request: RouteRequest = read_json(&app, &headers, body).await?;
    let keys = request.keys;
    if keys.is_empty() || keys.len() > MAX_KEYS_PER_REQUEST {
        return Err(ErrorResponse::invalid(format!(
            "keys has {} entries; it has to have 1 to {MAX_KEYS_PER_REQUEST}",
            keys.len()
        )));
    }
    if let Some(place) = keys.iter().position(String::is_empty) {
        return Err(ErrorResponse::invalid(format!(
            "keys[{place}] is empty; a key has at least 1 byte"
        )));
    }
    await_consistency(&app, &query).await?;
    let shared = app.clone();
    let building = shared.large_responses.build(move || {
        let wanted: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let (mut freshness, routes) = route(&app, &wanted)?;
        freshness.revision = routes.revision;
        let of_key = |(key, route)| KeyRouteResponse { key, route };
        freshness.ok(&RoutesResponse {
            node_id: &routes.node_id,
            lease_ms: routes.lease_ms,
            revision: routes.revision,
            stale: freshness.stale(),
            count: routes.routes.len(),
            routes: keys
                .iter()
                .map(String::as_str)
                .zip(&routes.routes)
                .map(of_key)
                .collect(),
        })
    });
    building.await
}

fn route(app: &AppState, keys: &[&[u8]]) -> Result<(Freshness, KeyRoutes), ErrorResponse> {
    let freshness = Freshness::now(&*app.api);
    let routes = app.api.route(keys).ok_or_else(|| no_partitions(freshness))?;
    Ok((freshness, routes))
}

fn no_partitions(freshness: Freshness) -> ErrorResponse {
    freshness.error(ErrorCode::NotFound, "the cluster has no partitions yet")
}
