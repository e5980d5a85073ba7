//! The cluster, its nodes and its partitions.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::await_consistency;
use crate::env;
use crate::error::ErrorCode;
use crate::http::conditional::matches_if_none_match;
use crate::http::error_response::ErrorResponse;
use crate::http::params::{Query, invalid_parameter};
use crate::http::response::{ETag, Freshness, HandlerResult};
use crate::http::{AppState, KeyLocation, Members};
use crate::model::{Cluster, Node, PartitionRecord, PartitionStats};
use crate::routing::ClusterView;

const MAX_PAGE_SIZE: u32 = 1000;
const DEFAULT_PAGE_SIZE: u32 = 50;
/// Far beyond the size of any cluster; an offset behind the last node gives an empty page.
const MAX_OFFSET: u32 = 1_000_000;

/// How a client computes the partition of a key by itself. This is a published contract and never changes.
#[derive(Serialize)]
struct HashConfig {
    algorithm: &'static str,
    encoding: &'static str,
    modulo: u32,
    format: &'static str,
}

#[derive(Serialize)]
struct ClusterResponse {
    hash_config: HashConfig,
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    cluster: Cluster,
}

/// The tag of `/cluster`: the same tag means the same body, on every node.
fn cluster_tag(revision: u64, with_data: bool, stale: bool) -> ETag {
    ETag::of(revision)
        .with_form("data", with_data)
        .with_form("stale", stale)
}

