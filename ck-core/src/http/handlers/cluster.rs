//! The cluster, its nodes and its partitions.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::freshen;
use crate::env;
use crate::error::ErrorCode;
use crate::http::conditional::has;
use crate::http::failure::Failure;
use crate::http::params::{Query, wrong};
use crate::http::respond::{Answered, Seen, Tag};
use crate::http::{Ctx, KeyLocation, Members};
use crate::model::{Cluster, Node, PartitionRecord, PartitionStats};
use crate::routing::ClusterView;

const MAX_PAGE: u32 = 1000;
const DEFAULT_PAGE: u32 = 50;
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
struct ClusterAnswer {
    hash_config: HashConfig,
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    cluster: Cluster,
}

/// The tag of `/cluster`: the same tag means the same body, on every node.
fn cluster_tag(revision: u64, with_data: bool, stale: bool) -> Tag {
    Tag::of(revision).with("data", with_data).with("stale", stale)
}

pub(crate) async fn cluster(State(ctx): State<Ctx>, headers: HeaderMap, query: Query) -> Answered {
    let with_data = match query.text("include")?.as_deref() {
        None | Some("") => false,
        Some("custom_data") => true,
        Some(other) => return Err(wrong("include", other, "custom_data")),
    };
    freshen_or_wait(&ctx, &query).await?;
    // The state may change after this; then the whole answer is simply a newer one.
    let mut seen = Seen::now(&*ctx.api);
    let shared = ctx.clone();
    let tag = cluster_tag(seen.revision, with_data, seen.stale());
    let mut response = if has(&headers, &tag) {
        seen.not_modified(&tag)
    } else {
        shared
            .large
            .tagged(&tag, move || {
                let cluster = ctx.api.cluster(with_data);
                seen.revision = cluster.revision;
                let stale = cluster.leader.is_empty();
                seen.contact.leader_known = !stale;
                let hash_config = HashConfig {
                    algorithm: "md5",
                    encoding: "big_endian_uint32",
                    modulo: cluster.config.partition_count,
                    format: "partition-%d",
                };
                let tag = cluster_tag(seen.revision, with_data, stale);
                let mut response = seen.ok(&ClusterAnswer {
                    hash_config,
                    revision: seen.revision,
                    stale,
                    cluster,
                })?;
                response.headers_mut().insert(header::ETAG, tag.header());
                Ok(response)
            })
            .await?
    };
    let headers = response.headers_mut();
    Seen::now(&*shared.api).label_age(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// With `wait`, a long poll: returns as soon as the revision exceeds `wait`, or when the timeout has passed; the answer
/// then shows the present state, changed or not.
async fn freshen_or_wait(ctx: &Ctx, query: &Query) -> Result<(), Failure> {
    let Some(wait) = query.number("wait", 0, u64::MAX)? else {
        return freshen(ctx, query).await;
    };
    let longest = ctx.limits.max_wait;
    let timeout = query.duration("timeout", longest)?.unwrap_or(longest / 2);
    match env::timeout(timeout, ctx.api.wait_revision(wait.saturating_add(1))).await {
        Ok(outcome) => Ok(outcome.map(|_| ())?),
        Err(_) => Ok(()),
    }
}

#[derive(Serialize)]
struct NodesAnswer<'a> {
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

pub(crate) async fn nodes(State(ctx): State<Ctx>, query: Query) -> Answered {
    let limit = query.size("limit", 1, MAX_PAGE, DEFAULT_PAGE)?;
    let offset = query.size("offset", 0, MAX_OFFSET, 0)?;
    freshen(&ctx, &query).await?;
    let mut seen = Seen::now(&*ctx.api);
    let Members {
        revision,
        nodes,
        heard,
    } = ctx.api.members().await;
    seen.revision = revision;
    let end = offset.saturating_add(limit).min(nodes.len());
    let page = nodes.get(offset..end).unwrap_or_default();
    let has_more = end < nodes.len();
    seen.ok(&NodesAnswer {
        nodes: page,
        total: nodes.len(),
        heard,
        offset,
        limit,
        has_more,
        next_offset: has_more.then_some(end),
        stale: seen.stale(),
    })
}

/// How often an answer is built because members or partitions changed meanwhile, before it is sent without a tag.
const ATTEMPTS: usize = 3;

/// An answer that depends on members and partitions only: writes to the replicated store do not change its tag.
async fn tagged<T: Serialize>(
    ctx: Ctx,
    headers: HeaderMap,
    make: impl Fn(&ClusterView, bool) -> T + Send + 'static,
) -> Answered {
    let shared = ctx.clone();
    let making = shared.large.answer(move || {
        let api = &*ctx.api;
        let mut attempts = 0;
        loop {
            let mut seen = Seen::now(api);
            let before = api.topology_revision();
            let tag = Tag::of(before).with("stale", seen.stale());
            if has(&headers, &tag) {
                return Ok(seen.not_modified(&tag));
            }
            let view = api.view();
            seen.revision = view.revision();
            let mut response = seen.ok(&make(&view, seen.stale()))?;
            attempts += 1;
            if api.topology_revision() == before {
                response.headers_mut().insert(header::ETAG, tag.header());
            } else if attempts < ATTEMPTS {
                continue;
            }
            return Ok(response);
        }
    });
    let mut response = making.await?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

#[derive(Serialize)]
struct PartitionsAnswer {
    count: usize,
    partitions: Vec<PartitionRecord>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partitions(State(ctx): State<Ctx>, headers: HeaderMap, query: Query) -> Answered {
    freshen(&ctx, &query).await?;
    tagged(ctx, headers, |view, stale| {
        let partitions = view.list_partitions();
        PartitionsAnswer {
            count: partitions.len(),
            partitions,
            stale,
        }
    })
    .await
}

#[derive(Serialize)]
struct StatsAnswer {
    #[serde(flatten)]
    stats: PartitionStats,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partition_stats(State(ctx): State<Ctx>, headers: HeaderMap, query: Query) -> Answered {
    freshen(&ctx, &query).await?;
    tagged(ctx, headers, |view, stale| StatsAnswer {
        stats: view.partition_stats(),
        stale,
    })
    .await
}

#[derive(Serialize)]
struct KeyAnswer {
    key: String,
    #[serde(flatten)]
    location: KeyLocation,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(crate) async fn partition_of_key(State(ctx): State<Ctx>, query: Query) -> Answered {
    let key = query
        .text("key")?
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Failure::invalid("parameter key is missing or empty: /partitions/key?key=KEY"))?;
    freshen(&ctx, &query).await?;
    let mut seen = Seen::now(&*ctx.api);
    let view = ctx.api.view();
    seen.revision = view.revision();
    let partition = view
        .partition(key.as_bytes())
        .ok_or_else(|| seen.failure(ErrorCode::NotFound, "the cluster has no partitions yet"))?;
    let location = KeyLocation::of(&partition);
    seen.ok(&KeyAnswer {
        key,
        location,
        stale: seen.stale(),
    })
}
