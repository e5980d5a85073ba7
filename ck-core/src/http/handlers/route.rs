//! `/route`: the role of this node for a key at this moment, under its lease.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::freshen;
use crate::error::ErrorCode;
use crate::http::body::read_json;
use crate::http::failure::Failure;
use crate::http::params::Query;
use crate::http::respond::{Answered, Seen};
use crate::http::{Ctx, KeyRoute, Routes};
use crate::model::NodeId;

/// The maximum number of keys in one request: the answer contains complete node records for each.
const MAX_KEYS: usize = 1000;

#[derive(Serialize)]
struct RouteAnswer<'a> {
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
struct RoutesAnswer<'a> {
    node_id: &'a NodeId,
    lease_ms: u64,
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    count: usize,
    routes: Vec<OfKey<'a>>,
}

#[derive(Serialize)]
struct OfKey<'a> {
    key: &'a str,
    #[serde(flatten)]
    route: &'a KeyRoute,
}

#[derive(Deserialize)]
struct RouteRequest {
    keys: Vec<String>,
}

pub(crate) async fn key(State(ctx): State<Ctx>, query: Query) -> Answered {
    let key = query
        .text("key")?
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Failure::invalid("parameter key is missing or empty: /route?key=KEY"))?;
    freshen(&ctx, &query).await?;
    let (mut seen, routes) = route(&ctx, &[key.as_bytes()])?;
    seen.revision = routes.revision;
    let Some(route) = routes.routes.first() else {
        return Err(no_partitions(seen));
    };
    seen.ok(&RouteAnswer {
        key: &key,
        node_id: &routes.node_id,
        lease_ms: routes.lease_ms,
        revision: routes.revision,
        stale: seen.stale(),
        route,
    })
}

pub(crate) async fn keys(State(ctx): State<Ctx>, query: Query, headers: HeaderMap, body: Body) -> Answered {
    let request: RouteRequest = read_json(&ctx, &headers, body).await?;
    let keys = request.keys;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(Failure::invalid(format!(
            "keys has {} entries; it has to have 1 to {MAX_KEYS}",
            keys.len()
        )));
    }
    if let Some(place) = keys.iter().position(String::is_empty) {
        return Err(Failure::invalid(format!(
            "keys[{place}] is empty; a key has at least 1 byte"
        )));
    }
    freshen(&ctx, &query).await?;
    let shared = ctx.clone();
    let making = shared.large.answer(move || {
        let wanted: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let (mut seen, routes) = route(&ctx, &wanted)?;
        seen.revision = routes.revision;
        let of_key = |(key, route)| OfKey { key, route };
        seen.ok(&RoutesAnswer {
            node_id: &routes.node_id,
            lease_ms: routes.lease_ms,
            revision: routes.revision,
            stale: seen.stale(),
            count: routes.routes.len(),
            routes: keys
                .iter()
                .map(String::as_str)
                .zip(&routes.routes)
                .map(of_key)
                .collect(),
        })
    });
    making.await
}

fn route(ctx: &Ctx, keys: &[&[u8]]) -> Result<(Seen, Routes), Failure> {
    let seen = Seen::now(&*ctx.api);
    let routes = ctx.api.route(keys).ok_or_else(|| no_partitions(seen))?;
    Ok((seen, routes))
}

fn no_partitions(seen: Seen) -> Failure {
    seen.failure(ErrorCode::NotFound, "the cluster has no partitions yet")
}