pub(crate) async fn cluster(State(app): State<AppState>, headers: HeaderMap, query: Query) -> HandlerResult {
    let with_data = match query.text("include")?.as_deref() {
        None | Some("") => false,
        Some("custom_data") => true,
        Some(other) => return Err(invalid_parameter("include", other, "custom_data")),
    };
    await_change_or_consistency(&app, &query).await?;
    // The state may change after this; then the whole answer is simply a newer one.
    let mut freshness = Freshness::now(&*app.api);
    let shared = app.clone();
    let tag = cluster_tag(freshness.revision, with_data, freshness.stale());
    let mut response = if matches_if_none_match(&headers, &tag) {
        freshness.not_modified(&tag)
    } else {
        shared
            .large_responses
            .build_or_share(&tag, move || {
                let cluster = app.api.cluster(with_data);
                freshness.revision = cluster.revision;
                let stale = cluster.leader.is_empty();
                freshness.contact.leader_known = !stale;
                let hash_config = HashConfig {
                    algorithm: "md5",
                    encoding: "big_endian_uint32",
                    modulo: cluster.config.partition_count,
                    format: "partition-%d",
                };
                let tag = cluster_tag(freshness.revision, with_data, stale);
                let mut response = freshness.ok(&ClusterResponse {
                    hash_config,
                    revision: freshness.revision,
                    stale,
                    cluster,
                })?;
                response.headers_mut().insert(header::ETAG, tag.header_value());
                Ok(response)
            })
            .await?
    };
    let headers = response.headers_mut();
    Freshness::now(&*shared.api).update_age_header(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// With `wait`, a long poll: returns as soon as the revision exceeds `wait`, or when the timeout has passed; the answer
/// then shows the present state, changed or not.
async fn await_change_or_consistency(app: &AppState, query: &Query) -> Result<(), ErrorResponse> {
    let Some(wait) = query.number("wait", 0, u64::MAX)? else {
        return await_consistency(app, query).await;
    };
    let longest = app.limits.max_wait;
    let timeout = query.duration("timeout", longest)?.unwrap_or(longest / 2);
    match env::timeout(timeout, app.api.wait_revision(wait.saturating_add(1))).await {
        Ok(outcome) => Ok(outcome.map(|_| ())?),
        Err(_) => Ok(()),
    }
}

#[derive(Serialize)]
struct NodesResponse<'a> {
    nodes: &'a [Node],
    total: usize,
    heard: usize,
    offset: usize,
    limit: usize,
    has_more: bool,
    next_offset: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn nodes(State(app): State<AppState>, query: Query) -> HandlerResult {
    let limit = query.size("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)?;
    let offset = query.size("offset", 0, MAX_OFFSET, 0)?;
    await_consistency(&app, &query).await?;
    let mut freshness = Freshness::now(&*app.api);
    let Members {
        revision,
        nodes,
        heard,
    } = app.api.members().await;
    freshness.revision = revision;
    let end = offset.saturating_add(limit).min(nodes.len());
    let page = nodes.get(offset..end).unwrap_or_default();
    let has_more = end < nodes.len();
    freshness.ok(&NodesResponse {
        nodes: page,
        total: nodes.len(),
        heard,
        offset,
        limit,
        has_more,
        next_offset: has_more.then_some(end),
        stale: freshness.stale(),
    })
}

/// How often an answer is built because members or partitions changed meanwhile, before it is sent without a tag.
const MAX_BUILD_ATTEMPTS: usize = 3;

/// An answer that depends on members and partitions only: writes to the replicated store do not change its tag.
async fn with_topology_etag<T: Serialize>(
    app: AppState,
    headers: HeaderMap,
    build: impl Fn(&ClusterView, bool) -> T + Send + 'static,
) -> HandlerResult {
    let shared = app.clone();
    let building = shared.large_responses.build(move || {
        let api = &*app.api;
        let mut attempts = 0;
        loop {
            let mut freshness = Freshness::now(api);
            let before = api.topology_revision();
            let tag = ETag::of(before).with_form("stale", freshness.stale());
            if matches_if_none_match(&headers, &tag) {
                return Ok(freshness.not_modified(&tag));
            }
            let view = api.view();
            freshness.revision = view.revision();
            let mut response = freshness.ok(&build(&view, freshness.stale()))?;
            attempts += 1;
            if api.topology_revision() == before {
                response.headers_mut().insert(header::ETAG, tag.header_value());
            } else if attempts < MAX_BUILD_ATTEMPTS {
                continue;
            }
            return Ok(response);
        }
    });
    let mut response = building.await?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

#[derive(Serialize)]
struct PartitionsResponse {
    count: usize,
    partitions: Vec<PartitionRecord>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partitions(
    State(app): State<AppState>,
    headers: HeaderMap,
    query: Query,
) -> HandlerResult {
    await_consistency(&app, &query).await?;
    with_topology_etag(app, headers, |view, stale| {
        let partitions = view.list_partitions();
        PartitionsResponse {
            count: partitions.len(),
            partitions,
            stale,
        }
    })
    .await
}

#[derive(Serialize)]
struct StatsResponse {
    #[serde(flatten)]
    stats: PartitionStats,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partition_stats(
    State(app): State<AppState>,
    headers: HeaderMap,
    query: Query,
) -> HandlerResult {
    await_consistency(&app, &query).await?;
    with_topology_etag(app, headers, |view, stale| StatsResponse {
        stats: view.partition_stats(),
        stale,
    })
    .await
}

#[derive(Serialize)]
struct KeyResponse {
    key: String,
    #[serde(flatten)]
    location: KeyLocation,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partition_of_key(State(app): State<AppState>, query: Query) -> HandlerResult {
    let key = query.text("key")?.filter(|key| !key.is_empty()).ok_or_else(|| {
        ErrorResponse::invalid("parameter key is missing or empty: /partitions/key?key=KEY")
    })?;
    await_consistency(&app, &query).await?;
    let mut freshness = Freshness::now(&*app.api);
    let view = app.api.view();
    freshness.revision = view.revision();
    let partition = view
        .partition(key.as_bytes())
        .ok_or_else(|| freshness.error(ErrorCode::NotFound, "the cluster has no partitions yet"))?;
    let location = KeyLocation::of(&partition);
    freshness.ok(&KeyResponse {
        key,
        location,
        stale: freshness.stale(),
    })
}
